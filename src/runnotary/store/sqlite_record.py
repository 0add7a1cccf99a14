"""The record in the database of a home, for a verification."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final

from runnotary.core.errors import HomeVersion
from runnotary.store import migrate
from runnotary.store.connection import Connection
from runnotary.store.outside import refuse_rollback
from runnotary.store.report import Notebook
from runnotary.store.sqlite import SQLITE, connect_reader, database, schema


class SqliteRecord:
    """See `opening.Record`."""

    def __init__(self, home: Path) -> None:
        self.home: Final = home

    @contextmanager
    def snapshot(self, copies: Sequence[Path]) -> Iterator[Connection]:
        if not database(self.home).is_file():
            refuse_rollback(self.home, None, copies)
        connection = connect_reader(self.home)
        try:
            try:
                migrate.require_current(connection)
            except HomeVersion:  # an empty database, or one of an older release, may be an older copy
                refuse_rollback(self.home, connection, copies)
                raise
            connection.text_factory = _text
            connection.ask("begin_read")
            yield connection
        finally:
            connection.close()

    def structure(self, connection: Connection, notes: Notebook) -> None:
        """Ask SQLite whether its trees hold together, and compare the schema with this release's."""
        for (line,) in connection.run("PRAGMA integrity_check(100)"):
            if line != "ok":
                notes.found("database", "database structure", line)
        with closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh:
            fresh.executescript(schema())
            meant = {_described(row) for row in fresh.execute(SQLITE.sql["schema"])}
        stored = {_described(row) for row in connection.ask("schema")}
        for kind, name, *_ in sorted(meant ^ stored, key=repr):
            notes.found("schema", f"{kind} {name}", "is not as this release makes it")


def _described(row: tuple[Any, ...]) -> tuple[str, ...]:
    """Return a line of the schema without its spaces: they differ in a home that was moved forward."""
    return tuple(" ".join(str(word).split()) for word in row)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")
