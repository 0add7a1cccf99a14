"""A home with its own database, as a place for a record."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

from runnotary.core.errors import Conflict, FileMissing
from runnotary.store import files, migrate
from runnotary.store.connection import Connection, Values
from runnotary.store.sqlite import (
    FILE,
    SQLITE,
    SqliteConnection,
    connect_reader,
    connect_writer,
    database,
    whole,
)
from runnotary.store.sqlite_record import SqliteRecord
from runnotary.store.tables import Table


class SqliteSide:
    """See `places.Side`."""

    def __init__(self, connection: SqliteConnection, kept: Callable[[], None] = lambda: None) -> None:
        """`kept` is done after the commit."""
        self.connection: Final = connection
        self._kept: Final = kept

    def rows(self, table: Table) -> Iterator[Values]:
        return self.connection.execute(f"SELECT {', '.join(table.columns)} FROM {table.name}")

    def fill(self, table: Table, rows: Iterable[Values]) -> None:
        columns, marks = ", ".join(table.columns), ", ".join("?" * len(table.columns))
        self.connection.executemany(f"INSERT INTO {table.name} ({columns}) VALUES ({marks})", rows)

    def commit(self) -> None:
        self.connection.ask("commit")
        self._kept()


class SqlitePlace:
    """See `places.Place`. Whoever holds or fills it holds the lock of the home."""

    kind: Final = SQLITE.folder.name

    def __init__(self, home: Path) -> None:
        self.home: Final = home

    @property
    def name(self) -> str:
        return f"sqlite:///{database(self.home.absolute())}"

    @property
    def record(self) -> SqliteRecord:
        return SqliteRecord(self.home)

    def refuse_taken(self) -> None:
        if database(self.home).exists():
            raise Conflict(f"{self.home} holds a record", hint="name a home that has none: --home DIR")

    @contextmanager
    def held(self) -> Iterator[SqliteSide]:
        if not database(self.home).is_file():
            raise FileMissing(f"{self.home} holds no record", hint="name the home that a flow was started in")
        with whole(self.home), closing(connect_writer(self.home)) as connection:
            migrate.require_current(connection)
            connection.ask("begin")
            yield SqliteSide(connection)

    @contextmanager
    def filling(self, growing: Path) -> Iterator[SqliteSide]:
        with new_database(growing) as connection:
            yield SqliteSide(connection, lambda: install(growing, self.home))

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        with closing(connect_reader(self.home)) as connection:
            yield connection

    def copy_database(self, growing: Path) -> None:
        """Copy page by page, which SQLite does best; the copy may be of an older release too."""
        with (
            closing(connect_reader(self.home)) as source,
            closing(sqlite3.connect(database(growing))) as copy,
        ):
            source.backup(copy)
            # The copy is one file: whoever opens it next may not be able to write beside it.
            copy.execute("PRAGMA journal_mode = DELETE")

    def adopt(self, copy: Path, before: Callable[[], None]) -> None:
        before()
        install(copy, self.home)


@contextmanager
def new_database(folder: Path) -> Iterator[SqliteConnection]:
    """Make the database of a home without anything in it, in a transaction; one that fails is thrown away."""
    connection = sqlite3.connect(database(folder), isolation_level=None, factory=SqliteConnection)
    with whole(folder), closing(connection):
        # Nobody needs what a crash leaves of it: no journal, and one sync at the end, see `install`.
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        migrate.prepare(connection, lambda _: None)
        connection.ask("begin")
        yield connection


def install(copy: Path, home: Path) -> None:
    """Move a complete database into a home that has none, durably."""
    files.sync_file(database(copy))
    for beside in ("-wal", "-shm"):  # of a database that is gone: they would be taken for this one's
        (home / f"{FILE}{beside}").unlink(missing_ok=True)
    files.sync_folder(home)
    os.replace(database(copy), database(home))
    files.sync_folder(home)
