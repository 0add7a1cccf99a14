"""The record in a PostgreSQL database, for a verification."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from runnotary.core.errors import FileMissing, HomeVersion
from runnotary.store.connection import Connection
from runnotary.store.outside import refuse_rollback
from runnotary.store.postgresql import schema
from runnotary.store.postgresql.connections import POSTGRESQL, PostgresConnection
from runnotary.store.report import Notebook

FRESH: Final = "runnotary_fresh"


class PostgresRecord:
    """See `opening.Record`."""

    def __init__(self, url: str, home: Path) -> None:
        self._url: Final = url
        self.home: Final = home

    @contextmanager
    def snapshot(self, copies: Sequence[Path]) -> Iterator[Connection]:
        connection = PostgresConnection(self._url, read_only=True)
        try:
            if schema.is_empty(connection):
                refuse_rollback(self.home, None, copies)
                raise FileMissing("the database holds no record", hint="start a flow with it first")
            try:
                schema.require_current(connection)
            except HomeVersion:  # one of an older release may be an older copy
                refuse_rollback(self.home, connection, copies)
                raise
            connection.ask("begin_read")
            yield connection
        finally:
            connection.close()

    def structure(self, connection: Connection, notes: Notebook) -> None:
        """Compare the schema with this release's, made in a place of its own that is then forgotten."""
        stored = set(connection.ask("structure").fetchall())
        fresh = PostgresConnection(self._url)
        try:
            fresh.ask("begin")
            name = f"{FRESH}_{fresh.raw.info.backend_pid}"  # others may do the same now
            fresh.run(f"CREATE SCHEMA {name}")
            fresh.run(f"SET LOCAL search_path = {name}")
            fresh.raw.execute(POSTGRESQL.schema().encode(), prepare=False)
            meant = set(fresh.ask("structure").fetchall())
            fresh.ask("rollback")
        finally:
            fresh.close()
        for kind, name, *_ in sorted(meant ^ stored, key=repr):
            notes.found("schema", f"{kind} {name}", "is not as this release makes it")
