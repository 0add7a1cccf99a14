"""Which tasks wait for somebody.

A run's `counts` say whether any task of it waits, so this costs a look at every open run, and at the tasks of
those in which one does; runs that are over cost nothing.
"""

from __future__ import annotations

import sqlite3

import msgspec

from runnotary.core.queries import RunQuery
from runnotary.core.rows import TaskRow
from runnotary.store.listing import Clause, filters, statement
from runnotary.store.statements import SQL


def list_waiting(
    connection: sqlite3.Connection, query: RunQuery, after: tuple[bytes, str] | None, limit: int
) -> list[TaskRow]:
    """Return a page of tasks that wait, of the runs that the filters on namespace, flow and sight leave."""
    every = msgspec.structs.replace(query, after=None, include_archived=True)
    clauses = [
        Clause("ended_at IS NULL"),
        Clause("json_extract(counts, '$.waiting') > 0"),
        *filters(every),
        *([Clause("flow IN (SELECT value FROM json_each(?))", (_json(query.flow),))] if query.flow else []),
    ]
    runs, values = statement(SQL["run_ids"], clauses)
    sql = SQL["waiting"].replace(":runs", runs)
    return [TaskRow(*row) for row in connection.execute(sql, [*values, *(after or (b"", "")), limit])]


def _json(values: tuple[str, ...]) -> str:
    return msgspec.json.encode(values).decode()
