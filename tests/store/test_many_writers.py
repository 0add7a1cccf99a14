"""Many write at once, somebody verifies beside them, and a home of an older release comes forward."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from runnotary.core import chain
from runnotary.core.errors import HomeVersion
from runnotary.core.events import EngineNoted
from runnotary.core.hashing import canonical
from runnotary.store import migrate
from runnotary.store.keys import KeyFile
from runnotary.store.log import SqliteStore
from runnotary.store.report import Report
from runnotary.store.sqlite import database, migrations
from runnotary.store.verify import verify
from runnotary.store.verify_log import Trust
from tests.replay import record
from tests.store.history import START, Tale, Ticks, flow_of, open_store

WRITERS = 8


def test_what_is_verified_beside_eight_writers_holds(tmp_path: Path) -> None:
    """The checkpoint outside is always one that the record has, and every proof leads to it."""
    home, copy = tmp_path / "home", tmp_path / "copy"
    reports: list[Report] = []

    async def write(store: SqliteStore, writer: int) -> None:
        for number in range(6):
            await Tale(100 * writer + number + 1, Ticks(START + writer * 10**9)).tell(store)

    async def check(ended: asyncio.Event) -> None:
        while not ended.is_set():
            if (home / "checkpoint").exists():
                reports.append(await asyncio.to_thread(verify, home, flow_of=flow_of, copies=[copy]))
            await asyncio.sleep(0.001)

    async def all_of_them() -> None:
        store = open_store(home, copies=(copy,))
        ended = asyncio.Event()
        checking = asyncio.ensure_future(check(ended))
        try:
            await asyncio.gather(*(write(store, writer) for writer in range(WRITERS)))
            while len(reports) < 3:
                await asyncio.sleep(0.01)
        finally:
            ended.set()
            await checking
            store.close()

    asyncio.run(all_of_them())
    assert [report.findings for report in reports if not report.ok] == []
    report = verify(home, deep=True, flow_of=flow_of, copies=[copy])
    assert report.ok and report.checked["runs"] == WRITERS * 6
    assert report.checkpoint is not None and report.checkpoint.uncovered == 0


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A home as the release before wrote it: the recorded log of 0.1.0, and 300 entries more."""
    recorded = json.loads(Path(record.__file__).with_name("0.1.0.json").read_text())
    home = tmp_path / "older"
    home.mkdir()
    with closing(sqlite3.connect(database(home), isolation_level=None)) as connection:
        connection.executescript("".join(migrations()[:2]))
        connection.execute(f"PRAGMA application_id = {migrate.APPLICATION}")
        connection.execute("PRAGMA user_version = 2")
        connection.execute("BEGIN")
        told(connection, recorded)
        remarked(connection, 300)
        connection.execute("COMMIT")
    return home


def told(connection: sqlite3.Connection, recorded: Any) -> None:
    """Write what a release recorded, without its collection of samples."""
    for stream, events in recorded["streams"].items():
        for seq, (envelope, body) in enumerate(events, start=1):
            row = (bytes.fromhex(stream), seq, bytes.fromhex(envelope), bytes.fromhex(body))
            connection.execute("INSERT INTO events VALUES (?, ?, ?, ?)", row)
    for pos, stream, from_seq, seq, head in recorded["log"]:
        row = (pos, bytes.fromhex(stream), from_seq, seq, bytes.fromhex(head))
        connection.execute("INSERT INTO log VALUES (?, ?, ?, ?, ?)", row)
    for table, rows in recorded["rows"].items():
        kinds = {column[1]: column[2] for column in connection.execute(f"PRAGMA table_info({table})")}
        for row in rows:
            values = [
                bytes.fromhex(value) if kinds[name] == "BLOB" and value is not None else value
                for name, value in row.items()
            ]
            marks = ", ".join("?" * len(values))
            connection.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", values)
    definition = canonical(recorded["definition"])
    digest = bytes.fromhex(recorded["definition_hash"].removeprefix("sha256:"))
    connection.execute("INSERT INTO blobs VALUES (?, ?)", (digest, definition))
    samples = chain.ledger_stream("samples")
    last = connection.execute("SELECT max(pos), stream FROM log").fetchone()[1]
    assert last == samples, "they stand at the end"
    connection.execute("DELETE FROM events WHERE stream = ?", (samples,))
    connection.execute("DELETE FROM log WHERE stream = ?", (samples,))


def remarked(connection: sqlite3.Connection, count: int) -> None:
    stream, prev = chain.ledger_stream("remarks"), chain.GENESIS
    (pos,) = connection.execute("SELECT max(pos) FROM log").fetchone()
    for seq in range(1, count + 1):
        event = EngineNoted("remark", {"number": seq})
        nonce = seq.to_bytes(chain.NONCE_SIZE, "big")
        one = chain.seal(stream, seq, prev, START + seq, chain.ENGINE_ACTOR, event, nonce)
        connection.execute("INSERT INTO events VALUES (?, ?, ?, ?)", (stream, seq, one.envelope, one.body))
        connection.execute("INSERT INTO log VALUES (?, ?, ?, ?, ?)", (pos + seq, stream, seq, seq, one.hash))
        prev = one.hash


def test_a_home_of_an_older_release_gets_tiles_a_key_and_a_checkpoint(older: Path) -> None:
    with pytest.raises(HomeVersion, match="schema 2"):
        verify(older, flow_of=flow_of)
    store = open_store(older)
    before = store.position()
    store.close()
    report = verify(older, flow_of=flow_of)
    assert report.ok, list(map(str, report.findings))
    assert report.checkpoint is not None and report.checkpoint.uncovered == 0
    assert report.checkpoint.size == before + 1, "the event of the key came"
    key = KeyFile(older).public_key("", ())
    assert verify(older, flow_of=flow_of, trust=Trust(key=key)).ok
    with closing(sqlite3.connect(database(older))) as connection:
        assert connection.execute("SELECT count(*) FROM tiles").fetchone() == (before // 256,)

    async def more() -> None:
        store = open_store(older)
        await Tale(9, Ticks(START + 10**10)).tell(store)
        store.close()

    asyncio.run(more())
    assert verify(older, flow_of=flow_of, trust=Trust(key=key)).ok
