"""Which tasks wait for somebody.

A run's `counts` say whether any task of it waits, so this costs a look at every open run, and at the tasks of
those in which one does; runs that are over cost nothing.
"""

from __future__ import annotations

import msgspec

from runnotary.core.queries import RunQuery
from runnotary.core.rows import TaskRow
from runnotary.store.connection import Connection
from runnotary.store.listing import Clause, filters, one_of, statement


def list_waiting(
    connection: Connection, query: RunQuery, after: tuple[bytes, str] | None, limit: int
) -> list[TaskRow]:
    """Return a page of tasks that wait, of the runs that the filters on namespace, flow and sight leave."""
    words = connection.dialect
    every = msgspec.structs.replace(query, after=None, include_archived=True)
    clauses = [
        Clause("ended_at IS NULL"),
        Clause(f"{words.waiting} > 0"),
        *filters(every, words),
        *one_of("flow", query.flow, words),
    ]
    runs, values = statement(words.sql["run_ids"], clauses)
    sql = words.sql["waiting"].replace(":runs", runs)
    return [TaskRow(*row) for row in connection.run(sql, [*values, *(after or (b"", "")), limit])]
