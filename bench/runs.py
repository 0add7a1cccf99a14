"""W2 to W5: runs whose steps have no effect, and what the log costs them."""

from __future__ import annotations

import asyncio
import statistics
from collections.abc import Awaitable, Callable

from bench import flows
from bench.limits import commits_per_second
from bench.rig import Place, embedded, new_home, replaced
from bench.series import Bench, Line, percentile

ROWS_OF_A_RUN = 5
ROWS_OF_A_STEP = 2
SECONDS = 0.2


async def measure(bench: Bench) -> None:
    """Add the lines."""
    async with embedded(new_home(bench.folder)) as place:
        await _latency(bench, place)
        await _throughput(bench, place)
        await _fan(bench, place)
        await _chain_of_values(bench, place)
    await _chain_of_attempts(bench)
    await _without_log(bench)


async def rounds(
    bench: Bench, limit: Callable[[], float], work: Callable[[], Awaitable[float]], number: int = 0
) -> tuple[list[float], list[float]]:
    """Measure limit and product in turns, the product inside the running loop."""
    limits: list[float] = []
    measured: list[float] = []
    for _ in range(number or bench.rounds):
        bench.quiet.wait()
        limits.append(limit())
        bench.quiet.wait()
        measured.append(await work())
    return limits, measured


def _batched(bench: Bench) -> float:
    return commits_per_second(bench.folder, 100, SECONDS) * 100


def _single(bench: Bench) -> float:
    return commits_per_second(bench.folder, 1, SECONDS)


async def latencies(place: Place, flow: str, number: int) -> list[float]:
    """Milliseconds of each of this many runs, one after the other."""
    found = []
    for _ in range(number):
        found.append(await place.took(flow) * 1e3)
    return found


async def _latency(bench: Bench, place: Place) -> None:
    flow = place.keep(flows.ONE_SET)
    await latencies(place, flow, bench.count(50))
    number = bench.count(100, 10)
    p50: list[float] = []
    p95: list[float] = []

    async def once() -> float:
        found = await latencies(place, flow, number)
        p50.append(statistics.median(found))
        p95.append(percentile(found, 0.95))
        return p50[-1]

    limits, _ = await rounds(bench, lambda: 1e3 / _single(bench), once)
    name = "one FULL commit"
    bench.add(Line("W2", f"submit to end, `set`, p50 of {number}", "ms", p50, name, limits, "≤ 4"))
    bench.add(Line("W2", f"submit to end, `set`, p95 of {number}", "ms", p95, name, limits))


async def _throughput(bench: Bench, place: Place) -> None:
    flow = place.keep(flows.ONE_SET)
    number = bench.count(1000)
    await place.many(flow, number)

    async def once() -> float:
        return number / await place.took(flow, number)

    limits, measured = await rounds(bench, lambda: _batched(bench) / ROWS_OF_A_RUN, once)
    bench.add(Line("W3", f"{number:,} runs at once", "runs/s", measured, "FULL rows/s ÷ 5", limits, "≥ 0.20"))


async def _fan(bench: Bench, place: Place) -> None:
    small, large = bench.count(1000, 10), bench.count(10_000, 100)
    per_step: dict[int, list[float]] = {}
    for width in (small, large):
        flow = place.keep(flows.fan(width))
        cold = await place.took(flow)

        async def once(flow: str = flow, width: int = width) -> float:
            return width / await place.took(flow)

        limits, measured = await rounds(bench, lambda: _batched(bench) / ROWS_OF_A_STEP, once)
        target = "≥ 0.16" if width == small else ""
        what = f"fan of {width:,} steps out and in (first time {cold * 1e3:,.0f} ms)"
        bench.add(Line("W4", what, "steps/s", measured, "FULL rows/s ÷ 2", limits, target))
        per_step[width] = [1e6 / rate for rate in measured]
    what = f"time per step, {large:,} beside {small:,}"
    bench.add(Line("W4", what, "µs", per_step[large], f"at {small:,}", per_step[small], "≤ 1.2"))


async def _chain_of_values(bench: Bench, place: Place) -> None:
    length = bench.count(200, 5)
    flow = place.keep(flows.chain(length, {"set": {"x": 1}}))
    await place.took(flow)

    async def once() -> float:
        return length / await place.took(flow)

    limits, measured = await rounds(bench, lambda: _single(bench), once)
    what = f"chain of {length} effect-free steps (one commit in all)"
    bench.add(Line("W5", what, "steps/s", measured, "FULL commits/s", limits, "≥ 0.35"))


async def _chain_of_attempts(bench: Bench) -> None:
    length = bench.count(200, 5)
    async with replaced(new_home(bench.folder), log=True) as place:
        flow = place.keep(flows.chain(length, {"run": ["true"]}))
        await place.took(flow)

        async def once() -> float:
            return length / await place.took(flow)

        limits, measured = await rounds(bench, lambda: _single(bench), once)
    what = f"chain of {length} attempts that just end, durable after each"
    bench.add(Line("W5", what, "steps/s", measured, "FULL commits/s", limits, "≥ 0.35"))


async def _without_log(bench: Bench) -> None:
    """The same engine beside itself over a store that keeps nothing."""
    number = bench.count(1000)
    async with (
        replaced(new_home(bench.folder), log=False) as bare,
        replaced(new_home(bench.folder), log=True) as whole,
    ):
        flow = bare.keep(flows.ONE_SET)
        whole.keep(flows.ONE_SET)
        for place in (bare, whole):
            await place.many(flow, number)
        found: dict[str, list[float]] = {"bare": [], "whole": [], "bare ms": [], "whole ms": []}
        for _ in range(bench.rounds):
            for name, place in (("bare", bare), ("whole", whole)):
                bench.quiet.wait()
                found[name].append(number / await place.took(flow, number))
                found[f"{name} ms"].append(
                    statistics.median(await latencies(place, flow, bench.count(100, 10)))
                )
    against = "without the log"
    bench.add(
        Line(
            "log", f"{number:,} runs at once, with the log", "runs/s", found["whole"], against, found["bare"]
        )
    )
    bench.add(
        Line("log", "submit to end p50, with the log", "ms", found["whole ms"], against, found["bare ms"])
    )


def run(bench: Bench) -> None:
    """Add the lines, in a loop of their own."""
    asyncio.run(measure(bench))
