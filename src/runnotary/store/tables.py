"""The tables of a record, as this release's schema has them: what is copied when a record is."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from functools import cache
from typing import NamedTuple

from runnotary.store.sqlite import schema


class Table(NamedTuple):
    """A table with the columns that it has in every database, and those of its key, in order."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]


@cache
def tables() -> tuple[Table, ...]:
    """Return every table of the schema for SQLite; other databases have more, which are no evidence."""
    with closing(sqlite3.connect(":memory:")) as fresh:
        fresh.executescript(schema())
        names = fresh.execute("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY rowid").fetchall()
        return tuple(_described(fresh, name) for (name,) in names)


def _described(fresh: sqlite3.Connection, name: str) -> Table:
    found = [(column[1], column[5]) for column in fresh.execute(f"PRAGMA table_info({name})")]
    key = sorted((place, column) for column, place in found if place)
    return Table(name, tuple(column for column, _ in found), tuple(column for _, column in key))
