"""What callers in event loops ask of the writer's thread, and how they are answered.

A batch is answered when it is durable, a job when it is done. What queued while the thread was at work is
taken together.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Final, TypeVar

import msgspec

from runnotary.core.errors import Conflict
from runnotary.ports import Append, Beside, Refusal
from runnotary.store.streams import Result, unwritten

Made = TypeVar("Made")
Job = Callable[[], None]
"""Something else to do in the writer's thread, between two commits."""

APPENDS_MAX: Final = 4_096


class Asked(msgspec.Struct, frozen=True):
    """A batch and whoever waits for it."""

    batch: Sequence[Append]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[list[Result]]
    beside: Beside | None = None


class Asking:
    """The queue between the loops and the thread; every call of it may come from any thread."""

    def __init__(self) -> None:
        self._queue: Final[SimpleQueue[Asked | Job | None]] = SimpleQueue()
        self._closed = False

    def ask(self, batch: Sequence[Append], beside: Beside | None = None) -> asyncio.Future[list[Result]]:
        """Queue a batch. The future is the running loop's; cancelling it does not take the batch back."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Result]] = loop.create_future()
        if self._closed:
            future.set_result([unwritten(append, "the store is closed") for append in batch])
        else:
            self._queue.put(Asked(batch, loop, future, beside))
        return future

    def do(self, job: Callable[[], Made]) -> asyncio.Future[Made]:
        """Do something in the thread, after what was asked before; the future has its result."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Made] = loop.create_future()

        def done() -> None:
            try:
                made, wrong = job(), None
            except Exception as error:  # noqa: BLE001 - it is whoever asked who has to know
                made, wrong = None, error
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_tell, future, made, wrong)

        if self._closed:
            future.set_exception(Conflict("the store is closed"))
        else:
            self._queue.put(done)
        return future

    def put(self, job: Job) -> None:
        """Do something in the thread; nobody waits for it."""
        if not self._closed:
            self._queue.put(job)

    def close(self) -> bool:
        """Take nothing any more; False if it was so already."""
        closed, self._closed = self._closed, True
        if not closed:
            self._queue.put(None)
        return not closed

    def next(self, seconds: float | None) -> tuple[list[Asked], list[Job], bool] | None:
        """Wait for something to do, then take all of it; None if nothing came. False: this was the last."""
        try:
            one = self._queue.get(timeout=seconds)
        except Empty:
            return None
        asked: list[Asked] = []
        jobs: list[Job] = []
        count = 0
        while one is not None:
            if isinstance(one, Asked):
                asked.append(one)
                count += len(one.batch)
            else:
                jobs.append(one)
            if count >= APPENDS_MAX:
                return asked, jobs, True
            try:
                one = self._queue.get_nowait()
            except Empty:
                return asked, jobs, True
        return asked, jobs, False


def wake(asked: list[Asked], results: list[Result]) -> None:
    """Hand out the results: one call into each loop, however many wait in it."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[list[Result]], list[Result]]]] = {}
    start = 0
    for one in asked:
        end = start + len(one.batch)
        own = results[start:end]
        if one.beside is not None and not any(isinstance(result, Refusal) for result in own):
            one.beside.durable()
        by_loop.setdefault(one.loop, []).append((one.future, own))
        start = end
    for loop, answers in by_loop.items():
        with suppress(RuntimeError):  # the loop is closed: nobody waits, and what was written stays written
            loop.call_soon_threadsafe(_answer, answers)


def _answer(answers: list[tuple[asyncio.Future[list[Result]], list[Result]]]) -> None:
    for future, results in answers:
        if not future.done():
            future.set_result(results)


def _tell(future: asyncio.Future[Any], made: Any, wrong: Exception | None) -> None:
    if future.done():
        return
    if wrong is not None:
        future.set_exception(wrong)
    else:
        future.set_result(made)
