"""Listings as they are meant, over plain rows in memory: no index, no SQL, no cleverness."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from runnotary.core.ids import to_text
from runnotary.core.permissions import People
from runnotary.core.queries import RunQuery
from runnotary.core.rows import RunRow

decode = msgspec.json.decode


def listed(rows: Iterable[RunRow], query: RunQuery) -> list[RunRow]:
    """Return the page that a store should."""
    found = sorted(
        (row for row in rows if wanted(row, query)),
        key=lambda row: place(row, query),
        reverse=query.descending,
    )
    if query.after is not None:
        value, last = query.after
        by_id = query.order_by == "created_at"
        behind = (last if by_id else -1 if value is None else value, last)
        found = [
            row
            for row in found
            if (place(row, query) < behind if query.descending else place(row, query) > behind)
        ]
    return found[query.offset : query.offset + query.limit]


def counted(rows: Iterable[RunRow], query: RunQuery) -> int:
    """Return how many there are in all."""
    return sum(wanted(row, query) for row in rows)


def place(row: RunRow, query: RunQuery) -> Any:
    """Return what a row is ordered by."""
    if query.order_by == "created_at":
        return row.id, row.id
    value = getattr(row, query.order_by)
    return -1 if value is None else value, row.id


def wanted(row: RunRow, query: RunQuery) -> bool:
    """Tell whether every filter lets a row pass."""
    return all(
        [
            all(
                getattr(row, name) in getattr(query, name)
                for name in ("namespace", "flow", "status", "kind", "created_by", "owner")
                if getattr(query, name)
            ),
            not query.tag or bool(set(query.tag) & set(decode(row.tags))),
            not query.asset,
            query.label.casefold() in row.label.casefold(),
            not query.parent or (row.parent is not None and to_text(row.parent) == query.parent.upper()),
            all(tells(row, word) for word in query.q.split()),
            to_text(row.id).startswith(query.prefix.upper()),
            within(row.started_at, query.started_from, query.started_to),
            within(row.ended_at, query.ended_from, query.ended_to),
            not query.roots_only or row.parent is None,
            query.include_archived or row.archived_at is None,
            query.visible is None or query.visible.shows(people(row)),
        ]
    )


def within(value: int | None, low: int | None, high: int | None) -> bool:
    if low is None and high is None:
        return True
    return value is not None and (low is None or value >= low) and (high is None or value <= high)


def tells(row: RunRow, word: str) -> bool:
    said = [row.label, row.flow, *decode(row.tags), decode(row.error)["message"] if row.error else ""]
    return to_text(row.id).startswith(word.upper()) or any(word.casefold() in one.casefold() for one in said)


def people(row: RunRow) -> People:
    return People(row.namespace, row.owner, tuple(decode(row.monitors)), tuple(decode(row.managers)))
