"""W8, W10, W11: a home with many runs. It is listed, run in again, and verified."""

from __future__ import annotations

import asyncio
import hashlib
import os
import statistics
import tempfile
import time
from pathlib import Path

from bench import flows
from bench.limits import bare_listing, events_chained, hash_bulk
from bench.rig import Place, embedded, new_home
from bench.runs import latencies, rounds
from bench.series import Bench, Line
from runnotary.app.signing import HomeKey
from runnotary.app.system import SystemChance, SystemClock
from runnotary.core.queries import RunQuery
from runnotary.store.log import SqliteStore
from runnotary.store.verify import verify, verify_record

BATCH = 2000
MIB = 1 << 20
NEWEST = RunQuery(status=("skipped",), limit=50)


def run(bench: Bench, size: int) -> None:
    """Add the lines for a home of this many runs."""
    home = new_home(bench.folder)
    asyncio.run(_grow(bench, home, size))
    _verified(bench, home, "runs of one step")
    _verified(bench, asyncio.run(_long_runs(bench)), f"runs of {bench.count(1000, 10):,} steps")
    _hashed(bench)
    _taken_in(bench)


async def _grow(bench: Bench, home: Path, size: int) -> None:
    small = min(1000, size // 2)
    async with embedded(home) as place:
        await _fill(place, small)
        before = await _state(bench, place)
        started = time.perf_counter()
        await _fill(place, size - small)
        rate = (size - small) / (time.perf_counter() - started)
        bench.add(Line("fill", f"{size - small:,} runs through the engine", "runs/s", [rate]))
        bare = bare_listing(bench.folder, size)

        async def once() -> float:
            return listed(place)

        limits, measured = await rounds(bench, lambda: bare() * 1e3, once)
        what = f"newest 50 by status of {size:,}"
        bench.add(Line("W8", what, "ms", measured, "bare query", limits, "≤ 10"))
        after = await _state(bench, place)
    for name, unit in (("W2 p50", "ms"), ("W3 time per run", "ms"), ("W8 newest 50", "ms")):
        what = f"{name} at {size:,} runs beside {small:,}"
        bench.add(Line("W10", what, unit, after[name], f"at {small:,}", before[name], "≤ 1.15"))


async def _fill(place: Place, number: int) -> None:
    """One run in five is skipped, the others succeed."""
    done, skipped = place.keep(flows.ONE_SET), place.keep(flows.ONE_SKIPPED)
    for first in range(0, number, BATCH):
        many = min(BATCH, number - first)
        await asyncio.gather(*[place.one(skipped if i % 5 == 0 else done) for i in range(many)])


def listed(place: Place) -> float:
    """Milliseconds of a listing."""
    times = 50
    started = time.perf_counter()
    for _ in range(times):
        found = place.store.runs(NEWEST)
    took = (time.perf_counter() - started) / times * 1e3
    assert {row.status for row in found} == {"skipped"}
    return took


async def _state(bench: Bench, place: Place) -> dict[str, list[float]]:
    flow = place.keep(flows.ONE_SET)
    found: dict[str, list[float]] = {"W2 p50": [], "W3 time per run": [], "W8 newest 50": []}
    number = bench.count(1000, 10)
    for _ in range(bench.rounds):
        bench.quiet.wait()
        found["W2 p50"].append(statistics.median(await latencies(place, flow, bench.count(100, 10))))
        found["W3 time per run"].append(await place.took(flow, number) / number * 1e3)
        found["W8 newest 50"].append(listed(place))
    return found


def _verified(bench: Bench, home: Path, what: str) -> None:
    """Check all of it, on one thread: digests, chains, log, and every row made again."""

    def once() -> float:
        started = time.perf_counter()
        report = verify(home)
        assert report.ok, report.findings[:3]
        return report.checked["events"] / (time.perf_counter() - started)

    def record() -> float:
        started = time.perf_counter()
        report = verify_record(home)
        assert report.ok, report.findings[:3]
        return report.checked["events"] / (time.perf_counter() - started)

    name = "encoded and hashed"
    limits, measured = bench.beside(events_chained, once, 3)
    bench.add(Line("W11", f"verify, {what}", "events/s", measured, name, limits, "≥ 0.30"))
    limits, measured = bench.beside(events_chained, record, 3)
    bench.add(Line("W11", f"verify --record, {what}", "events/s", measured, name, limits, "≥ 0.30"))


async def _long_runs(bench: Bench) -> Path:
    home = new_home(bench.folder)
    async with embedded(home) as place:
        await place.many(place.keep(flows.fan(bench.count(1000, 10))), bench.count(20))
    return home


def _hashed(bench: Bench) -> None:
    """Check large blobs: all processors, beside SHA-256 in memory on one."""
    home = new_home(bench.folder)
    size, number = bench.count(32, 1) * MIB, 8
    store = SqliteStore.open(home, clock=SystemClock(), chance=SystemChance(), signer=HomeKey(home))
    for _ in range(number):
        with tempfile.NamedTemporaryFile(dir=bench.folder) as file:
            file.write(os.urandom(size))
            file.flush()
            store.blobs.put_file(Path(file.name))
    store.close()

    def once() -> float:
        started = time.perf_counter()
        assert verify(home, deep=True).ok
        return number * size / MIB / (time.perf_counter() - started)

    limits, measured = bench.beside(hash_bulk, once)
    bench.add(
        Line(
            "W11",
            f"verify --deep, {number} blobs of {size // MIB} MiB",
            "MiB/s",
            measured,
            "SHA-256, one thread",
            limits,
            "≥ 0.80",
        )
    )


def _taken_in(bench: Bench) -> None:
    """Take in one large output of a step, until it is hashed and on the disk, beside hashing it."""
    home = new_home(bench.folder)
    size = bench.count(1024, 8) * MIB
    output = Path(bench.folder) / "output"
    store = SqliteStore.open(home, clock=SystemClock(), chance=SystemChance(), signer=HomeKey(home))

    def wrote() -> None:
        piece = os.urandom(MIB)
        with output.open("wb") as file:
            for number in range(size // MIB):
                file.write(number.to_bytes(8, "big") + piece[8:])

    def hashed() -> float:
        wrote()
        started = time.perf_counter()
        with output.open("rb") as file:
            hashlib.file_digest(file, "sha256")
        took = time.perf_counter() - started
        output.unlink()
        return size / MIB / took

    def taken() -> float:
        wrote()
        started = time.perf_counter()
        digest, _ = store.blobs.take_file(output)
        took = time.perf_counter() - started
        store.blobs.path(digest).unlink()
        return size / MIB / took

    limits, measured = bench.beside(hashed, taken)
    store.close()
    what = f"output of {size // MIB:,} MiB: hashed, on the disk, kept"
    bench.add(Line("W11", what, "MiB/s", measured, "hashlib.file_digest of the file", limits, "≥ 0.80"))
