"""The keepers of several servers as one executor: our own, and those of servers here that are gone.

An attempt is started under our own keeper. One that an earlier server started, and whose run is ours since,
is looked for where its intent says: if the folder of that server is here and its process is dead, its keeper
is ours to talk to. Anywhere else nobody can know how it stands, and it is lost.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from runnotary.core.attempts import Attempt, Outcome
from runnotary.core.events import Failure
from runnotary.core.states import Reason
from runnotary.executors.process.executor import ProcessExecutor
from runnotary.ports import Done, Ended, Observation

Inherit = Callable[[str], ProcessExecutor | None]
"""Returns the executor over the keeper of a server that is gone; None if it is not here, or not gone."""


class SeveralExecutors:
    """The port `Executor` of one of several servers."""

    def __init__(self, place: str, own: ProcessExecutor, inherit: Inherit) -> None:
        self._place: Final = place
        self._own: Final = own
        self._inherit: Final = inherit
        self._inherited: Final[dict[str, ProcessExecutor]] = {}
        self._where: Final[dict[str, ProcessExecutor]] = {}
        self._lost: Final[dict[str, str]] = {}
        self._notify: Callable[[Observation], None] = lambda _: None

    def observe(self, notify: Callable[[Observation], None]) -> None:
        self._notify = notify
        for executor in (self._own, *self._inherited.values()):
            executor.observe(notify)

    async def close(self) -> None:
        """Let go of everything here; attempts live on under their keepers."""
        self._notify = lambda _: None
        await asyncio.gather(*(executor.close() for executor in (self._own, *self._inherited.values())))

    def prepare(self, attempt: Attempt) -> None:
        self._own.prepare(attempt)

    def begin(self, attempt_id: str) -> None:
        self._own.begin(attempt_id)

    def start(self, attempt: Attempt) -> Awaitable[None]:
        return self._own.start(attempt)

    def reach(self, attempt: Attempt) -> str:
        place = attempt.place or self._place
        return "" if place == self._place or self._of(place) is not None else place

    async def find(self, attempt: Attempt) -> bool:
        """Take up an attempt that an earlier server may have started, where its intent says."""
        place = attempt.place or self._place
        if place == self._place:
            return await self._own.find(attempt)
        executor = self._of(place)
        if executor is None:
            self._lost[attempt.id] = f"the lease of the server {place} was over, and its keeper is not here"
            asyncio.get_running_loop().call_soon(self._tell, Ended(attempt.id))
            return True
        if await executor.find(attempt):
            self._where[attempt.id] = executor
            return True
        return await self._own.find(attempt)  # or we began it, when it was ours for the first time

    async def stop(self, attempt_id: str, grace_ms: int) -> None:
        await self._at(attempt_id).stop(attempt_id, grace_ms)

    def collect(self, attempt_id: str) -> Awaitable[Outcome]:
        if attempt_id in self._lost:
            failure = Failure("lease_expired", self._lost[attempt_id])
            return Done(Outcome(attempt=attempt_id, lost=True, reason=str(Reason.LOST), failure=failure))
        return self._at(attempt_id).collect(attempt_id)

    def leftovers(self) -> list[str]:
        return self._own.leftovers()

    def release(self, attempt_id: str, *, keep: bool) -> Awaitable[None]:
        if self._lost.pop(attempt_id, None) is not None:
            return Done(None)
        return (self._where.pop(attempt_id, None) or self._own).release(attempt_id, keep=keep)

    def _at(self, attempt_id: str) -> ProcessExecutor:
        return self._where.get(attempt_id, self._own)

    def _of(self, place: str) -> ProcessExecutor | None:
        executor = self._inherited.get(place) or self._inherit(place)
        if executor is not None and place not in self._inherited:
            self._inherited[place] = executor
            executor.observe(self._tell)
        return executor

    def _tell(self, observation: Observation) -> None:
        self._notify(observation)
