"""What is printed: lines of measured values beside the limit of the machine, and how they are taken.

A ratio is that of the two medians, in the same unit, taken in the same run. Rounds alternate between the
limit and what is measured, so that whatever else the machine does meanwhile hits both.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

Measure = Callable[[], float]
Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Line:
    """One figure. `target` is `≤ 2.4` or `≥ 0.2`, held against measured / limit; empty: for information."""

    key: str
    what: str
    unit: str
    measured: Sequence[float]
    against: str = ""
    limit: Sequence[float] = ()
    target: str = ""

    @property
    def ratio(self) -> float | None:
        """The median measured over the median of the limit."""
        return statistics.median(self.measured) / statistics.median(self.limit) if self.limit else None

    @property
    def verdict(self) -> str:
        """`holds`, `misses`, or nothing without a target; `?` if a series spreads too far to say."""
        if not self.target or self.ratio is None:
            return ""
        sign, bound = self.target.split()
        reached = self.ratio <= float(bound) if sign == "≤" else self.ratio >= float(bound)
        doubt = any(max(series) > 2 * min(series) for series in (self.measured, self.limit))
        return ("holds" if reached else "misses") + ("?" if doubt else "")


class Quiet:
    """Waits before a measurement until the machine does little else; not longer than a budget in total."""

    def __init__(self, budget: float, *, below: float = 0.15, glance: float = 0.1) -> None:
        self._left = budget
        self._below = below
        self._glance = glance
        self.seen: list[float] = []

    def wait(self) -> None:
        """Return when the machine is quiet, or the budget is spent."""
        while self._left > 0:
            before, started = _busy(), time.perf_counter()
            time.sleep(self._glance)
            after = _busy()
            share = (after[0] - before[0]) / max(1, after[1] - before[1])
            self._left -= time.perf_counter() - started
            self.seen.append(share)
            if share <= self._below:
                break


class Bench:
    """The settings of one run of the bench, and the table it fills."""

    def __init__(self, folder: str, *, rounds: int, scale: float, quiet: Quiet) -> None:
        self.folder: Final = folder
        self.rounds: Final = rounds
        self.scale: Final = scale
        self.quiet: Final = quiet
        self.lines: list[Line] = []
        self.took: dict[str, float] = {}

    def count(self, number: int, least: int = 2) -> int:
        """Scale a number of repetitions down for a short run."""
        return max(least, round(number * self.scale))

    def series(self, measure: Measure, rounds: int = 0) -> list[float]:
        """Measure a few times, each on a machine as quiet as the budget allows."""
        return [self._once(measure) for _ in range(rounds or self.rounds)]

    def answers(self, ask: Callable[[], Answer]) -> list[Answer]:
        """Ask somebody who measures by himself as often as all others are."""
        found = []
        for _ in range(self.rounds):
            self.quiet.wait()
            found.append(ask())
        return found

    def beside(self, limit: Measure, measure: Measure, rounds: int = 0) -> tuple[list[float], list[float]]:
        """Measure limit and product in turns; the order alternates."""
        limits: list[float] = []
        measured: list[float] = []
        for number in range(rounds or self.rounds):
            pair = [(limit, limits), (measure, measured)]
            for one, found in pair if number % 2 == 0 else reversed(pair):
                found.append(self._once(one))
        return limits, measured

    def add(self, line: Line) -> None:
        """Put a line into the table and print it at once."""
        self.lines.append(line)
        print(formatted(line), flush=True)

    def _once(self, measure: Measure) -> float:
        self.quiet.wait()
        return measure()


HEADER: Final = (
    f"{'line':<6}{'what':<62}{'measured':>17}{'limit':>17}{'ratio':>8}  {'target':<8}{'':<8}series and limit"
)


def formatted(line: Line) -> str:
    """One row of the table, with the raw series (min, median, max, number) behind it."""
    limit = f"{_number(statistics.median(line.limit))} {line.unit}" if line.limit else ""
    ratio = f"{line.ratio:.2f}" if line.ratio is not None else ""
    measured = f"{_number(statistics.median(line.measured))} {line.unit}"
    raw = spread(line.measured) + (f" · {line.against} {spread(line.limit)}" if line.limit else "")
    return (
        f"{line.key:<6}{line.what:<62}{measured:>17}{limit:>17}{ratio:>8}  {line.target:<8}"
        f"{line.verdict:<8}{raw}"
    )


def spread(values: Sequence[float]) -> str:
    """A raw series in short: min, median, max and how many."""
    parts = (min(values), statistics.median(values), max(values))
    return f"[{' '.join(map(_number, parts))} n={len(values)}]"


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which this share lies."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def timed(work: Callable[[], object]) -> float:
    """Seconds that the work takes."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _number(value: float) -> str:
    digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 100 else 2 if abs(value) >= 1 else 3
    return f"{value:,.{digits}f}"


def _busy() -> tuple[int, int]:
    values = [int(part) for part in Path("/proc/stat").read_text("ascii").split(maxsplit=9)[1:9]]
    return sum(values) - values[3] - values[4], sum(values)


def load() -> str:
    """How busy the machine has been for a minute, as its kernel says."""
    return f"{os.getloadavg()[0]:.2f}"
