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


class Inherited:
    """The keeper of a server that is gone: ours as long as attempts are under it."""

    def __init__(self, executor: ProcessExecutor, let_go: Callable[[], None]) -> None:
        """`let_go` gives up its folder."""
        self.executor: Final = executor
        self.attempts: Final[set[str]] = set()
        self._let_go: Final = let_go

    async def close(self) -> None:
        """Let go of it; what still runs lives on."""
        await self.executor.close()
        self._let_go()


Inherit = Callable[[str], Inherited | None]
"""Returns the keeper of a server that is gone; None if it is not here, or not gone."""


class SeveralExecutors:
    """The port `Executor` of one of several servers."""

    def __init__(self, place: str, own: ProcessExecutor, inherit: Inherit) -> None:
        self._place: Final = place
        self._own: Final = own
        self._inherit: Final = inherit
        self._inherited: Final[dict[str, Inherited]] = {}
        self._where: Final[dict[str, str]] = {}
        self._closing: Final[set[asyncio.Task[None]]] = set()
        self._lost: Final[dict[str, str]] = {}
        self._notify: Callable[[Observation], None] = lambda _: None

    def observe(self, notify: Callable[[Observation], None]) -> None:
        self._notify = notify
        self._own.observe(notify)

    async def close(self) -> None:
        """Let go of everything here; attempts live on under their keepers."""
        self._notify = lambda _: None
        left = [one.close() for one in self._inherited.values()]
        self._inherited.clear()
        await asyncio.gather(self._own.close(), *left, *self._closing)

    def prepare(self, attempt: Attempt) -> None:
        self._own.prepare(attempt)

    def begin(self, attempt_id: str) -> None:
        self._own.begin(attempt_id)

    def start(self, attempt: Attempt) -> Awaitable[None]:
        return self._own.start(attempt)

    def reach(self, attempt: Attempt) -> str:
        place = attempt.place or self._place
        return "" if place == self._place or self._of(place, attempt.id) is not None else place

    async def find(self, attempt: Attempt) -> bool:
        """Take up an attempt that an earlier server may have started, where its intent says."""
        place = attempt.place or self._place
        if place == self._place:
            return await self._own.find(attempt)
        inherited = self._of(place, attempt.id)
        if inherited is None:
            self._lost[attempt.id] = f"the lease of the server {place} was over, and its keeper is not here"
            asyncio.get_running_loop().call_soon(self._tell, Ended(attempt.id))
            return True
        if await inherited.executor.find(attempt):
            self._where[attempt.id] = place
            return True
        self._part(place, attempt.id)
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
        released = self._at(attempt_id).release(attempt_id, keep=keep)
        place = self._where.pop(attempt_id, "")
        if not place:
            return released
        return self._released(released, place, attempt_id)

    async def _released(self, released: Awaitable[None], place: str, attempt_id: str) -> None:
        await released
        self._part(place, attempt_id)

    def _at(self, attempt_id: str) -> ProcessExecutor:
        place = self._where.get(attempt_id)
        return self._own if place is None else self._inherited[place].executor

    def _of(self, place: str, attempt_id: str) -> Inherited | None:
        """Take the keeper of a server for an attempt, until `_part`."""
        inherited = self._inherited.get(place) or self._inherit(place)
        if inherited is not None:
            inherited.attempts.add(attempt_id)
            if place not in self._inherited:
                self._inherited[place] = inherited
                inherited.executor.observe(self._tell)
        return inherited

    def _part(self, place: str, attempt_id: str) -> None:
        """Let go of a keeper with its last attempt: another server may have its folder then."""
        inherited = self._inherited.get(place)
        if inherited is None:
            return
        inherited.attempts.discard(attempt_id)
        if not inherited.attempts:
            del self._inherited[place]
            closing = asyncio.ensure_future(inherited.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    def _tell(self, observation: Observation) -> None:
        self._notify(observation)
