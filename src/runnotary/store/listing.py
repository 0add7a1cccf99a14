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

from collections.abc import Collection, Iterator
from typing import Any, Final, NamedTuple

import msgspec

from runnotary.core.hashing import digest_bytes
from runnotary.core.ids import TEXT_LENGTH, from_text
from runnotary.core.permissions import Visible
from runnotary.core.queries import ContentQuery, RunQuery
from runnotary.core.rows import RunRow
from runnotary.store.connection import Connection, Dialect

WALKS_MAX: Final = 16
"""More values than this are one walk with a filter: each walk reads a whole page."""

_NEVER: Final = -1
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

_plain: Final = msgspec.json.decode


class Clause(NamedTuple):
    """A condition, and the values of its question marks."""

    sql: str
    values: tuple[Any, ...] = ()


NOTHING: Final = Clause("FALSE")


def list_runs(connection: Connection, query: RunQuery) -> list[RunRow]:
    """Return one page of runs."""
    window = query.offset + query.limit
    rows: list[Any] = []
    for clauses in _walks(query, connection.dialect):
        rows += connection.run(*page(query, clauses, window, connection.dialect)).fetchall()
    if query.order_by == "created_at":
        rows.sort(key=lambda row: row[0], reverse=query.descending)
    return [RunRow(*row) for row in rows[query.offset : window]]


def count_runs(connection: Connection, query: RunQuery) -> int:
    """Return how many runs the filters leave, whatever page was asked for."""
    every = msgspec.structs.replace(query, after=None)
    clauses = _every_filter(every, connection.dialect)
    count: int = connection.run(*statement(connection.dialect.sql["count_runs"], clauses)).fetchone()[0]
    return count


def tally_runs(connection: Connection, query: RunQuery) -> dict[str, int]:
    """Return how many runs of each definition the filters leave."""
    sql, values = statement(connection.dialect.sql["tally_runs"], _every_filter(query, connection.dialect))
    return dict(connection.run(f"{sql} GROUP BY definition", values).fetchall())


def runs_with(connection: Connection, query: ContentQuery) -> list[RunRow]:
    """Return runs that made a content, or were given it."""
    clauses = [Clause("uses.blob = ? AND uses.made = ?", (digest_bytes(query.blob), int(query.made)))]
    if query.before is not None:
        clauses.append(Clause("uses.run < ?", (query.before,)))
    if query.after is not None:
        clauses.append(Clause("uses.run > ?", (query.after,)))
    if query.visible is not None:
        clauses += _visible(query.visible, connection.dialect)
    sql, values = statement(connection.dialect.sql["runs_with"], clauses)
    way = "DESC" if query.after is None else "ASC"
    found = connection.run(f"{sql} ORDER BY uses.run {way} LIMIT ?", [*values, query.limit])
    return [RunRow(*row) for row in found]


def page(query: RunQuery, clauses: list[Clause], size: int, words: Dialect) -> tuple[str, list[Any]]:
    """Return the SELECT of the first rows of a walk. What must be sorted is sorted as ids: half the time."""
    ordered = order(query)
    if query.order_by in WALKED:
        sql, values = statement(words.sql["runs"], clauses)
        return f"{sql} {ordered} LIMIT ?", [*values, size]
    sql, values = statement(words.sql["run_ids"], clauses)
    return f"{words.sql['runs']} WHERE id IN ({sql} {ordered} LIMIT ?) {ordered}", [*values, size]


def statement(select: str, clauses: list[Clause]) -> tuple[str, list[Any]]:
    """Return a SELECT under these conditions, and its values."""
    values = [value for clause in clauses for value in clause.values]
    return " WHERE ".join([select, *[" AND ".join(clause.sql for clause in clauses)] * bool(clauses)]), values


def order(query: RunQuery) -> str:
    """Return the ORDER BY of a query."""
    way = "DESC" if query.descending else "ASC"
    by = _ORDERS[query.order_by]
    return f"ORDER BY id {way}" if by == "id" else f"ORDER BY {by} {way}, id {way}"


def _walks(query: RunQuery, words: Dialect) -> Iterator[list[Clause]]:
    """Yield the conditions of each walk: an index holds each value in order, but not their mixture."""
    clauses = list(filters(query, words))
    apart = "status" if query.status else "flow"
    values = tuple(dict.fromkeys(getattr(query, apart)))
    if apart == "status":
        clauses += one_of("flow", query.flow, words)
    if not values or len(values) > WALKS_MAX or query.order_by != "created_at":
        yield [*one_of(apart, values, words), *clauses]
        return
    for value in values:
        yield [Clause(f"{apart} = ?", (value,)), *clauses]


def _every_filter(query: RunQuery, words: Dialect) -> list[Clause]:
    found = [*one_of("status", query.status, words), *one_of("flow", query.flow, words)]
    return [*filters(query, words), *found]


def filters(query: RunQuery, words: Dialect) -> Iterator[Clause]:
    """Yield every condition but those on status and flow."""
    if not query.include_archived:
        yield Clause("archived_at IS NULL")
    if query.asset:
        yield NOTHING
    yield from _ids(query)
    for column in _ANY_OF:
        yield from one_of(column, getattr(query, column), words)
    for name, sql in _RANGES.items():
        if getattr(query, name) is not None:
            yield Clause(sql, (getattr(query, name),))
    if query.visible is not None:
        yield from _visible(query.visible, words)
    yield from _texts(query, words)


def _texts(query: RunQuery, words: Dialect) -> Iterator[Clause]:
    """Yield the conditions that look into texts: dear, and so the last."""
    if query.tag:
        yield Clause(_holds_one_of("tags", words), (_json(query.tag),))
    if query.label:
        yield Clause("says(?, label)", (query.label.casefold(),))
    for word in query.q.split():
        yield _told(word)


def one_of(column: str, values: tuple[str, ...], words: Dialect) -> Iterator[Clause]:
    """Yield the condition that a column has one of these values; none if there are none."""
    if len(values) == 1:
        yield Clause(f"{column} = ?", values)
    elif values:
        yield Clause(f"{column} {_among(words)}", (_json(values),))


def _among(words: Dialect) -> str:
    return f"IN ({words.elements.format('?')})"


def _holds_one_of(column: str, words: Dialect) -> str:
    return (
        f"EXISTS (SELECT 1 FROM ({words.elements.format(column)}) AS held WHERE held.value {_among(words)})"
    )


def _visible(visible: Visible, words: Dialect) -> Iterator[Clause]:
    """Yield what `Visible.shows` says."""
    if visible.everything:
        return
    names = _json(visible.names)
    among, held = _among(words), [_holds_one_of(column, words) for column in ("monitors", "managers")]
    named = f"owner {among} OR {held[0]} OR {held[1]}"
    values = [names, names, names]
    if visible.within is not None:
        named = f"namespace {among} AND ({named})"
        values = [_json(visible.within), *values]
    yield Clause(f"(namespace {among} OR {named})", (_json(visible.namespaces), *values))


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


def _told(word: str) -> Clause:
    """Return the condition that a run says a word of itself, or that its id begins with it."""
    told = Clause("tells(?, label, flow, tags, error)", (word.casefold(),))
    low, high = _id(word, "0"), _id(word, "Z")
    if low is None or high is None:
        return told
    return Clause(f"({told.sql} OR id BETWEEN ? AND ?)", (*told.values, low, high))


def _json(names: Collection[str]) -> str:
    """Return a list of texts for the database: those with a NUL character are in no row."""
    return msgspec.json.encode([name for name in names if "\0" not in name]).decode()


def _id(text: str, filled: str) -> bytes | None:
    """Return an id from its text or the beginning of it; None if there is no such id."""
    try:
        return from_text(text.upper().ljust(TEXT_LENGTH, filled) if filled else text.upper())
    except ValueError:
        return None
