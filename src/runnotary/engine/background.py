"""Work of an engine that nobody waits for: kept from being forgotten, and ended with the engine."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable
from typing import Final

PATIENCE_SECONDS: Final = 5

log = logging.getLogger("runnotary.engine")


class Background:
    """The tasks of one engine."""

    def __init__(self) -> None:
        self._tasks: Final[set[asyncio.Task[None]]] = set()

    def __bool__(self) -> bool:
        return bool(self._tasks)

    def spawn(self, work: Awaitable[None]) -> None:
        """Begin some work; what goes wrong in it is logged."""
        task = asyncio.ensure_future(_guarded(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Wait for all of it, for a while; then cancel what is left."""
        while self._tasks:
            await asyncio.wait(set(self._tasks), timeout=PATIENCE_SECONDS)
            if all(task.done() for task in self._tasks):
                break
            for task in self._tasks:
                task.cancel()


async def _guarded(work: Awaitable[None]) -> None:
    try:
        await work
    except Exception:  # a defect in one run must not silence the others
        log.exception("unexpected failure in the engine")
