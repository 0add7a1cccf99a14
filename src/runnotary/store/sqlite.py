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
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal
from urllib.parse import quote

import msgspec

from runnotary.core.errors import Damaged, FileMissing, NotRecorded
from runnotary.store.ballast import is_full
from runnotary.store.connection import Values, dialect

Durability = Literal["full", "normal"]

FILE: Final = "runnotary.db"
BUSY_MS: Final = 10_000
CHECKPOINT_PAGES: Final = 1000
_CACHE_KIB: Final = 16 * 1024
_STATEMENTS: Final = 64
_STRICT_SINCE: Final = (3, 37)
_plain: Final = msgspec.json.decode

SQLITE: Final = dialect(
    "sqlite", elements="SELECT value FROM json_each({})", waiting="json_extract(counts, '$.waiting')"
)


class SqliteConnection(sqlite3.Connection):
    """See `connection.Connection`."""

    dialect = SQLITE

    def ask(self, name: str, values: Values = (), /) -> sqlite3.Cursor:
        return self.execute(SQLITE.sql[name], values)

    def ask_many(self, name: str, rows: Sequence[Values], /) -> None:
        self.executemany(SQLITE.sql[name], rows)

    def run(self, sql: str, values: Values = (), /) -> sqlite3.Cursor:
        return self.execute(sql, values)

    def survives(self, error: Exception, /) -> bool:
        return self.in_transaction and not is_full(error)

    def overwrite(self, on: bool, /) -> None:
        self.execute(f"PRAGMA secure_delete = {'ON' if on else 'OFF'}")


def migrations() -> list[str]:
    """Return the migrations in order, as this SQLite can read them."""
    return [portable(text) for text in SQLITE.migrations()]


def schema() -> str:
    """Return the whole present schema, as this SQLite can read it."""
    return portable(SQLITE.schema())


def portable(sql: str) -> str:
    """Take away what an old SQLite cannot read: STRICT came with 3.37."""
    if sqlite3.sqlite_version_info >= _STRICT_SINCE:
        return sql
    return sql.replace(" WITHOUT ROWID, STRICT;", " WITHOUT ROWID;").replace(") STRICT;", ");")


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


def connect_writer(home: Path, durability: Durability = "full") -> SqliteConnection:
    """Open the home's database for writing; makes the file if there is none."""
    connection = sqlite3.connect(
        database(home),
        isolation_level=None,
        check_same_thread=False,
        cached_statements=_STATEMENTS,
        factory=SqliteConnection,
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


def connect_reader(home: Path) -> SqliteConnection:
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


def _read_only(path: Path, mode: str) -> SqliteConnection:
    connection = sqlite3.connect(
        f"file:{quote(str(path.absolute()))}?{mode}",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=_STATEMENTS,
        factory=SqliteConnection,
    )
    try:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MS}")
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.create_function("says", 2, _says, deterministic=True)
        connection.create_function("tells", 5, _tells, deterministic=True)
        # The first read is what finds out whether the file can be read here at all.
        connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _says(wanted: str, text: str) -> bool:
    return wanted in text.casefold()


def _tells(wanted: str, label: str, flow: str, tags: str, error: str) -> bool:
    """Tell whether a word is in what a run says about itself."""
    return (
        wanted in label.casefold()
        or wanted in flow.casefold()
        or any(wanted in tag.casefold() for tag in _plain(tags))
        or (error != "" and wanted in str(_plain(error)["message"]).casefold())
    )


def rewritten(connection: SqliteConnection, at_most: int) -> bool:
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


def checkpoint(connection: SqliteConnection) -> None:
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
