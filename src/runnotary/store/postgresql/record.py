"""The record in a PostgreSQL database, for a verification."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from runnotary.core.errors import FileMissing, HomeVersion
from runnotary.store.connection import Connection
from runnotary.store.outside import refuse_rollback
from runnotary.store.postgresql import schema
from runnotary.store.postgresql.connections import POSTGRESQL, PostgresConnection
from runnotary.store.report import Notebook

FRESH: Final = "runnotary_fresh"

_MEANT: Final[dict[int, frozenset[tuple[Any, ...]]]] = {}
"""What this release makes, as each version of PostgreSQL describes it."""


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
        assert isinstance(connection, PostgresConnection)
        version = connection.raw.info.server_version
        if version not in _MEANT:
            _MEANT[version] = _made_anew(self._url)
        for kind, name, *_ in sorted(_MEANT[version] ^ stored, key=repr):
            notes.found("schema", f"{kind} {name}", "is not as this release makes it")


def _made_anew(url: str) -> frozenset[tuple[Any, ...]]:
    fresh = PostgresConnection(url)
    try:
        fresh.ask("begin")
        name = f"{FRESH}_{fresh.raw.info.backend_pid}"  # others may do the same now
        fresh.run(f"CREATE SCHEMA {name}")
        fresh.run(f"SET LOCAL search_path = {name}")
        fresh.raw.execute(POSTGRESQL.schema().encode(), prepare=False)
        meant = frozenset(fresh.ask("structure").fetchall())
        fresh.ask("rollback")
        return meant
    finally:
        fresh.close()
