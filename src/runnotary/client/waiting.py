"""Waiting for the end of a run: how long the server may hold the next answer, and when we give up. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from runnotary.client.results import Run
from runnotary.core.errors import Unreachable, WaitTimeout

LONGEST: Final = 30
"""Seconds that one request may be held: longer ones are cut by what stands between."""
AWAY: Final = 300.0
"""Seconds that a server may stay away if the waiting itself has no time-out."""
AGAIN: Final = 0.5


@dataclass(slots=True)
class Wait:
    """A wait in progress. Times are seconds since it began."""

    run_id: str
    interval: float
    timeout: float | None
    seen: str = ""
    contact: float = 0.0

    def hold(self, now: float) -> int:
        """Return for how many whole seconds the server may hold its answer; 0: it answers at once."""
        return int(min(LONGEST, max(1, math.ceil(self.interval)), self._left(now)))

    def pause(self, run: Run, asked: float, now: float) -> float:
        """Return for how long not to ask again, when the run is not over yet.

        A server that held its answer has made us wait already.

        Raises:
            WaitTimeout: the time is up. The run goes on.
        """
        self.seen, self.contact = run.status, now
        self._check(now)
        return max(0.0, min(self.interval - (now - asked), self._left(now)))

    def away(self, failure: Unreachable, now: float) -> float:
        """Return for how long not to ask again, when nobody answers.

        Raises:
            WaitTimeout: the time is up.
            Unreachable: there is no time-out, and the server stays away.
        """
        self._check(now, f"; {failure.message}")
        if self.timeout is None and now - self.contact >= AWAY:
            raise failure
        return min(AGAIN, self._left(now))

    def up(self, now: float) -> bool:
        """Tell whether the time is up."""
        return self._left(now) <= 0

    def _left(self, now: float) -> float:
        return math.inf if self.timeout is None else max(0.0, self.timeout - now)

    def _check(self, now: float, more: str = "") -> None:
        if self.up(now):
            state = self.seen or "not known"
            raise WaitTimeout(f"run {self.run_id} is {state} after {self.timeout:g} s{more}")
