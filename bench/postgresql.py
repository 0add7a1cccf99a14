"""P1 to P8: a record in PostgreSQL that several servers share, beside what that PostgreSQL can do at all.

It is started here, with its stock settings: it syncs its disk, and is asked over TCP. Its folder lies where
temporary files do (TMPDIR), whatever `--dir` says: it does not run as root and must be able to get there.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import psycopg

from bench import flows
from bench.crew import Member, member
from bench.crew import server as server_of
from bench.growth import NEWEST, listed
from bench.peers import beside
from bench.postgresql_limits import Probe, probing
from bench.rig import Place, new_home, replaced, shared
from bench.runs import ROWS_OF_A_RUN, ROWS_OF_A_STEP, latencies, rounds
from bench.series import Bench, Line, percentile
from runnotary.core.queries import RunQuery
from tests.postgres import Postgres, binaries, running

PROMISED: Final = 4_000
"""Runs of one step per second."""
DBOS: Final = "DBOS on the same PostgreSQL"


def run(bench: Bench) -> None:
    """Add the lines, or say that there is no PostgreSQL."""
    try:
        binaries()
    except FileNotFoundError:
        print("postgresql: not installed (Debian: apt-get install postgresql)")
        return
    with running() as server, probing(server.fresh()) as probe:
        asyncio.run(_one_server(bench, server, probe))
        _two_servers(bench, server)


async def _one_server(bench: Bench, server: Postgres, probe: Probe) -> None:
    for what, unit, measure in (
        ("PostgreSQL: durable commits of one row", "/s", probe.single),
        ("PostgreSQL: rows by COPY in durable commits of 100", "/s", probe.copied),
    ):
        bench.add(Line("limit", what, unit, bench.series(measure)))
    async with shared(new_home(bench.folder), server.fresh()) as place:
        await _latency(bench, place, probe)
        for number in (1_000, 10_000):
            await _throughput(bench, place, probe, bench.count(number))
        await _fan(bench, place, probe)
        await _beside_dbos(bench, place, server)
        await _listing(bench, place, probe)
    async with replaced(new_home(bench.folder), log=True, url=server.fresh()) as place:
        await _chain(bench, place, probe)


async def _latency(bench: Bench, place: Place, probe: Probe) -> None:
    flow, number = place.keep(flows.ONE_SET), bench.count(100, 10)
    await latencies(place, flow, bench.count(50))
    p50: list[float] = []
    p95: list[float] = []

    async def once() -> float:
        found = await latencies(place, flow, number)
        p50.append(statistics.median(found))
        p95.append(percentile(found, 0.95))
        return p50[-1]

    limits, _ = await rounds(bench, lambda: 1e3 / probe.single(), once)
    for name, found in (("p50", p50), ("p95", p95)):
        what = f"submit to end, `set`, {name} of {number}"
        bench.add(Line("P2", what, "ms", found, "one commit", limits))


async def _throughput(bench: Bench, place: Place, probe: Probe, number: int) -> None:
    flow = place.keep(flows.ONE_SET)
    await place.many(flow, number)
    spent: list[float] = []

    async def once() -> float:
        before = time.process_time()
        rate = number / await place.took(flow, number)
        spent.append((time.process_time() - before) / number * 1e6)
        return rate

    limits, measured = await rounds(bench, lambda: probe.copied() / ROWS_OF_A_RUN, once)
    what = f"{number:,} runs at once"
    bench.add(Line("P1", what, "runs/s", measured, "COPY rows/s ÷ 5", limits, "≥ 0.25"))
    bench.add(Line("P1", f"{what}, as promised", "runs/s", measured, "bound", [PROMISED], "≥ 1.0"))
    bench.add(Line("P1", f"{what}: processor time of one, ours", "µs", spent))


async def _fan(bench: Bench, place: Place, probe: Probe) -> None:
    width = bench.count(1_000, 10)
    flow = place.keep(flows.fan(width))
    await place.took(flow)

    async def once() -> float:
        return width / await place.took(flow)

    limits, measured = await rounds(bench, lambda: probe.copied() / ROWS_OF_A_STEP, once)
    what = f"fan of {width:,} steps out and in"
    bench.add(Line("P4", what, "steps/s", measured, "COPY rows/s ÷ 2", limits))


async def _chain(bench: Bench, place: Place, probe: Probe) -> None:
    length = bench.count(200, 5)
    for step, what in (
        ({"set": {"x": 1}}, "effect-free steps (one commit in all)"),
        ({"run": ["true"]}, "attempts that just end, durable after each"),
    ):
        flow = place.keep(flows.chain(length, step))
        await place.took(flow)

        async def once(flow: str = flow) -> float:
            return length / await place.took(flow)

        limits, measured = await rounds(bench, probe.single, once)
        bench.add(Line("P5", f"chain of {length} {what}", "steps/s", measured, "commits/s", limits))


async def _listing(bench: Bench, place: Place, probe: Probe) -> None:
    await place.many(place.keep(flows.ONE_SKIPPED), NEWEST.limit)
    runs = place.store.count(RunQuery())
    bare = probe.listing(runs)

    async def once() -> float:
        return listed(place)

    limits, measured = await rounds(bench, bare, once)
    bench.add(Line("P8", f"newest 50 by status of {runs:,}", "ms", measured, "bare query", limits))


async def _beside_dbos(bench: Bench, place: Place, server: Postgres) -> None:
    python = beside.interpreter("dbos")
    if not python:
        print(f"peers {DBOS}: {beside.NOT_THERE}")
        return
    with server.connection() as connection:
        connection.execute("CREATE DATABASE dbos")
    url = server.url("public").split("?", maxsplit=1)[0].removesuffix("/postgres") + "/dbos"
    flow, number, many = place.keep(flows.ONE_SET), bench.count(200, 10), bench.count(1_000)
    theirs: list[dict[str, float]] = []
    latency: list[float] = []

    async def once() -> float:
        latency.append(statistics.median(await latencies(place, flow, number)))
        return many / await place.took(flow, many)

    try:
        with member([python, str(beside.DBOS), url], Path(bench.folder, "dbos")) as dbos:

            def beside_us() -> float:
                theirs.append(dbos.do(number))
                return theirs[-1]["runs_per_s"]

            limits, measured = await rounds(bench, beside_us, once)
    except RuntimeError as wrong:
        print(f"peers {DBOS}: {wrong}")
        return
    ms = [one["ms"] for one in theirs]
    bench.add(Line("P7", f"submit to end p50, beside {DBOS}", "ms", latency, DBOS, ms))
    bench.add(Line("P7", f"runs at once, beside {DBOS}", "runs/s", measured, DBOS, limits, "≥ 8"))


# --- two servers -----------------------------------------------------------------------------------------


def _two_servers(bench: Bench, server: Postgres) -> None:
    """Two processes that share a record, each with half of the runs, beside one that has its own alone."""
    with ExitStack() as crew:

        def started(number: int) -> tuple[str, list[Member]]:
            url, home = server.fresh(), new_home(bench.folder)
            command = server_of(home, url)
            files = [home.parent / f"said-{one}" for one in range(number)]
            return url, [crew.enter_context(member(command, file)) for file in files]

        alone, pair = started(1), started(2)
        many = bench.count(4_000)

        def rate(url: str, members: list[Member]) -> float:
            """Until every end has its position, too: a server that gives none leaves that work behind."""
            begun = time.perf_counter()
            for one in members:
                one.begin(many // len(members))
            for one in members:
                one.done()
            with psycopg.connect(url, autocommit=True) as connection:
                while connection.execute("SELECT 1 FROM pending LIMIT 1").fetchone():
                    time.sleep(0.001)
            return many / (time.perf_counter() - begun)

        for url, members in (alone, pair):
            rate(url, members)
        limits, measured = bench.beside(lambda: rate(*alone), lambda: rate(*pair))
    what = f"{many:,} runs at once, in two servers"
    bench.add(Line("P6", what, "runs/s", measured, "in one", limits, "≥ 1.0"))
