"""`python -m bench`: every line beside the machine's own limit, under five minutes; `--quick` under 40 s."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path

from bench import evidence, footprint, growth, limits, operations, postgresql, processes, runs, starting
from bench.peers import beside
from bench.series import HEADER, Bench, Line, Quiet, load

FILLED = 20_000
"""Runs of a large home that the store fills, if one that the engine fills is smaller: it is much faster."""

# name: rounds, scale of all numbers, runs in the large home, seconds to wait for quiet
SIZES = {
    "tiny": (2, 0.01, 200, 0.0),
    "quick": (3, 0.3, 6_000, 2.0),
    "normal": (5, 1.0, 100_000, 30.0),
    "full": (5, 1.0, 1_000_000, 120.0),
}


def main(arguments: Sequence[str]) -> int:
    """Measure, print the table, and say how long it took."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_const", const="quick", dest="size", help="under 40 seconds")
    size.add_argument("--full", action="store_const", const="full", dest="size", help="1,000,000 runs")
    size.add_argument("--tiny", action="store_const", const="tiny", dest="size", help="only whether it works")
    parser.add_argument("--only", default="", help=f"of {', '.join(rooms(0))}: those named, by commas")
    parser.add_argument("--json", default="", help="also write every series to this file")
    parser.add_argument("--dir", default="", help="where to write, instead of the folder for temporary files")
    parser.set_defaults(size="normal")
    asked = parser.parse_args(arguments)
    rounds, scale, large, patience = SIZES[asked.size]
    chosen = [name for name in rooms(large) if not asked.only or name in asked.only.split(",")]
    folder = tempfile.mkdtemp(prefix="runnotary-bench-", dir=asked.dir or None)
    bench = Bench(folder, rounds=rounds, scale=scale, quiet=Quiet(patience))
    started = time.perf_counter()
    print(_machine(folder, asked.size))
    print(HEADER)
    try:
        for name in chosen:
            begun = time.perf_counter()
            rooms(large)[name](bench)
            bench.took[name] = time.perf_counter() - begun
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(_summary(bench, time.perf_counter() - started))
    if asked.json:
        lines = [{**asdict(line), "ratio": line.ratio} for line in bench.lines]
        Path(asked.json).write_text(json.dumps({"machine": _machine(folder, asked.size), "lines": lines}))
    return 0


def rooms(large: int) -> dict[str, Callable[[Bench], None]]:
    """Every part of the bench, in order."""
    return {
        "limits": _limits,
        "start": starting.measure,
        "runs": runs.run,
        "processes": processes.run,
        "footprint": footprint.run,
        "growth": partial(growth.run, size=large),
        "operations": partial(operations.run, size=max(large, min(FILLED, 10 * large))),
        "evidence": evidence.run,
        "postgresql": postgresql.run,
        "peers": beside.run,
    }


def _limits(bench: Bench) -> None:
    """What the machine does at most, for information; each line takes its own limit again beside itself."""
    number = bench.count(200, 4)
    seconds = 0.3 * bench.scale
    commits = limits.commits_per_second
    for what, unit, probe in (
        ("posix_spawn of true, captured, 1 thread", "proc/s", lambda: limits.spawns_per_second(number, 1)),
        ("posix_spawn of true, captured, 2 threads", "proc/s", lambda: limits.spawns_per_second(number, 2)),
        (f"subprocess.run captured × {number}", "s", lambda: limits.subprocess_runs(number)),
        ("durable commits of one row (WAL, FULL)", "/s", lambda: commits(bench.folder, 1, seconds)),
        ("rows in durable commits of 100", "/s", lambda: commits(bench.folder, 100, seconds) * 100),
        ("SHA-256 of 300 bytes", "/s", limits.hash_small),
        ("SHA-256 of 32 MiB", "MiB/s", limits.hash_bulk),
        ("events encoded and hashed", "/s", limits.events_chained),
        ("bare interpreter (-I)", "ms", lambda: limits.cold("-I", "-c", "pass")[0] * 1e3),
        ("interpreter and the least recorded run", "ms", lambda: _least(bench)),
        (
            "interpreter and the imports of start",
            "ms",
            lambda: limits.cold("-I", "-c", limits.IMPORTS)[0] * 1e3,
        ),
    ):
        bench.add(Line("limit", what, unit, bench.series(probe)))


def _least(bench: Bench) -> float:
    return (
        limits.cold("-I", "-c", limits.LEAST_RUN, f"{tempfile.mkdtemp(dir=bench.folder)}/least.db")[0] * 1e3
    )


def _machine(folder: str, size: str) -> str:
    described = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":")[1].strip() for line in described if "model name" in line), "?")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} × {model}, {memory:.0f} GiB, Linux {platform.release().split('-')[0]}, "
        f"{_file_system(folder)}, Python {platform.python_version()}, SQLite {sqlite3.sqlite_version}, "
        f"load {load()}, size {size}"
    )


def _file_system(folder: str) -> str:
    """The kind of file system; on one in memory a durable commit costs nothing, and no ratio to it holds."""
    best, kind = "", "?"
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, found, *_ = line.split()
        if os.path.realpath(folder).startswith(place) and len(place) >= len(best):
            best, kind = place, found
    return f"{kind} (in memory: commits are not durable here)" if kind in ("tmpfs", "ramfs") else kind


def _summary(bench: Bench, took: float) -> str:
    verdicts = [line.verdict for line in bench.lines]
    held = [verdict for verdict in verdicts if verdict.startswith("holds")]
    missed = [verdict for verdict in verdicts if verdict.startswith("misses")]
    doubtful = sum(verdict.endswith("?") for verdict in verdicts)
    busy = bench.quiet.seen
    noise = f", others used {sum(busy) / len(busy):.0%} of the machine before a measurement" if busy else ""
    parts = " ".join(f"{name} {seconds:.0f}" for name, seconds in bench.took.items())
    return (
        f"{len(held)} targets hold, {len(missed)} are missed, {doubtful} of them in doubt (?); "
        f"{took:.0f} s ({parts}){noise}"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
