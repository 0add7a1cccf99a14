"""Audit searches for commands: of a home's own files, or of a server."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import msgspec

from runnotary.api.parameters import moment
from runnotary.app import home
from runnotary.app.system import SystemClock, operating_user
from runnotary.client.evidence import SAID as PYTHON
from runnotary.client.evidence import search
from runnotary.client.words import AuditFilter
from runnotary.config import Settings
from runnotary.engine.access_view import AccessView
from runnotary.engine.auditing import Search
from runnotary.engine.questions import Questions

Json = Any


def searched(settings: Settings, words: dict[str, Json], cursor: str, limit: int) -> Iterator[Json]:
    """Yield pages of a search until so many events were found or there are no more.

    Raises:
        InvalidInput: words that mean nothing. RunNotFound: there is no such run.
    """
    if settings.url:
        from runnotary.app.remote import connection

        there = connection(settings)

        def asked(at: str, most: int) -> Json:
            return there.ask(search(cast(AuditFilter, {**words, "cursor": at, "limit": most})))

        try:
            yield from _pages(asked, cursor, limit)
        finally:
            there.close()
        return
    with home.reading(settings) as reader:
        store, times = home.store_of(reader), ("since", "until")
        questions = Questions(reader, home.HomeFiles(settings.home, store.blobs))
        who = AccessView(store, SystemClock()).who(operating_user())
        said = {**words, "what": tuple(words["what"])}
        said |= {name: moment(PYTHON[name], words[name] or None) for name in times}
        wanted = Search(**said)

        def page(at: str, most: int) -> Json:
            return questions.search(who, msgspec.structs.replace(wanted, limit=most), at)

        yield from _pages(page, cursor, limit)


def _pages(ask: Any, cursor: str, limit: int) -> Iterator[Json]:
    left = limit
    while left > 0:
        page = ask(cursor, min(left, 200))
        yield page
        left -= len(page["events"])
        cursor = page["next_cursor"]
        if not cursor:
            return
