"""Following a run from an engine's own process: by its turns if it is ours, else by what others commit.

If the server that works on it goes, whoever follows the run goes on with it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final

from runnotary.app.home import Embedded
from runnotary.core.chain import run_stream
from runnotary.ports import Change

LOOK_SECONDS: Final = 1.0
"""How long a server may have died unseen."""


class Watching:
    """The runs that somebody follows in this process. The event loop must be running."""

    def __init__(self, home: Embedded) -> None:
        self._home: Final = home
        self._elsewhere: Final[dict[bytes, set[asyncio.Event]]] = {}
        if home.settings.shared:
            home.store.watch(self._grown)

    async def changes(self, run: bytes) -> AsyncIterator[None]:
        """Yield at once, and at every commit of the run; ends when it is over, or nobody works on it."""
        engine = self._home.engine
        while True:
            if engine.holds(run) or not self._home.settings.shared:
                async for _ in self._ours(run):
                    yield
            if not self._home.settings.shared or self._is_over(run):
                return
            async for _ in self._theirs(run):
                yield

    async def _ours(self, run: bytes) -> AsyncIterator[None]:
        changed = asyncio.Event()
        self._home.engine.watch(run, changed.set)
        ended = self._home.engine.ended(run)
        ended.add_done_callback(lambda _: changed.set())
        yield  # whoever looked before we watched looks again
        while not ended.done():
            await changed.wait()
            changed.clear()
            yield
        ended.result()

    async def _theirs(self, run: bytes) -> AsyncIterator[None]:
        stream, woken = run_stream(run), asyncio.Event()
        self._elsewhere.setdefault(stream, set()).add(woken)
        try:
            yield
            while not self._is_over(run) and not self._home.engine.holds(run):
                try:
                    await asyncio.wait_for(woken.wait(), LOOK_SECONDS)
                except TimeoutError:  # whoever works on it may be gone
                    await self._home.engine.adopt(run)
                woken.clear()
                yield
        finally:
            self._elsewhere[stream].discard(woken)

    def _is_over(self, run: bytes) -> bool:
        row = self._home.store.run(run)
        return row is None or row.ended_at is not None

    def _grown(self, changes: Sequence[Change]) -> None:
        for change in changes:
            for woken in self._elsewhere.get(change.stream, ()):
                woken.set()
