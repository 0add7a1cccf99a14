"""H1 to H3: a server under many requests, over many runs, with many followers."""

from __future__ import annotations

import asyncio
import statistics
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import uvloop

from bench import flows
from bench.clients import Follower, asked
from bench.filling import fill
from bench.rig import new_home
from bench.series import Bench, Line
from bench.servers import CONSTANT, PRODUCT, Server, let_in, serving
from runnotary.app.signing import HomeKey
from runnotary.app.system import SystemChance, SystemClock
from runnotary.core.queries import RunQuery
from runnotary.store.log import SqliteStore

Json = Any
CONNECTIONS = 8
RUNS = 1000
FOLLOWERS = 500
STEPS = 100
NEWEST = RunQuery(status=("skipped",), limit=50)
LISTING = "/runs?status=skipped&limit=50"


def run(bench: Bench, size: int) -> None:
    """Add the lines; the large home has this many runs."""
    _one_run(bench)
    _listings(bench, size)
    _followers(bench)


# --- GET of one run --------------------------------------------------------------------------------


def _one_run(bench: Bench) -> None:
    runs, number = bench.count(RUNS, 100), bench.count(4000, CONNECTIONS)
    with ExitStack() as held:
        found = [_asking(held, _filled(bench, runs), module) for module in (CONSTANT, PRODUCT)]
        for server, requests in found:
            asked(server.port, requests, max(CONNECTIONS, number // 4), CONNECTIONS)

        def rate(server: Server, requests: list[bytes]) -> float:
            seconds, took = asked(server.port, requests, number, CONNECTIONS)
            return len(took) / seconds

        limits, measured = bench.beside(lambda: rate(*found[0]), lambda: rate(*found[1]))
    what = f"GET of one run, {CONNECTIONS} connections"
    bench.add(Line("H1", what, "req/s", measured, "constant JSON", limits, "≥ 0.40"))


def _asking(held: ExitStack, home: Path, module: str) -> tuple[Server, list[bytes]]:
    """A server of a home, and requests for some of its runs."""
    server = held.enter_context(serving(home, let_in(home), module))
    listed = server.ask("GET", "/runs?limit=200")["runs"]
    return server, [server.request("GET", f"/runs/{run['id']}") for run in listed]


# --- listings --------------------------------------------------------------------------------------


def _listings(bench: Bench, size: int) -> None:
    small = min(RUNS, size // 2)
    homes = {small: _filled(bench, small), size: _filled(bench, size, tell=True)}
    number = bench.count(200, 5)
    with ExitStack() as held:
        stores = {
            runs: SqliteStore.open(home, clock=SystemClock(), chance=SystemChance(), signer=HomeKey(home))
            for runs, home in homes.items()
        }
        for store in stores.values():
            held.callback(store.close)
        limits, measured = bench.beside(
            lambda: _listed(stores[small], number), lambda: _listed(stores[size], number)
        )
    what = f"newest 50 by status of {size:,}"
    bench.add(Line("H2", f"{what}, store", "ms", measured, f"of {small:,}", limits, "≤ 1.5"))
    with ExitStack() as held:
        servers = {runs: held.enter_context(serving(home, let_in(home))) for runs, home in homes.items()}
        limits, measured = bench.beside(
            lambda: _answered(servers[small], number), lambda: _answered(servers[size], number)
        )
    bench.add(Line("H2", f"{what}, over HTTP", "ms", measured, f"of {small:,}", limits, "≤ 1.5"))


def _listed(store: SqliteStore, number: int) -> float:
    """Milliseconds, the median."""
    took = []
    for _ in range(number):
        started = time.perf_counter()
        found = store.runs(NEWEST)
        took.append((time.perf_counter() - started) * 1e3)
    assert found
    return statistics.median(took)


def _answered(server: Server, number: int) -> float:
    """Milliseconds, the median, one after the other."""
    _, took = asked(server.port, [server.request("GET", LISTING)], number, 1)
    return statistics.median(took) * 1e3


def _filled(bench: Bench, runs: int, *, tell: bool = False) -> Path:
    home = new_home(bench.folder)
    rate = asyncio.run(fill(home, runs))
    if tell:
        bench.add(Line("fill", f"{runs:,} runs through the store", "runs/s", [rate]))
    return home


# --- followers -------------------------------------------------------------------------------------


def _followers(bench: Bench) -> None:
    home = new_home(bench.folder)
    token = let_in(home)
    number, steps = bench.count(FOLLOWERS, 10), bench.count(STEPS, 5)
    gate = home.parent / "gate"
    first = {"first": {"run": f"until test -e {gate}; do sleep 0.05; done"}}
    chain = flows.chain(steps, {"run": ["true"]})["steps"]
    chain["s0"]["needs"] = ["first"]
    with serving(home, token) as server:
        made = server.ask("POST", "/flows", {"definition": {"flow": "busy", "steps": first | chain}})
        started = server.ask("POST", "/runs", {"definition": made["definition_hash"]})
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            took, events = runner.run(_followed(server, started["id"], number, gate))
        largest = server.largest()
    what = f"{number} followers of {events} events each: to the last one's end"
    bench.add(Line("H3", what, "s", [took]))
    bench.add(Line("H3", f"events to {number} followers", "events/s", [number * events / took]))
    what = f"largest resident size of a server with {number} followers"
    bench.add(Line("H3", what, "MiB", [largest], "bound", [250.0], "≤ 1.0"))


async def _followed(server: Server, run: str, number: int, gate: Path) -> tuple[float, int]:
    """Seconds from the gate's opening to the end of the last stream, and how many events each follower got.

    Raises:
        AssertionError: somebody missed an event, or had one twice.
    """
    request = server.request("GET", f"/runs/{run}/events")
    loop = asyncio.get_running_loop()
    following = [
        (await loop.create_connection(lambda: Follower(request), "127.0.0.1", server.port))[1]
        for _ in range(number)
    ]
    await asyncio.gather(*[one.begun for one in following])
    started = time.perf_counter()
    gate.touch()
    await asyncio.gather(*[one.ended for one in following])
    took = time.perf_counter() - started
    last = following[0].ids[-1]
    for one in following:
        assert one.ids == list(range(1, last + 1)), f"{len(one.ids)} of {last} events"
    return took, last
