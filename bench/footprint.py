"""W7: what an engine weighs, idle and after many runs, and what a run leaves on disk."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

from bench import flows
from bench.rig import embedded, new_home
from bench.series import Bench, Line

MIB = 1 << 20


def run(bench: Bench) -> None:
    """Add the lines."""
    number = bench.count(10_000, 20)
    command = [sys.executable, "-m", "bench.footprint", str(new_home(bench.folder)), str(number)]
    said = json.loads(subprocess.run(command, capture_output=True, check=True, text=True).stdout)
    bench.add(Line("W7", "resident, engine idle in a home", "MiB", [said["idle"]], "bound", [60.0], "≤ 1.0"))
    what = f"resident after {number:,} runs"
    bench.add(Line("W7", what, "MiB", [said["after"]], "bound", [80.0], "≤ 1.0"))
    asyncio.run(_disk(bench))


async def _disk(bench: Bench) -> None:
    """Bytes per run: two homes that differ in the number of runs, each closed and checkpointed."""
    number = bench.count(400, 4)
    for what, document in (("`set`", flows.ONE_SET), ("`true`", flows.ONE_TRUE)):
        one = await _grown(bench, document, number)
        bench.add(Line("W7", f"one-step run ({what}) on disk", "bytes", [one], "bound", [2500.0], "≤ 1.0"))
    length = 21
    few = bench.count(40, 2)
    for what, step in (("`set`", {"set": {"x": 1}}), ("`true`", {"run": ["true"]})):
        long = await _grown(bench, flows.chain(length, step), few)
        short = await _grown(bench, flows.chain(1, step), few)
        further = (long - short) / (length - 1)
        bench.add(Line("W7", f"each further step ({what})", "bytes", [further], "bound", [700.0], "≤ 1.0"))


async def _grown(bench: Bench, document: object, number: int) -> float:
    """Bytes that each of `number` runs adds to a home which has had as many already."""
    home = new_home(bench.folder)
    sizes = []
    for _ in range(2):
        async with embedded(home) as place:
            await place.many(place.keep(document), number)
        sizes.append(_bytes_in(home))
    return (sizes[1] - sizes[0]) / number


def _bytes_in(home: Path) -> int:
    """The database and the blobs in files; the writer has emptied the write-ahead log at its end."""
    return sum(
        file.stat().st_size for file in home.rglob("*") if file.is_file() and "attempts" not in file.parts
    )


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / MIB


async def _weigh(home: Path, number: int) -> None:
    async with embedded(home) as place:
        flow = place.keep(flows.ONE_SET)
        await place.one(flow)
        idle = _resident()
        for _ in range(0, number, 500):
            await place.many(flow, min(500, number))
        print(json.dumps({"idle": idle, "after": _resident()}))


if __name__ == "__main__":
    asyncio.run(_weigh(Path(sys.argv[1]), int(sys.argv[2])))
