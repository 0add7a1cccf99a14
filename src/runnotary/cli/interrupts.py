"""Ctrl-C and SIGTERM, counted instead of thrown, so that a command ends in order."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable
from types import TracebackType
from typing import Final, TypeVar

T = TypeVar("T")
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


class Interrupted(Exception):
    """A signal came before what was waited for."""


class Interrupts:
    """Counts signals while it is entered."""

    def __init__(self) -> None:
        self.count = 0
        self._arrived: Final = asyncio.Event()

    def __enter__(self) -> Interrupts:
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.add_signal_handler(number, self._count)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        loop = asyncio.get_running_loop()
        for number in SIGNALS:
            loop.remove_signal_handler(number)

    @property
    def fresh(self) -> bool:
        """Tell whether a signal has come since the last `clear`."""
        return self._arrived.is_set()

    def _count(self) -> None:
        self.count += 1
        self._arrived.set()

    async def arrived(self) -> None:
        """Return when a signal has come since the last `clear`."""
        await self._arrived.wait()

    def clear(self) -> None:
        """Wait for the next one from now on."""
        self._arrived.clear()

    async def unless(self, work: Awaitable[T], patience: float = 1.0) -> T:
        """Return the result of `work`, or give it up at a signal.

        Raises:
            Interrupted: a signal came, and the work did not end within the time it was then given.
        """
        task = asyncio.ensure_future(work)
        signalled = asyncio.ensure_future(self.arrived())
        await asyncio.wait({task, signalled}, return_when=asyncio.FIRST_COMPLETED)
        signalled.cancel()
        if not task.done():
            await asyncio.wait({task}, timeout=patience)
        if not task.done():
            raise Interrupted
        return task.result()
