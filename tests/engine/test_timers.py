"""Due times: rung when they are due, whatever moved them and whatever the clock did meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from runnotary.app import system
from runnotary.app.system import SystemClock
from runnotary.engine.timers import STALE, Timers

HOUR = 3_600_000_000


class Hands:
    """A clock whose time is set, and whose alarm is rung by hand."""

    def __init__(self) -> None:
        self.time = 0
        self.at: int | None = None
        self.ring: Callable[[], None] = lambda: None

    def now(self) -> int:
        return self.time

    def stepped(self) -> int:
        return 0

    def alarm(self, at: int | None, ring: Callable[[], None]) -> None:
        self.at, self.ring = at, ring


def test_times_that_were_moved_take_no_room_for_ever() -> None:
    """A run that waits a year for an answer, while a thousand of its steps have a time-out each."""
    clock, rung = Hands(), list[bytes]()
    timers = Timers(clock, rung.append)
    for step in range(1, 5000):
        timers.set(b"run", step * 1000)
        timers.set(b"run", 10**15)
        timers.set(b"other", 10**14 - step)
    assert len(timers._heap) <= 4 + STALE
    assert clock.at == 10**14 - 4999
    clock.time = 10**15
    clock.ring()
    assert rung == [b"other", b"run"]
    assert clock.at is None


def test_the_alarm_looks_at_the_clock_again_and_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Asleep for hours, or set forward, the machine has no hours left to wait when it wakes."""
    monkeypatch.setattr(system, "SLEEP_SECONDS", 0.01)

    class Slept(SystemClock):
        ahead = 0

        def now(self) -> int:
            return super().now() + self.ahead

    async def work() -> None:
        clock, rung = Slept(), asyncio.Event()
        clock.alarm(clock.now() + 8 * HOUR, rung.set)
        await asyncio.sleep(0.05)
        assert not rung.is_set()
        clock.ahead = 8 * HOUR
        await asyncio.wait_for(rung.wait(), 10)
        rung.clear()
        clock.alarm(clock.now() + 60_000, rung.set)
        clock.alarm(None, rung.set)
        await asyncio.sleep(0.1)
        assert not rung.is_set()

    asyncio.run(work())
