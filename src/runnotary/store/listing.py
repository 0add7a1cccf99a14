"""Listings of runs: a query's filters as SQL, and the walks that bring its page.

Rules of this file:

1. Newest first is the order of the key itself, and each status and each flow stands in that order in an index
   of its own: such a page reads as many rows as it shows. Several statuses, or flows, are several such walks,
   merged.
2. What no index knows (a substring, a tag, who may see) is a filter on the walk. An order that no index has
   is sorted by SQLite, which keeps no more than the page.
3. A page after the first begins behind a place, by value and id. So rows inserted meanwhile move nothing.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import msgspec

from runnotary.core.hashing import digest_bytes
from runnotary.core.ids import TEXT_LENGTH, from_text, to_text
from runnotary.core.permissions import Visible
from runnotary.core.queries import ContentQuery, RunQuery
from runnotary.core.rows import RunRow
from runnotary.store.statements import SQL

WALKS_MAX: Final = 16
"""More values than this are one walk with a filter: each walk reads a whole page."""

_NEVER: Final = -1
_ONE_OF: Final = "IN (SELECT value FROM json_each(?))"
_ANY_OF: Final = ("namespace", "kind", "created_by", "owner")
_RANGES: Final = {
    "started_from": "started_at >= ?",
    "started_to": "started_at <= ?",
    "ended_from": "ended_at >= ?",
    "ended_to": "ended_at <= ?",
}
_ORDERS: Final = {
    "created_at": "id",
    "started_at": f"coalesce(started_at, {_NEVER})",
    "ended_at": f"coalesce(ended_at, {_NEVER})",
    "label": "label",
    "flow": "flow",
    "status": "status",
}

WALKED: Final = frozenset({"created_at", "flow", "status"})
"""Orders that an index has."""

_json: Final = msgspec.json.Encoder().encode
_plain: Final = msgspec.json.decode


class Clause(NamedTuple):
    """A condition, and the values of its question marks."""

    sql: str
    values: tuple[Any, ...] = ()


NOTHING: Final = Clause("0")


def list_runs(connection: sqlite3.Connection, query: RunQuery) -> list[RunRow]:
    """Return one page of runs."""
    window = query.offset + query.limit
    rows: list[Any] = []
    for clauses in _walks(query):
        rows += connection.execute(*page(query, clauses, window)).fetchall()
    if query.order_by == "created_at":
        rows.sort(key=lambda row: row[0], reverse=query.descending)
    return [RunRow(*row) for row in rows[query.offset : window]]


def count_runs(connection: sqlite3.Connection, query: RunQuery) -> int:
    """Return how many runs the filters leave, whatever page was asked for."""
    every = msgspec.structs.replace(query, after=None)
    clauses = [*filters(every), *_one_of("status", query.status), *_one_of("flow", query.flow)]
    count: int = connection.execute(*statement(SQL["count_runs"], clauses)).fetchone()[0]
    return count


def tally_runs(connection: sqlite3.Connection, query: RunQuery) -> dict[str, int]:
    """Return how many runs of each definition the filters leave."""
    clauses = [*filters(query), *_one_of("status", query.status), *_one_of("flow", query.flow)]
    sql, values = statement(SQL["tally_runs"], clauses)
    return dict(connection.execute(f"{sql} GROUP BY definition", values).fetchall())


def runs_with(connection: sqlite3.Connection, query: ContentQuery) -> list[RunRow]:
    """Return runs that made a content, or were given it."""
    clauses = [Clause("uses.blob = ? AND uses.made = ?", (digest_bytes(query.blob), int(query.made)))]
    if query.before is not None:
        clauses.append(Clause("uses.run < ?", (query.before,)))
    if query.after is not None:
        clauses.append(Clause("uses.run > ?", (query.after,)))
    if query.visible is not None:
        clauses += _visible(query.visible)
    sql, values = statement(SQL["runs_with"], clauses)
    way = "DESC" if query.after is None else "ASC"
    found = connection.execute(f"{sql} ORDER BY uses.run {way} LIMIT ?", [*values, query.limit])
    return [RunRow(*row) for row in found]


def page(query: RunQuery, clauses: list[Clause], size: int) -> tuple[str, list[Any]]:
    """Return the SELECT of the first rows of a walk. What must be sorted is sorted as ids: half the time."""
    ordered = order(query)
    if query.order_by in WALKED:
        sql, values = statement(SQL["runs"], clauses)
        return f"{sql} {ordered} LIMIT ?", [*values, size]
    sql, values = statement(SQL["run_ids"], clauses)
    return f"{SQL['runs']} WHERE id IN ({sql} {ordered} LIMIT ?) {ordered}", [*values, size]


def statement(select: str, clauses: list[Clause]) -> tuple[str, list[Any]]:
    """Return a SELECT under these conditions, and its values."""
    values = [value for clause in clauses for value in clause.values]
    return " WHERE ".join([select, *[" AND ".join(clause.sql for clause in clauses)] * bool(clauses)]), values


def order(query: RunQuery) -> str:
    """Return the ORDER BY of a query."""
    way = "DESC" if query.descending else "ASC"
    by = _ORDERS[query.order_by]
    return f"ORDER BY id {way}" if by == "id" else f"ORDER BY {by} {way}, id {way}"


def _walks(query: RunQuery) -> Iterator[list[Clause]]:
    """Yield the conditions of each walk: an index holds each value in order, but not their mixture."""
    clauses = list(filters(query))
    apart = "status" if query.status else "flow"
    values = tuple(dict.fromkeys(getattr(query, apart)))
    if apart == "status":
        clauses += _one_of("flow", query.flow)
    if not values or len(values) > WALKS_MAX or query.order_by != "created_at":
        yield [*_one_of(apart, values), *clauses]
        return
    for value in values:
        yield [Clause(f"{apart} = ?", (value,)), *clauses]


def filters(query: RunQuery) -> Iterator[Clause]:
    """Yield every condition but those on status and flow."""
    if not query.include_archived:
        yield Clause("archived_at IS NULL")
    if query.asset:
        yield NOTHING
    yield from _ids(query)
    for column in _ANY_OF:
        yield from _one_of(column, getattr(query, column))
    for name, sql in _RANGES.items():
        if getattr(query, name) is not None:
            yield Clause(sql, (getattr(query, name),))
    if query.visible is not None:
        yield from _visible(query.visible)
    yield from _texts(query)


def _texts(query: RunQuery) -> Iterator[Clause]:
    """Yield the conditions that look into texts: dear, and so the last."""
    if query.tag:
        yield Clause(_holds_one_of("tags"), (_json(query.tag),))
    if query.label:
        yield Clause("says(?, label)", (query.label.casefold(),))
    for word in query.q.split():
        yield Clause("tells(?, id, label, flow, tags, error)", (word,))


def _one_of(column: str, values: tuple[str, ...]) -> Iterator[Clause]:
    if len(values) == 1:
        yield Clause(f"{column} = ?", values)
    elif values:
        yield Clause(f"{column} {_ONE_OF}", (_json(values),))


def _holds_one_of(column: str) -> str:
    return f"EXISTS (SELECT 1 FROM json_each({column}) AS held WHERE held.value {_ONE_OF})"


def _visible(visible: Visible) -> Iterator[Clause]:
    """Yield what `Visible.shows` says."""
    if visible.everything:
        return
    names = _json(visible.names)
    named = f"owner {_ONE_OF} OR {_holds_one_of('monitors')} OR {_holds_one_of('managers')}"
    values = [names, names, names]
    if visible.within is not None:
        named = f"namespace {_ONE_OF} AND ({named})"
        values = [_json(visible.within), *values]
    yield Clause(f"(namespace {_ONE_OF} OR {named})", (_json(visible.namespaces), *values))


def _ids(query: RunQuery) -> Iterator[Clause]:
    """Yield the conditions on ids: parent, prefix, and the place after which the page begins."""
    if query.roots_only:
        yield Clause("parent IS NULL")
    if query.parent:
        parent = _id(query.parent, "")
        yield NOTHING if parent is None else Clause("parent = ?", (parent,))
    if query.prefix:
        low, high = _id(query.prefix, "0"), _id(query.prefix, "Z")
        yield NOTHING if low is None or high is None else Clause("id BETWEEN ? AND ?", (low, high))
    if query.after is not None:
        value, last = query.after
        than = "<" if query.descending else ">"
        by = _ORDERS[query.order_by]
        if by == "id":
            yield Clause(f"id {than} ?", (last,))
        else:
            yield Clause(f"({by}, id) {than} (?, ?)", (_NEVER if value is None else value, last))


def _id(text: str, filled: str) -> bytes | None:
    """Return an id from its text or the beginning of it; None if there is no such id."""
    try:
        return from_text(text.upper().ljust(TEXT_LENGTH, filled) if filled else text.upper())
    except ValueError:
        return None


# --- what SQL cannot say ---------------------------------------------------------------------------


def teach(connection: sqlite3.Connection) -> None:
    """Give a reading connection the functions that the filters on text use."""
    connection.create_function("says", 2, _says, deterministic=True)
    connection.create_function("tells", 6, _tells, deterministic=True)


def _says(wanted: str, text: str) -> bool:
    return wanted in text.casefold()


def _tells(word: str, run: bytes, label: str, flow: str, tags: str, error: str) -> bool:
    """Tell whether a word is in what a run says about itself, or begins its id."""
    wanted = word.casefold()
    return (
        wanted in label.casefold()
        or wanted in flow.casefold()
        or to_text(run).startswith(word.upper())
        or any(wanted in tag.casefold() for tag in _plain(tags))
        or (error != "" and wanted in str(_plain(error)["message"]).casefold())
    )
