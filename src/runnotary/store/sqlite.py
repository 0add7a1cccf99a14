"""Connections to the one database of a home: how each kind is opened, and what it may do.

Rules of this file:

1. One connection writes, in WAL mode, and it is the writer thread's. Every other one is read-only by its
   URI, so a mistake in a query cannot become a change.
2. Durability is `full` unless someone asked for less: an acknowledged append survives a power cut.
3. Checkpoints happen in the writer (`wal_autocheckpoint`): a checkpointer beside a busy writer never gets
   to reset the log, which then grows without end.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote

from runnotary.core.errors import Damaged, FileMissing, NotRecorded

Durability = Literal["full", "normal"]

FILE: Final = "runnotary.db"
BUSY_MS: Final = 10_000
CHECKPOINT_PAGES: Final = 1000
_CACHE_KIB: Final = 16 * 1024
_STATEMENTS: Final = 64


def database(home: Path) -> Path:
    """Return the path of a home's database."""
    return home / FILE


@contextmanager
def whole(home: Path) -> Iterator[None]:
    """Turn SQLite's complaints about a damaged file and about the disk into errors that say so.

    Raises:
        Damaged: the file is not a database, or not a whole one.
        NotRecorded: it cannot be written.
    """
    try:
        yield
    except sqlite3.DatabaseError as error:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
            raise Damaged([f"{database(home)}: {error}"]) from None
        if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY):
            hint = "look at the disk of the home, then ask again"
            raise NotRecorded(f"{database(home)}: {error}", hint=hint) from None
        raise


def connect_writer(home: Path, durability: Durability = "full") -> sqlite3.Connection:
    """Open the home's database for writing; makes the file if there is none."""
    connection = sqlite3.connect(
        database(home), isolation_level=None, check_same_thread=False, cached_statements=_STATEMENTS
    )
    for pragma in (
        f"busy_timeout = {BUSY_MS}",
        "journal_mode = WAL",
        f"synchronous = {durability}",
        f"wal_autocheckpoint = {CHECKPOINT_PAGES}",
        f"cache_size = -{_CACHE_KIB}",
        # Otherwise the journal of a single statement spills into a file, and a batch takes twice as long.
        "temp_store = MEMORY",
        "trusted_schema = OFF",
    ):
        try:
            connection.execute(f"PRAGMA {pragma}")
        except sqlite3.Error:
            connection.close()
            raise
    return connection


def connect_reader(home: Path) -> sqlite3.Connection:
    """Open the home's database for reading, beside whoever writes.

    On media that cannot hold the shared-memory file the database is read as it lies, which is right only
    if no write-ahead log stands beside it.

    Raises:
        FileMissing: there is no record here, or it cannot be read where it lies.
    """
    path = database(home)
    if not path.is_file():
        raise FileMissing(f"{home} holds no record", hint="name the home that a flow was started in")
    try:
        return _read_only(path, "mode=ro")
    except sqlite3.OperationalError:
        log = path.with_name(path.name + "-wal")
        if log.exists() and log.stat().st_size:
            hint = f"copy {path.name} and {log.name} to a place that can be written"
            raise FileMissing(f"{path} has commits beside it that cannot be read here", hint=hint) from None
        return _read_only(path, "mode=ro&immutable=1")


def _read_only(path: Path, mode: str) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?{mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=_STATEMENTS,
    )
    try:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        connection.execute("PRAGMA trusted_schema = OFF")
        # The first read is what finds out whether the file can be read here at all.
        connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def rewritten(connection: sqlite3.Connection, at_most: int) -> bool:
    """Write the database anew without its free space; False if it has more than `at_most` bytes (0: any).

    To overwrite rows as they are deleted is not enough: where SQLite split a page, copies of rows were left
    in the part that is free since.
    """
    pages, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    if at_most and pages * size > at_most:
        return False
    connection.execute("PRAGMA temp_store = FILE")  # as large as the database
    try:
        connection.execute("VACUUM")
    finally:
        connection.execute("PRAGMA temp_store = MEMORY")
    checkpoint(connection)
    return True


def checkpoint(connection: sqlite3.Connection) -> None:
    """Move the write-ahead log into the database and truncate it, unless a reader is still in it."""
    connection.execute("PRAGMA busy_timeout = 0")
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    except sqlite3.Error:
        # Someone reads, or the disk is full. Nothing is lost: the commits lie in the log, and the next idle
        # moment will do.
        return
    finally:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
