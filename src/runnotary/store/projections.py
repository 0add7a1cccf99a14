"""The read tables: rows in.

Rules of this file:

1. A row is written as its struct stands, whole, by key; it is made by `core/documents.py`, never here.
   A run that goes on changes in no column that an index holds: its row is updated in place.
2. Listings are in `listing.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from typing import Any, Final

import msgspec

from runnotary.core.rows import FlowRow, KeyRow, Row, RunRow, TaskRow, UseRow
from runnotary.store.connection import Connection

_PUT: Final = (
    (TaskRow, "put_task"),
    (FlowRow, "put_flow"),
    (KeyRow, "put_key"),
    (UseRow, "put_use"),
)
_INDEXED: Final = ("id", "flow", "status", "ended_at")
_PLAIN: Final = tuple(name for name in RunRow.__struct_fields__ if name not in _INDEXED)
_update_values: Final = attrgetter(*_PLAIN, *_INDEXED)


class Drafts:
    """Rows to be written in one commit; of several for one key the last one counts."""

    __slots__ = ("_new", "_rows")

    def __init__(self) -> None:
        self._rows: dict[type, dict[Any, Row]] = {
            kind: {} for kind in (RunRow, TaskRow, FlowRow, KeyRow, UseRow)
        }
        self._new: set[bytes] = set()

    def add(self, rows: Iterable[Row], *, new: bool) -> None:
        """Take rows of a stream; `new` says that it begins in this commit: nothing to update."""
        for row in rows:
            self._rows[type(row)][key_of(row)] = row
            if new and isinstance(row, RunRow):
                self._new.add(row.id)

    def write(self, connection: Connection) -> None:
        in_place = "update_run" in connection.dialect.sql
        runs = [
            msgspec.structs.astuple(row)
            for key, row in self._rows[RunRow].items()
            if key in self._new or not (in_place and _updated(connection, row))
        ]
        if runs:
            connection.ask_many("put_run", runs)
        for kind, statement in _PUT:
            rows = self._rows[kind]
            if rows:
                connection.ask_many(statement, [msgspec.structs.astuple(row) for row in rows.values()])


def _updated(connection: Connection, row: Any) -> bool:
    """Update the row of a run that goes on; False if an indexed column changed, as it does at the end."""
    if row.ended_at is not None:
        return False
    return connection.ask("update_run", _update_values(row)).rowcount == 1


def key_of(row: Row) -> Any:
    """Return what tells a row from the others in its table."""
    if isinstance(row, RunRow):
        return row.id
    if isinstance(row, TaskRow):
        return row.run, row.key
    if isinstance(row, KeyRow):
        return row.principal, row.key
    if isinstance(row, UseRow):
        return row.blob, row.run
    return row.namespace, row.name
