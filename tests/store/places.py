"""Where a record lies: what a test of any store opens, reads, verifies and tampers with."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

import psycopg

from runnotary.app.signing import HomeKey
from runnotary.store.log import SqliteStore
from runnotary.store.opening import Record
from runnotary.store.postgresql.record import PostgresRecord
from runnotary.store.postgresql.servers import Server
from runnotary.store.postgresql.store import PostgresStore
from runnotary.store.records import Records
from runnotary.store.sqlite import connect_reader, database
from tests.postgres import Postgres
from tests.store.history import Seeded, Ticks

Rows = list[tuple[Any, ...]]


class Place(Protocol):
    """A record that need not be there yet."""

    home: Path

    @property
    def record(self) -> Path | Record:
        """What `verify` takes."""

    def open(self, **settings: Any) -> Records: ...

    def read(self) -> Records:
        """Open it for reading only."""

    def tell(self, sql: str, values: Sequence[Any] = ()) -> Rows:
        """Run a statement as somebody who has the database, past the store; `?` stands for a value."""

    def columns(self, table: str) -> list[str]:
        """Return the columns of a table, in order."""


class SqlitePlace:
    """A home with its own database."""

    def __init__(self, home: Path) -> None:
        self.home: Final = home

    @property
    def record(self) -> Path:
        return self.home

    def open(self, *, quickly: bool = False, **settings: Any) -> SqliteStore:
        given = {"clock": Ticks(), "chance": Seeded(), "signer": HomeKey(self.home)} | settings
        return SqliteStore.open(self.home, durability="normal" if quickly else "full", **given)

    def read(self) -> SqliteStore:
        return SqliteStore.open_read_only(self.home)

    def tell(self, sql: str, values: Sequence[Any] = ()) -> Rows:
        with closing(sqlite3.connect(database(self.home), isolation_level=None)) as connection:
            connection.execute("PRAGMA ignore_check_constraints = ON")
            return connection.execute(sql, values).fetchall()

    def columns(self, table: str) -> list[str]:
        with closing(connect_reader(self.home)) as reader:
            return [row[1] for row in reader.execute(f"PRAGMA table_info({table})")]


class PostgresPlace:
    """A schema of a database, and the folder that the servers on it share."""

    def __init__(self, url: str, home: Path, postgres: Postgres) -> None:
        self.url: Final = url
        self.home: Final = home
        self.postgres: Final = postgres

    @property
    def schema(self) -> str:
        return self.url.rpartition("%3D")[2]

    @property
    def record(self) -> PostgresRecord:
        return PostgresRecord(self.url, self.home)

    def open(
        self,
        name: str = "a",
        *,
        url: str = "",
        host: str = "",
        lease_seconds: float = 60.0,
        takes_over: bool = False,
        quickly: bool = False,
        **settings: Any,
    ) -> PostgresStore:
        """Open it as one server; `url` is another way to the same place."""
        given = {
            "clock": Ticks(),
            "chance": Seeded(hash(name)),
            "signer": HomeKey(self.home),
            "server": Server(
                name, host or socket.gethostname(), lease_seconds=lease_seconds, takes_over=takes_over
            ),
        }
        return PostgresStore.open(url or self.url, self.home, **(given | settings))

    def read(self) -> PostgresStore:
        return PostgresStore.open_read_only(self.url, self.home)

    @contextmanager
    def connection(self) -> Iterator[psycopg.Connection[Any]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            yield connection

    def tell(self, sql: str, values: Sequence[Any] = ()) -> Rows:
        with self.connection() as connection:
            done = connection.execute(sql.replace("%", "%%").replace("?", "%s").encode(), values)
            return done.fetchall() if done.description else []

    def columns(self, table: str) -> list[str]:
        found = self.tell(
            "SELECT column_name::text FROM information_schema.columns"
            " WHERE table_schema = current_schema() AND table_name = ? ORDER BY ordinal_position",
            (table,),
        )
        return [row[0] for row in found]
