"""Verification finds every kind of damage and says where; what is whole gives no finding."""

from __future__ import annotations

import asyncio
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runnotary.core import chain
from runnotary.core import events as ev
from runnotary.core.errors import FileMissing, HomeVersion, RunNotFound
from runnotary.core.hashing import digest
from runnotary.ports import Append
from runnotary.store.report import Report
from runnotary.store.sqlite import database, schema
from runnotary.store.verify import verify
from tests.store.history import (
    ACTOR,
    BY,
    DEFINITION,
    START,
    Tale,
    Ticks,
    assert_appended,
    flow_of,
    open_store,
    run_id,
    small_home,
)

Value = Any
TABLES = ("events", "log", "runs", "tasks", "flows", "blobs", "checkpoints")


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_home(tmp_path_factory.mktemp("whole") / "home")


@pytest.fixture
def home(whole: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(whole, tmp_path / "home"))


def checked(home: Path) -> Report:
    return verify(home, deep=True, flow_of=flow_of)


def change(home: Path, *statements: str, values: tuple[Value, ...] = (), loose: bool = False) -> None:
    """Change the database as someone with the file would: no check and no constraint stands in the way."""
    with closing(sqlite3.connect(database(home), isolation_level=None)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        if loose:
            loosen(connection)
        connection.execute("BEGIN")
        for statement in statements:
            connection.execute(statement, values)
        connection.execute("COMMIT")


def loosen(connection: sqlite3.Connection) -> None:
    """Take STRICT and every CHECK away, so that a value of any type fits."""
    connection.execute("PRAGMA writable_schema = ON")
    connection.execute("UPDATE sqlite_schema SET sql = replace(sql, ', STRICT', '')")
    connection.execute("UPDATE sqlite_schema SET sql = replace(sql, ') STRICT', ')')")
    connection.execute("PRAGMA writable_schema = RESET")


def rows_of(home: Path, table: str) -> tuple[list[str], list[str], list[tuple[Value, ...]]]:
    """Return a table's columns, the columns of its key, and its rows."""
    connection = sqlite3.connect(database(home))
    info = connection.execute(f"PRAGMA table_info({table})").fetchall()
    columns = [row[1] for row in info]
    keys = [row[1] for row in info if row[5]]
    found = connection.execute(f"SELECT * FROM {table}").fetchall()
    connection.close()
    return columns, keys, found


def flipped(value: Value, bit: int) -> Value:
    if isinstance(value, int):
        return value ^ (1 << bit % 40)
    raw = bytearray(value.encode() if isinstance(value, str) else value)
    raw[bit // 8 % len(raw)] ^= 1 << bit % 8
    return bytes(raw)


def put_flipped(home: Path, table: str, row: int, column: int, bit: int) -> str | None:
    """Flip one bit of one value; return what was flipped, or None if there is nothing to flip."""
    columns, keys, rows = rows_of(home, table)
    held = rows[row % len(rows)]
    name = columns[column % len(columns)]
    value = held[columns.index(name)]
    if value is None:
        new: Value = bit
    elif isinstance(value, int):
        new = flipped(value, bit)
    else:
        new = flipped(value, bit) if value else b"x"
    cast = "CAST(? AS TEXT)" if isinstance(value, str) else "?"
    where = " AND ".join(f"{key} IS ?" for key in keys)
    given = (new, *[held[columns.index(key)] for key in keys])
    try:
        change(home, f"UPDATE {table} SET {name} = {cast} WHERE {where}", values=given)
    except sqlite3.IntegrityError:
        return None  # The flipped key is another row's key, or a NULL column takes no such type.
    return f"{table}.{name} {value!r} -> {new!r}"


def every_value(home: Path) -> Iterator[tuple[str, int, int]]:
    for table in TABLES:
        columns, _, rows = rows_of(home, table)
        for row in range(len(rows)):
            for column in range(len(columns)):
                yield table, row, column


def test_one_flipped_bit_in_any_value_is_found(whole: Path, tmp_path: Path) -> None:
    """Every column of every row of every table; the bit is another one each time."""
    tried = 0
    for number, (table, row, column) in enumerate(every_value(whole)):
        copy = tmp_path / "copy"
        shutil.copytree(whole, copy)
        what = put_flipped(copy, table, row, column, number * 7)
        if what is not None:
            tried += 1
            assert not checked(copy).ok, what
        shutil.rmtree(copy)
    assert tried > 400


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    table=st.sampled_from(TABLES),
    row=st.integers(0, 200),
    column=st.integers(0, 30),
    bit=st.integers(0, 8 * 5000),
)
def test_any_flipped_bit_is_found(
    whole: Path, tmp_path_factory: pytest.TempPathFactory, table: str, row: int, column: int, bit: int
) -> None:
    copy = tmp_path_factory.mktemp("flip") / "home"
    shutil.copytree(whole, copy)
    what = put_flipped(copy, table, row, column, bit)
    assert what is None or not checked(copy).ok, what
    shutil.rmtree(copy)


def test_any_deleted_row_is_found(whole: Path, tmp_path: Path) -> None:
    for table in TABLES:
        columns, keys, rows = rows_of(whole, table)
        for held in rows:
            copy = tmp_path / "copy"
            shutil.copytree(whole, copy)
            where = " AND ".join(f"{key} IS ?" for key in keys)
            change(
                copy,
                f"DELETE FROM {table} WHERE {where}",
                values=tuple(held[columns.index(key)] for key in keys),
            )
            report = checked(copy)
            assert not report.ok, (table, held)
            shutil.rmtree(copy)


@pytest.mark.parametrize("table", TABLES)
def test_a_row_too_many_is_found(home: Path, table: str) -> None:
    columns, _, _ = rows_of(home, table)
    # A key that nothing else has: the next one after the greatest.
    change_key = {
        "blobs": "randomblob(32)",
        "log": "max(pos) + 1",
        "flows": "'another'",
        "tasks": "'another'",
        "checkpoints": "max(size) + 1",
    }
    keys = {"blobs": "digest", "log": "pos", "flows": "name", "tasks": "key", "events": "seq", "runs": "id"}
    key = (keys | {"checkpoints": "size"})[table]
    new = change_key.get(table, "max(seq) + 1" if table == "events" else "x'0190' || zeroblob(14)")
    chosen = ", ".join(new if column == key else column for column in columns)
    if table == "log":
        chosen = chosen.replace(", seq", ", seq + 1")
    if table == "runs":
        chosen = chosen.replace("x'0190' || zeroblob(14)", "CAST(x'0190' || zeroblob(14) AS BLOB)")
    change(home, f"INSERT INTO {table} SELECT {chosen} FROM {table} LIMIT 1")
    if table == "blobs":
        assert [f.code for f in checked(home).findings] == ["blob"]
    assert not checked(home).ok


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE events SET body = CAST(body AS TEXT)",
        "UPDATE events SET envelope = CAST(envelope AS TEXT)",
        "UPDATE log SET head = CAST(head AS TEXT)",
        "UPDATE log SET seq = 'no. ' || seq",
        "UPDATE runs SET id = hex(id)",
        "UPDATE runs SET created_at = created_at + 0.5",
        "UPDATE runs SET label = CAST(label AS BLOB)",
        "UPDATE runs SET root = hex(root)",
        "UPDATE tasks SET step = CAST(step AS BLOB)",
        "UPDATE tasks SET attempts = 'one'",
        "UPDATE flows SET title = x''",
        "UPDATE blobs SET data = CAST(data AS TEXT)",
        "UPDATE blobs SET digest = hex(digest)",
        "UPDATE runs SET label = CAST(x'ff00fe' AS TEXT)",
    ],
)
def test_a_value_of_the_wrong_type_is_found(home: Path, statement: str) -> None:
    change(home, statement, loose=True)
    connection = sqlite3.connect(database(home))
    # Put the schema's words back, so that only the values tell.
    connection.execute("PRAGMA writable_schema = ON")
    for name, sql in schema_of(home.parent.parent / "never", fresh=True).items():
        connection.execute("UPDATE sqlite_schema SET sql = ? WHERE name = ?", (sql, name))
    connection.commit()
    connection.close()
    assert not checked(home).ok


def schema_of(home: Path, *, fresh: bool = False) -> dict[str, str]:
    connection = sqlite3.connect(":memory:" if fresh else database(home))
    if fresh:
        connection.executescript(schema())
    found = dict(connection.execute("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL").fetchall())
    connection.close()
    return found


# --- what each finding says -------------------------------------------------------------------------


def only(report: Report, code: str) -> str:
    assert {finding.code for finding in report.findings} == {code}, report.findings
    return str(report.findings[0])


def test_a_changed_body_is_named_by_stream_and_seq(home: Path) -> None:
    stream = chain.run_stream(run_id(2))
    change(
        home, "UPDATE events SET body = zeroblob(length(body)) WHERE stream = ? AND seq = 3", values=(stream,)
    )
    assert f"{chain.stream_name(stream)} #3" in only(checked(home), "body")


def test_a_changed_column_is_named_with_both_values(home: Path) -> None:
    change(home, "UPDATE runs SET label = 'forged' WHERE label = 'run 2'")
    text = only(checked(home), "row")
    assert "label" in text and "'forged'" in text and "'run 2'" in text


def test_a_changed_blob_file_is_named_by_its_digest(home: Path) -> None:
    for path in sorted((home / "blobs").glob("??/*")):
        before = path.read_bytes()
        path.chmod(0o600)
        path.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
        assert digest(before) in only(checked(home), "blob")
        # Not read without --deep, and said so.
        shallow = verify(home, flow_of=flow_of)
        assert shallow.ok and any("blobs in files were not read" in line for line in shallow.not_proven)
        path.write_bytes(before)
    assert checked(home).ok


def test_a_missing_blob_file_is_named_with_the_event_that_needs_it(home: Path) -> None:
    path = next((home / "blobs").glob("??/*"))
    name = f"sha256:{path.parent.name}{path.name}"
    path.unlink()
    text = only(checked(home), "missing_blob")
    assert name in text and "run/" in text


def test_a_stranger_among_the_blobs_is_found(home: Path) -> None:
    (home / "blobs" / "00").mkdir(exist_ok=True)
    (home / "blobs" / "00" / "readme.txt").write_text("hello")
    assert "readme.txt" in only(checked(home), "blob")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["a pipe", "a folder"])
@pytest.mark.parametrize("run", [None, run_id(2)], ids=["whole", "one run"])
def test_what_is_no_file_in_the_place_of_a_blob_is_found_and_not_waited_for(
    home: Path, run: bytes | None, make: Callable[[Path], None]
) -> None:
    (path,) = [path for path in (home / "blobs").rglob("*") if path.is_file()][:1]
    path.unlink()
    make(path)
    report = verify(home, run=run, deep=True, flow_of=flow_of)
    assert any(f"{path.parent.name}{path.name}" in one.where.replace("/", "") for one in report.findings)


def test_a_leftover_of_a_crash_is_no_damage(home: Path) -> None:
    (home / "blobs" / "new" / "1-1").write_bytes(b"half")
    assert checked(home).ok


def test_a_damaged_definition_is_found_without_reading_all(home: Path) -> None:
    raw = bytes.fromhex(digest(DEFINITION)[7:])
    change(home, "UPDATE blobs SET data = x'7b7d' WHERE digest = ?", values=(raw,))
    report = verify(home, flow_of=flow_of)
    assert digest(DEFINITION) in {finding.where for finding in report.findings}


def test_a_definition_that_is_not_canonical_is_found(tmp_path: Path) -> None:
    store = open_store(tmp_path / "home")
    loose = b'{"steps": {}}'
    event = ev.DefinitionChanged("f", "id", store.blobs.put(loose), BY)
    stream = chain.ledger_stream("default")
    assert_appended(asyncio.run(store.append([Append(stream, 1, (event,), START, ACTOR)])))
    store.close()
    report = checked(tmp_path / "home")
    assert any(f.code == "definition" and "canonical" in f.message for f in report.findings)


def test_a_consistent_lie_in_the_tail_is_still_not_covered_by_the_log(home: Path) -> None:
    """Sealing one more event with right hashes does not help: the log does not know it."""
    connection = sqlite3.connect(database(home))
    stream = chain.run_stream(run_id(4))
    seq, head = connection.execute(
        "SELECT seq, head FROM log WHERE stream = ? ORDER BY seq DESC LIMIT 1", (stream,)
    ).fetchone()
    sealed = chain.seal(stream, seq + 1, head, START * 2, ACTOR, ev.RunHeld(BY), bytes(16))
    connection.execute(
        "INSERT INTO events VALUES (?, ?, ?, ?)", (stream, seq + 1, sealed.envelope, sealed.body)
    )
    connection.commit()
    connection.close()
    assert any(finding.code == "log" and "covers" in finding.message for finding in checked(home).findings)


def test_a_dropped_index_a_trigger_or_a_foreign_table_is_found(home: Path) -> None:
    change(home, "DROP INDEX runs_open", "CREATE TABLE mine (x)", "CREATE VIEW theirs AS SELECT 1")
    found = {finding.where for finding in checked(home).findings if finding.code == "schema"}
    assert {"index runs_open", "table mine", "view theirs"} <= found


def test_a_hole_in_the_positions_is_found(home: Path) -> None:
    change(home, "UPDATE log SET pos = pos + 100 WHERE pos = (SELECT max(pos) FROM log)")
    assert "positions 1 to" in only(checked(home), "log")


@pytest.mark.parametrize("offset", [0, 100, 4096, 2 * 4096, 3 * 4096, 5 * 4096])
def test_a_page_of_rubbish_is_a_finding_never_a_traceback(home: Path, offset: int) -> None:
    raw = bytearray(database(home).read_bytes())
    raw[offset : offset + 64] = b"\xa5" * 64
    database(home).write_bytes(bytes(raw))
    assert not checked(home).ok


def test_a_cut_off_database_is_a_finding(home: Path) -> None:
    raw = database(home).read_bytes()
    for length in (len(raw) // 2, 4096, 100, 10):
        database(home).write_bytes(raw[:length])
        assert not checked(home).ok


# --- erasing ----------------------------------------------------------------------------------------


def erase(home: Path, told: Callable[[bytes], ev.StreamErased] | None) -> None:
    """Take one body away, telling the ledger or not."""
    stream = chain.run_stream(run_id(1))
    if told is not None:
        store = open_store(home)
        ledger = store.ledger("default")
        append = Append(chain.ledger_stream("default"), ledger.seq, (told(stream),), ledger.at, ACTOR)
        assert_appended(asyncio.run(store.append([append])))
        store.close()
    change(home, "UPDATE events SET body = NULL WHERE stream = ? AND seq = 2", values=(stream,))


def test_a_body_taken_away_is_damage_unless_a_later_event_says_so(home: Path) -> None:
    erase(home, None)
    assert only(checked(home), "missing_body")


def test_a_body_erased_on_purpose_leaves_a_whole_chain(home: Path) -> None:
    erase(home, lambda stream: ev.StreamErased(chain.stream_name(stream), BY, "asked", seqs=(2,)))
    report = checked(home)
    assert report.ok, report.findings
    assert any("erased" in line for line in report.not_proven)


def test_erasing_another_body_is_no_licence(home: Path) -> None:
    erase(home, lambda stream: ev.StreamErased(chain.stream_name(stream), BY, "asked", seqs=(3,)))
    found = {(one.code, one.where.partition(" #")[2]) for one in checked(home).findings}
    assert found == {("missing_body", "2"), ("body", "3")}


# --- scope ------------------------------------------------------------------------------------------


def test_one_run_is_checked_alone(home: Path) -> None:
    change(home, "UPDATE runs SET label = 'forged' WHERE label = 'run 2'")
    assert verify(home, run=run_id(1), deep=True, flow_of=flow_of).ok
    assert not verify(home, run=run_id(2), deep=True, flow_of=flow_of).ok
    with pytest.raises(RunNotFound):
        verify(home, run=run_id(99), flow_of=flow_of)


def test_it_runs_beside_a_writer(home: Path) -> None:
    store = open_store(home)
    asyncio.run(Tale(9, Ticks(START + 10**9)).tell(store))
    assert checked(home).checked["runs"] == 5
    assert checked(home).ok
    store.close()


def test_a_home_of_a_newer_release_is_refused(home: Path) -> None:
    change(home, "PRAGMA user_version = 99")
    with pytest.raises(HomeVersion):
        checked(home)


def test_no_home_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(FileMissing):
        checked(tmp_path)


def test_the_findings_are_counted_beyond_those_listed(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runnotary.store.report.FINDINGS_MAX", 3)
    change(home, "UPDATE events SET body = zeroblob(20)")
    report = checked(home)
    assert len(report.findings) == 3 and report.more >= 10
