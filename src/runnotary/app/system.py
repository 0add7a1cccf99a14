"""Time and chance of this machine, as the ports ask for them; and what a process that lasts tells Python."""

from __future__ import annotations

import asyncio
import gc
import getpass
import os
import threading
import time
from collections.abc import Callable
from typing import Final

from runnotary.core.events import By

STEP_US_MIN: Final = 1_000_000
"""A clock that NTP slews drifts by less than this between two looks; more is a step."""

SLEEP_SECONDS: Final = 30.0
"""A loop counts no time while the machine sleeps, and none that the clock is set forward by: after so long
the alarm looks at the clock again."""

YOUNG_OBJECTS: Final = 10_000
"""So many more objects than before let the collector of garbage look through the new ones."""

_BLOCK: Final = 1024


class SystemClock:
    """The clock of this machine; the alarm rings in the running event loop."""

    def __init__(self) -> None:
        self._alarm: asyncio.TimerHandle | None = None
        self._offset = _wall_less_uptime()

    def now(self) -> int:
        return time.time_ns() // 1000

    def stepped(self) -> int:
        offset = _wall_less_uptime()
        step = offset - self._offset
        if abs(step) < STEP_US_MIN:
            return 0
        self._offset = offset
        return step

    def alarm(self, at: int | None, ring: Callable[[], None]) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None
        if at is not None:
            self._sleep(at, ring)

    def _sleep(self, at: int, ring: Callable[[], None]) -> None:
        # A loop rounds a delay down to its own resolution; the millisecond keeps `ring` from early.
        delay = max(0, at - self.now()) / 1_000_000 + 0.001
        loop = asyncio.get_running_loop()
        if delay <= SLEEP_SECONDS:
            self._alarm = loop.call_later(delay, ring)
        else:
            self._alarm = loop.call_later(SLEEP_SECONDS, self._sleep, at, ring)


def _wall_less_uptime() -> int:
    # CLOCK_BOOTTIME goes on while the machine sleeps, so waking up is no step of the clock.
    return (time.time_ns() - time.clock_gettime_ns(time.CLOCK_BOOTTIME)) // 1000


class SystemChance:
    """The randomness of this machine, fetched in blocks: a system call for ten bytes costs 50 µs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._block = b""

    def token(self, size: int) -> bytes:
        if size > _BLOCK:
            return os.urandom(size)
        with self._lock:
            if len(self._block) < size:
                self._block = os.urandom(_BLOCK)
            token, self._block = self._block[:size], self._block[size:]
            return token


def settle_memory() -> None:
    """Let the collector of garbage leave alone what is there now: this process lasts, and so does that.

    With thousands of runs under way it would look at all of it again and again: a third of their time.
    """
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)


def new_key() -> str:
    """Return a key that makes one run of a start, however often it has to be asked for."""
    return os.urandom(16).hex()


def operating_user() -> By:
    """Return who runs this process, by the operating system's word."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):
        name = str(os.getuid())
    return By(f"user:{name}", "os-user")
