"""The read tables: rows in, rows out.

Rules of this file:

1. A row is written as its struct stands, whole, by key; it is made by `core/documents.py`, never here.
   A run that goes on changes in no column that an index holds: its row is updated in place.
2. A listing reads as many rows as it shows: newest first is the order of the key itself. What cannot use
   an index (a substring, a tag) is a filter on that walk, never a sort.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from operator import attrgetter
from typing import Any, Final

import msgspec

from runnotary.core.ids import TEXT_LENGTH, from_text
from runnotary.core.rows import FlowRow, Row, RunRow, TaskRow
from runnotary.ports import RunQuery
from runnotary.store.statements import SQL

_PUT: Final = ((TaskRow, SQL["put_task"]), (FlowRow, SQL["put_flow"]))
_INDEXED: Final = ("id", "flow", "status", "ended_at")
_PLAIN: Final = tuple(name for name in RunRow.__struct_fields__ if name not in _INDEXED)
_update_values: Final = attrgetter(*_PLAIN, *_INDEXED)
_FIRST: Final = bytes(16)
_LAST: Final = b"\xff" * 16


class Drafts:
    """Rows to be written in one commit; of several for one key the last one counts."""

    __slots__ = ("_new", "_rows")

    def __init__(self) -> None:
        self._rows: dict[type, dict[Any, Row]] = {RunRow: {}, TaskRow: {}, FlowRow: {}}
        self._new: set[bytes] = set()

    def add(self, rows: Iterable[Row], *, new: bool) -> None:
        """Take rows of a stream; `new` says that it begins in this commit: nothing to update."""
        for row in rows:
            self._rows[type(row)][key_of(row)] = row
            if new and isinstance(row, RunRow):
                self._new.add(row.id)

    def write(self, connection: sqlite3.Connection) -> None:
        runs = [
            msgspec.structs.astuple(row)
            for key, row in self._rows[RunRow].items()
            if key in self._new or not _updated(connection, row)
        ]
        if runs:
            connection.executemany(SQL["put_run"], runs)
        for kind, statement in _PUT:
            rows = self._rows[kind]
            if rows:
                connection.executemany(statement, [msgspec.structs.astuple(row) for row in rows.values()])


def _updated(connection: sqlite3.Connection, row: Any) -> bool:
    """Update the row of a run that goes on; False if an indexed column changed, as it does at the end."""
    if row.ended_at is not None:
        return False
    return connection.execute(SQL["update_run"], _update_values(row)).rowcount == 1


def key_of(row: Row) -> Any:
    """Return what tells a row from the others in its table."""
    if isinstance(row, RunRow):
        return row.id
    if isinstance(row, TaskRow):
        return row.run, row.key
    return row.namespace, row.name


def list_runs(connection: sqlite3.Connection, query: RunQuery) -> list[RunRow]:
    """Return one page of runs, newest first."""
    bounds = _bounds(query)
    if bounds is None:
        return []
    clauses, values = _filters(query)
    window = query.offset + query.limit
    rows: list[Any] = []
    # One walk per status: an index holds each status in order, but not their mixture.
    for status in dict.fromkeys(query.status) or (None,):
        by_status = [] if status is None else ["status = ?"]
        sql = " AND ".join([SQL["runs"], *by_status, *clauses])
        given = [*bounds, *([] if status is None else [status]), *values, window]
        rows += connection.execute(f"{sql} {SQL['newest_runs']}", given).fetchall()
    rows.sort(key=lambda row: row[0], reverse=True)
    return [RunRow(*row) for row in rows[query.offset : window]]


def _filters(query: RunQuery) -> tuple[list[str], list[Any]]:
    clauses: list[str] = []
    values: list[Any] = []
    if query.flow:
        clauses.append("flow = ?")
        values.append(query.flow)
    if query.namespace:
        clauses.append("+namespace = ?")
        values.append(query.namespace)
    if query.label:
        clauses.append("instr(label, ?) > 0")
        values.append(query.label)
    if query.tag:
        clauses.append("EXISTS (SELECT 1 FROM json_each(tags) WHERE json_each.value = ?)")
        values.append(query.tag)
    if query.roots_only:
        clauses.append("parent IS NULL")
    return clauses, values


def _bounds(query: RunQuery) -> tuple[bytes, bytes] | None:
    """Return the first and last id to look at; none if no id can match."""
    low, high = _FIRST, _LAST
    if query.prefix:
        wanted = query.prefix.upper()
        try:
            low = from_text(wanted.ljust(TEXT_LENGTH, "0"))
            high = from_text(wanted.ljust(TEXT_LENGTH, "Z"))
        except ValueError:
            return None
    if query.before:
        high = min(high, max(0, int.from_bytes(query.before, "big") - 1).to_bytes(16, "big"))
    return low, high
