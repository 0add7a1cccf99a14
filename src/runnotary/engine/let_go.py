"""Runs that an engine let go of because their record could not be reached; it takes them up again.

What they started goes on, and whoever waits for their end waits on. Somebody else may go on with them
meanwhile: then they are let go of for good.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final

from runnotary.core.errors import RunnotaryError, Unreachable
from runnotary.engine.live import Live, answer

log = logging.getLogger("runnotary.engine")


class LetGo:
    """The runs of one engine that wait for the record."""

    def __init__(
        self,
        *,
        drop: Callable[[Live], None],
        adopt: Callable[[bytes], Awaitable[None]],
        resume: Callable[[Live], Awaitable[None]],
        spawn: Callable[[Awaitable[None]], None],
    ) -> None:
        """`drop` takes a run out of memory; `resume` takes up one that was there, `adopt` any other."""
        self._drop: Final = drop
        self._adopt: Final = adopt
        self._resume: Final = resume
        self._spawn: Final = spawn
        self._waiting: dict[bytes, Live | None] = {}

    def add(self, live: Live, away: RunnotaryError, *answers: asyncio.Future[None]) -> None:
        """Let go of a run, and tell those why who asked something of it."""
        log.warning("run %s waits: %s", live.run.text, away.message, extra={"about": {"run": live.run.text}})
        self._drop(live)
        self._waiting[live.run.id] = live
        answer([*answers, *live.answers], away)
        live.inbox.clear()

    def take_up(self, *runs: bytes) -> None:
        """Go on with runs that were not here, as soon as the record can be reached."""
        for run_id in runs:
            self._spawn(self._taken_up(run_id, None))

    def again(self) -> None:
        """The record can be reached: try it with all of them."""
        waiting, self._waiting = self._waiting, {}
        for run_id, live in waiting.items():
            self._spawn(self._taken_up(run_id, live))

    async def _taken_up(self, run_id: bytes, live: Live | None) -> None:
        try:
            await (self._adopt(run_id) if live is None else self._resume(live))
        except Unreachable:
            self._waiting.setdefault(run_id, live)
