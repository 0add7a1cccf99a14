"""One wheel for every due time of every run: retries, waits and time-outs share one alarm."""

from __future__ import annotations

import heapq
from collections.abc import Callable
from typing import Final

from runnotary.ports import Clock

STALE: Final = 64
"""Times that were moved stay where they are until they come up; more of them than of those that count, and
this, are cleared away: a run that waits for a year may have had a thousand others."""


class Timers:
    """The earliest due time of each run, on one alarm of the clock."""

    def __init__(self, clock: Clock, due: Callable[[bytes], None]) -> None:
        self._clock: Final = clock
        self._due: Final = due
        self._at: dict[bytes, int] = {}
        self._heap: list[tuple[int, bytes]] = []

    def set(self, run: bytes, at: int | None) -> None:
        """Set, move or (None) remove the due time of a run."""
        if self._at.get(run) == at:
            return
        if at is None:
            self._at.pop(run, None)
        else:
            self._at[run] = at
            heapq.heappush(self._heap, (at, run))
        if len(self._heap) > 2 * len(self._at) + STALE:
            self._heap = [(at, run) for run, at in self._at.items()]
            heapq.heapify(self._heap)
        self._arm()

    def clear(self) -> None:
        """Ring no more."""
        self._at.clear()
        self._heap.clear()
        self._arm()

    def _arm(self) -> None:
        while self._heap and self._at.get(self._heap[0][1]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        self._clock.alarm(self._heap[0][0] if self._heap else None, self._ring)

    def _ring(self) -> None:
        now = self._clock.now()
        while self._heap and self._heap[0][0] <= now:
            at, run = heapq.heappop(self._heap)
            if self._at.get(run) == at:
                del self._at[run]
                self._due(run)
        self._arm()
