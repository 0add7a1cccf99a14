"""Which runs and flows: listings and sweeps in the words of the HTTP interface, of a home as of a server.

A home is asked through the same reading of words and the same questions as a server's routes, so the two
agree about every filter, order, cursor and refusal.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, cast
from urllib.parse import urlencode

import msgspec

from runnotary.api import wire
from runnotary.api.parameters import parameters
from runnotary.api.runs import filters_of
from runnotary.app.records import reading
from runnotary.app.system import SystemClock, operating_user
from runnotary.config import Settings
from runnotary.core.errors import InvalidInput
from runnotary.core.notation import AGE_FORM, AGE_MAX_MS, milliseconds
from runnotary.core.permissions import EVERYWHERE, Who, local_owner
from runnotary.core.queries import RunQuery
from runnotary.engine.access_view import AccessView
from runnotary.engine.questions import Places, Questions, flow_document
from runnotary.engine.reader import Reader

Json = Any
Words = Mapping[str, Json]
"""Words of a query by name: a text, a number, a flag, or a list of texts."""

PAGE_MOST: Final = 1000
PAGING: Final = frozenset({"order_by", "order", "limit", "offset", "cursor", "total"})
FILTERS: Final = frozenset(wire.ListRuns.__struct_fields__) - PAGING


def page(settings: Settings, words: Words) -> Json:
    """Return one page of run documents as `GET /api/v1/runs` does.

    Raises:
        InvalidInput: a word that there is not, or a value that it does not take.
    """
    with reading(settings) as reader:
        return _page(settings, reader, words)


def pages(settings: Settings, words: Words, most: int | None) -> Iterator[Json]:
    """Yield pages until there were `most` runs, or all."""
    with reading(settings) as reader:
        left = most
        while True:
            size = PAGE_MOST if left is None else min(left, PAGE_MOST)
            answer = _page(settings, reader, {**words, "limit": size})
            left = None if left is None else left - len(answer["runs"])
            yield answer
            if not answer["has_next"] or left == 0:
                return
            words = {**words, "cursor": answer["next_cursor"], "offset": 0, "total": False}


def _page(settings: Settings, reader: Reader, words: Words) -> Json:
    if settings.url:
        from runnotary.app.remote import RemoteReader

        assert isinstance(reader, RemoteReader)
        return reader.page(words)
    asked = parameters(wire.ListRuns, _query(words))
    query = RunQuery(
        **filters_of(asked),
        order_by=asked.order_by,
        descending=asked.order == "desc",
        limit=asked.limit,
        offset=asked.offset,
    )
    questions = Questions(reader, cast(Places, None))
    return questions.runs(owner(), query, page=asked.cursor, total=asked.total)


def flows(settings: Settings, namespace: str) -> list[Json]:
    """Return the flows of a namespace by name, as `GET /api/v1/flows` does; `*` is every namespace."""
    with reading(settings) as reader:
        spaces = [namespace]
        if namespace == EVERYWHERE and not settings.url:
            view = AccessView(reader.store, SystemClock())
            spaces = [one["namespace"] for one in view.namespaces(owner())]
        return [flow_document(row) for name in spaces for row in reader.store.flows(name)]


def owner() -> Who:
    """Return who reads the files of a home: they are theirs."""
    by = operating_user()
    return Who(by, local_owner(by.principal))


def _query(words: Words) -> bytes:
    """Write words as a query string, as a client would."""
    pairs = [
        (name, "true" if one is True else str(one))
        for name, value in words.items()
        for one in (value if isinstance(value, list | tuple) else (value,))
        if one not in (None, "", False)
    ]
    return urlencode(pairs).encode()


def sweep_of(words: Words) -> tuple[RunQuery, int, str, bool]:
    """Read the body of a sweep: filters, age in µs, reason, and whether it is only asked.

    Raises:
        InvalidInput: a word that there is not, or a value that it does not take.
    """
    try:
        asked = msgspec.convert(dict(words), wire.Sweep)
    except msgspec.ValidationError as wrong:
        raise InvalidInput(f"the filter does not fit: {wrong}") from None
    age = milliseconds(asked.older_than, AGE_MAX_MS)
    if age is None:
        raise InvalidInput(f"older_than: write {AGE_FORM}")
    return RunQuery(**filters_of(asked)), age * 1000, asked.reason, asked.dry_run
