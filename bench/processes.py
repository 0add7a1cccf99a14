"""W5 and W6: steps that are real processes, beside spawning them from Python without any record."""

from __future__ import annotations

import asyncio

from bench import flows
from bench.limits import spawns_per_second, subprocess_runs
from bench.rig import embedded, new_home
from bench.runs import rounds
from bench.series import Bench, Line

GIB = 1 << 30


async def measure(bench: Bench) -> None:
    """Add the lines."""
    number = bench.count(200, 4)
    step = {"run": ["true"]}
    async with embedded(new_home(bench.folder)) as place:
        chain = place.keep(flows.chain(number, step))
        await place.took(chain)
        limits, measured = await rounds(bench, lambda: subprocess_runs(number), lambda: place.took(chain))
        what = f"chain of {number} × `true`, recorded"
        bench.add(Line("W5", what, "s", measured, "subprocess.run captured", limits, "≤ 2.0"))

        wide = place.keep(flows.wide(number, step))
        await place.took(wide)

        async def once() -> float:
            return number / await place.took(wide)

        def spawns() -> float:
            return spawns_per_second(number, 2)

        limits, measured = await rounds(bench, spawns, once)
        what = f"{number} × `true` side by side, recorded"
        bench.add(Line("W6", what, "proc/s", measured, "posix_spawn, 2 threads", limits, "≥ 0.45"))

        ballast = bytearray(bench.count(GIB, 1 << 20))
        ballast[::4096] = b"x" * len(ballast[::4096])
        _, heavy = await rounds(bench, lambda: 0.0, once)
        size = len(ballast) / GIB
        del ballast
        slow = [number / rate for rate in heavy]
        light = [number / rate for rate in measured]
        what = f"the same with {size:.3g} GiB in the engine"
        bench.add(Line("W6", what, "s", slow, "without it", light, "≤ 1.2"))


def run(bench: Bench) -> None:
    """Add the lines, in a loop of their own."""
    asyncio.run(measure(bench))
