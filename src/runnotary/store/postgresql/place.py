"""A PostgreSQL database, as a place for a record. All that is read or written is one transaction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final

import psycopg

from runnotary.core.errors import Conflict, Damaged, FileMissing, InvalidInput, Unreachable
from runnotary.store import files
from runnotary.store.commit import Commit
from runnotary.store.connection import Connection, Values
from runnotary.store.places import Opened, copy_rows
from runnotary.store.postgresql import schema
from runnotary.store.postgresql.connections import POSTGRESQL, PostgresConnection, said_of
from runnotary.store.postgresql.record import PostgresRecord
from runnotary.store.sqlite import connect_reader, database
from runnotary.store.sqlite_place import SqliteSide, new_database
from runnotary.store.tables import Table
from runnotary.store.tree import grown
from runnotary.store.verify import verify

_PUBLIC: Final = "public"
_ALONE: Final = "LOCK TABLE servers IN EXCLUSIVE MODE"
"""Every commit of a server, and every registration of one, waits for this lock."""
_TYPES: Final = (
    "SELECT column_name::text, udt_name::text FROM information_schema.columns"
    " WHERE table_schema = current_schema() AND table_name = ?"
)


class PostgresSide:
    """See `places.Side`."""

    def __init__(self, connection: PostgresConnection) -> None:
        self.connection: Final = connection

    def rows(self, table: Table) -> Iterator[Values]:
        """In the order of the key: SQLite stores a table so."""
        columns, key = ", ".join(table.columns), ", ".join(table.key)
        query = f"COPY (SELECT {columns} FROM {table.name} ORDER BY {key}) TO STDOUT (FORMAT BINARY)"
        types = self._types(table)
        with self.connection.raw.cursor().copy(query.encode()) as copy:
            copy.set_types(types)
            yield from copy.rows()

    def fill(self, table: Table, rows: Iterable[Values]) -> None:
        columns, types = ", ".join(table.columns), self._types(table)
        query = f"COPY {table.name} ({columns}) FROM STDIN (FORMAT BINARY)"
        with self.connection.raw.cursor().copy(query.encode()) as copy:
            copy.set_types(types)
            for row in rows:
                copy.write_row(row)
        self.connection.run(f"ANALYZE {table.name}")  # whoever reads next may not wait for the database's own

    def commit(self) -> None:
        self.connection.ask("commit")

    def _types(self, table: Table) -> list[str]:
        types = dict(self.connection.run(_TYPES, (table.name,)).fetchall())
        return [types[column] for column in table.columns]


class _HeldSide(PostgresSide):
    def commit(self) -> None:
        """Fence every server that was away too: its row is gone."""
        self.connection.run("DELETE FROM servers")
        super().commit()


class PostgresPlace:
    """See `places.Place`."""

    kind: Final = POSTGRESQL.folder.name

    def __init__(
        self, url: str, home: Path, is_dead: Callable[[str, str], bool] = lambda name, host: False
    ) -> None:
        """`is_dead` tells of a server's name and host whether its process is known to be gone."""
        self._url: Final = url
        self._is_dead: Final = is_dead
        self.home: Final = home

    @property
    def name(self) -> str:
        with _answering(self._url), closing(PostgresConnection(self._url, read_only=True)) as connection:
            (database,) = connection.run("SELECT current_database()::text").fetchone()
            name, info = schema.named_place(connection), connection.raw.info
            where = "" if name == _PUBLIC else f" schema {name}"
            return f"postgresql://{info.host}:{info.port}/{database}{where}"

    @property
    def record(self) -> PostgresRecord:
        return PostgresRecord(self._url, self.home)

    def refuse_taken(self) -> None:
        with _answering(self._url), closing(PostgresConnection(self._url, read_only=True)) as connection:
            schema.require_empty(connection)

    @contextmanager
    def held(self) -> Iterator[PostgresSide]:
        with _answering(self._url), closing(PostgresConnection(self._url)) as connection:
            if schema.is_empty(connection):
                raise FileMissing("the database holds no record", hint="see that its address is right")
            schema.require_current(connection)
            self._refuse_served(connection)
            connection.run("BEGIN ISOLATION LEVEL REPEATABLE READ")
            _be_patient(connection)
            connection.run(_ALONE)
            self._refuse_served(connection)
            while entries := connection.ask("take_pending").fetchall():
                _give_positions(connection, entries)
            yield _HeldSide(connection)

    @contextmanager
    def filling(self, growing: Path) -> Iterator[PostgresSide]:
        del growing
        with _answering(self._url), closing(PostgresConnection(self._url)) as connection:
            schema.make_place(connection)
            connection.ask("begin")
            _be_patient(connection)
            connection.ask("begin_schema")
            schema.require_empty(connection)
            schema.make(connection)
            yield PostgresSide(connection)

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        with _answering(self._url), closing(PostgresConnection(self._url, read_only=True)) as connection:
            yield connection

    def copy_database(self, growing: Path) -> None:
        """Copy one snapshot; what has no position in it yet gets one in the copy."""
        with _answering(self._url), self.record.snapshot(()) as source, new_database(growing) as copy:
            assert isinstance(source, PostgresConnection)
            target = SqliteSide(copy, lambda: files.sync_file(database(growing)))
            copy_rows(PostgresSide(source), target)
            query = "SELECT stream, from_seq, seq, head FROM pending ORDER BY id"
            _give_positions(copy, source.run(query).fetchall())
            target.commit()

    def adopt(self, copy: Path, before: Callable[[], None]) -> None:
        with closing(connect_reader(copy)) as source, self.filling(copy) as target:
            copy_rows(SqliteSide(source), target)
            opened = Opened(self.record, copy, target.connection)
            if findings := verify(opened, deep=True).findings:
                raise Damaged([f"the record did not arrive whole: {findings[0]}"])
            before()
            target.commit()

    def _refuse_served(self, connection: PostgresConnection) -> None:
        servers = connection.ask("servers").fetchall()
        names = [name for _, name, host, expired in servers if not (expired or self._is_dead(name, host))]
        if names:
            hint = "end them first; one that was killed is gone when its lease is over"
            raise Conflict(f"servers work on this record: {', '.join(names)}", hint=hint)


def _give_positions(connection: Connection, entries: list[tuple[bytes, int, int, bytes]]) -> None:
    """Put entries at the end of a log, in the transaction that the caller has begun."""
    commit, last = Commit(), connection.ask("last_pos").fetchone()[0]
    commit.log += ((pos, *entry) for pos, entry in enumerate(entries, last + 1))
    commit.close_log(grown(connection))
    commit.write(connection, (), ())


def _be_patient(connection: PostgresConnection) -> None:
    """A server that stands still within a commit is cut off; this may take hours."""
    connection.run("SET LOCAL idle_in_transaction_session_timeout = 0")


@contextmanager
def _answering(url: str) -> Iterator[None]:
    """Turn what a database refuses into errors that say so.

    Raises:
        Conflict: it cannot hold this, or somebody else is at work in it.
        InvalidInput: nothing can be made there. Unreachable: it went away.
    """
    try:
        with schema.not_waiting():
            yield
    except (psycopg.DataError, psycopg.IntegrityError) as wrong:
        raise Conflict(f"the database cannot hold this record: {said_of(wrong, url)}") from None
    except psycopg.OperationalError as wrong:
        raise Unreachable(
            f"the database gave up: {said_of(wrong, url)}", hint="see why, and try again"
        ) from None
    except psycopg.ProgrammingError as wrong:
        raise InvalidInput(
            f"the database refuses: {said_of(wrong, url)}",
            hint="make the database or schema first, and let the user create tables there",
        ) from None
