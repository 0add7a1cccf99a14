"""An attacker who may change every byte of a home but has not its key: makes all hashes anew."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from runnotary.core import chain
from runnotary.core.events import UnknownEvent, name
from runnotary.store.sqlite import SqliteConnection
from runnotary.store.tree import complete

Change = Callable[[SqliteConnection], None]
Body = dict[str, Any]


def tampered(home: Path, change: Change, *, again: bool) -> None:
    """Change the database; with `again` chains, log heads and tiles are made anew so that they fit."""
    with forged(home) as connection:
        change(connection)
        if again:
            rehash(connection)


@contextmanager
def forged(home: Path) -> Iterator[SqliteConnection]:
    """Open the database of a home for changes, all of them at once."""
    connection = sqlite3.connect(home / "runnotary.db", isolation_level=None, factory=SqliteConnection)
    try:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        connection.execute("BEGIN")
        yield connection
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()


def rehash(connection: SqliteConnection) -> None:
    """Make every chain, every head in `log` and every tile anew."""
    streams = [row[0] for row in connection.execute("SELECT DISTINCT stream FROM events")]
    for stream in streams:
        prev = chain.GENESIS
        rows = connection.execute(
            "SELECT seq, envelope, body FROM events WHERE stream = ? ORDER BY seq", (stream,)
        )
        for seq, envelope, body in rows.fetchall():
            envelope = envelope[:28] + sha256(body).digest()
            prev = chain.event_hash(stream, seq, prev, envelope)
            connection.execute(
                "UPDATE events SET envelope = ? WHERE stream = ? AND seq = ?", (envelope, stream, seq)
            )
            connection.execute("UPDATE log SET head = ? WHERE stream = ? AND seq = ?", (prev, stream, seq))
    connection.execute("DELETE FROM tiles")
    complete(connection)


def told(connection: sqlite3.Connection, stream: bytes, kind: str) -> tuple[int, bytes, Body]:
    """Return seq, envelope and JSON of the last event of a kind in a stream."""
    rows = connection.execute(
        "SELECT seq, envelope, body FROM events WHERE stream = ? ORDER BY seq DESC", (stream,)
    )
    for seq, envelope, body in rows.fetchall():
        head = chain.unpack(envelope)
        if name(head.code, head.version) == kind:
            return seq, envelope, msgspec.json.decode(body[chain.NONCE_SIZE :])
    raise UnknownEvent(kind)


def retell(connection: sqlite3.Connection, stream: bytes, seq: int, said: Body) -> None:
    """Let an event say something else; its nonce stays."""
    body = connection.execute(
        "SELECT body FROM events WHERE stream = ? AND seq = ?", (stream, seq)
    ).fetchone()[0]
    new = body[: chain.NONCE_SIZE] + msgspec.json.encode(said)
    connection.execute("UPDATE events SET body = ? WHERE stream = ? AND seq = ?", (new, stream, seq))


def cut(connection: sqlite3.Connection, entries: int) -> None:
    """Take the last entries of the log away, with their events, and the rows of runs that are gone."""
    last = connection.execute("SELECT max(pos) FROM log").fetchone()[0]
    gone = connection.execute(
        "SELECT stream, from_seq, seq FROM log WHERE pos > ?", (last - entries,)
    ).fetchall()
    for stream, first, end in gone:
        connection.execute(
            "DELETE FROM events WHERE stream = ? AND seq BETWEEN ? AND ?", (stream, first, end)
        )
    connection.execute("DELETE FROM log WHERE pos > ?", (last - entries,))
    left = {
        row[0][1:]
        for row in connection.execute("SELECT stream FROM events WHERE seq = 1")
        if row[0][:1] == b"\x01"
    }
    for (run,) in connection.execute("SELECT id FROM runs").fetchall():
        if run not in left:
            connection.execute("DELETE FROM runs WHERE id = ?", (run,))
            connection.execute("DELETE FROM tasks WHERE run = ?", (run,))
