"""Where a whole record lies, or is to lie: what a backup, a restore and a move need of any database.

    SQLite        sqlite_place.py         a file in the home
    PostgreSQL    postgresql/place.py     a database; blobs, key and checkpoint are in the home

Rules of this file:

1. A record is copied row by row, as bytes, in pieces; nothing is made anew.
2. What is being filled is no record until it is committed, the last thing that happens: whoever is killed
   before leaves an empty place, and begins again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final, Protocol

from runnotary.store.connection import Connection, Values
from runnotary.store.opening import Record
from runnotary.store.report import Notebook
from runnotary.store.tables import Table, tables


class Side(Protocol):
    """A database in one transaction, out of which or into which rows are copied."""

    @property
    def connection(self) -> Connection: ...

    def rows(self, table: Table) -> Iterator[Values]:
        """Read a table, in an order in which another one is best filled."""

    def fill(self, table: Table, rows: Iterable[Values]) -> None:
        """Write rows into a table that is empty, in pieces."""

    def commit(self) -> None:
        """Let it be durable what was written, and the record be where it belongs."""


class Place(Protocol):
    """A place for one record. `name` is how an event calls it: without a password."""

    @property
    def kind(self) -> str:
        """What its dialect is called: `sqlite` or `postgresql`."""

    @property
    def name(self) -> str: ...

    @property
    def home(self) -> Path:
        """Where its files are: blobs, key, and the checkpoint outside the database."""

    @property
    def record(self) -> Record: ...

    def refuse_taken(self) -> None:
        """Refuse a place that holds anything.

        Raises:
            Conflict: there is a record. HomeVersion: there is something else.
        """

    def held(self) -> AbstractContextManager[Side]:
        """Read a record, and write to it, while nobody else can.

        Raises:
            FileMissing: there is no record. HomeVersion: another release wrote it.
            Conflict: a server works on it.
        """

    def filling(self, growing: Path) -> AbstractContextManager[Side]:
        """Make an empty record that is one once it is committed; files on the way may lie in `growing`.

        Raises:
            Conflict: there is a record meanwhile, or the database cannot hold what it is given.
        """

    def reading(self) -> AbstractContextManager[Connection]:
        """Read what there is at each moment."""

    def copy_database(self, growing: Path) -> None:
        """Make the record of a home in the folder `growing` that is this one as of now, beside its writers.

        Raises:
            FileMissing: there is no record.
        """

    def adopt(self, copy: Path, before: Callable[[], None]) -> None:
        """Let the record of the home `copy` be the one here; `before` is done last before it is."""


class Opened:
    """A record as one connection sees it, with what that has not committed yet; see `opening.Record`."""

    def __init__(self, record: Record, home: Path, connection: Connection) -> None:
        self.home: Final = home
        self._record: Final = record
        self._connection: Final = connection

    @contextmanager
    def snapshot(self, copies: object) -> Iterator[Connection]:
        del copies  # they are compared with the record by whoever verifies it
        yield self._connection

    def structure(self, connection: Connection, notes: Notebook) -> None:
        self._record.structure(connection, notes)


def copy_rows(source: Side, target: Side) -> None:
    """Copy every row of a record into an empty one."""
    for table in tables():
        target.fill(table, source.rows(table))
