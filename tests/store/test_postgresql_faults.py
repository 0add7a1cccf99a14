"""What goes wrong between servers and their database: nothing acknowledged is lost, nothing is doubled."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psycopg
import pytest

from runnotary.core import chain
from runnotary.core import events as ev
from runnotary.store.postgresql import connections
from runnotary.store.postgresql.store import PostgresStore
from runnotary.store.verify import verify
from tests.postgres import Postgres
from tests.store.history import DEFINITION, Tale, Ticks, append, assert_appended, codes, flow_of, note, run_id
from tests.store.load import Load, check_words
from tests.store.places import PostgresPlace
from tests.store.proxy import Proxy, Side

ROLES = ("writer", "reader", "listener")


@pytest.fixture
def place(postgres: Postgres, tmp_path: Path) -> PostgresPlace:
    return PostgresPlace(postgres.fresh(), tmp_path / "home", postgres)


@pytest.fixture
def proxy(postgres: Postgres) -> Iterator[Proxy]:
    made = Proxy(postgres.port)
    yield made
    made.close()


def connection_of(store: PostgresStore, role: str) -> connections.PostgresConnection:
    """Return the connection that a server uses for something; readers have one in each thread."""
    assert store._own is not None and store._listener is not None
    if role == "writer":
        return store._own._postgres
    found = store._listener._connection if role == "listener" else store._readers[0]
    assert isinstance(found, connections.PostgresConnection)
    return found


def port_of(store: PostgresStore) -> int:
    """Return the port from which a server writes; 0 while it has just lost its connection."""
    try:
        with socket.socket(fileno=os.dup(connection_of(store, "writer").raw.fileno())) as client:
            return int(client.getsockname()[1])
    except (psycopg.OperationalError, OSError):
        return 0


def terminate(place: PostgresPlace, *connection: connections.PostgresConnection) -> None:
    pids = [one.raw.info.backend_pid for one in connection if not one.raw.closed]
    place.postgres.terminate("pid = ANY(%s)", (pids,))


async def in_thread(work: Callable[[], object]) -> None:
    await asyncio.to_thread(work)


async def is_so(found: Callable[[], bool]) -> None:
    async with asyncio.timeout(120):
        while not await asyncio.to_thread(found):
            await asyncio.sleep(0.02)


# --- connections that are cut ------------------------------------------------------------------------


@pytest.mark.parametrize("role", ROLES)
def test_connections_that_are_cut_under_load(place: PostgresPlace, role: str) -> None:
    async def work() -> Load:
        stores = place.open("a"), place.open("b")
        load = Load(*stores)
        cut = [
            lambda store=store: in_thread(lambda: terminate(place, connection_of(store, role)))
            for store in (*stores, *stores)
        ]
        await load.run(*cut)
        return load

    asyncio.run(work()).check(place)


def test_every_connection_is_cut_again_and_again(place: PostgresPlace) -> None:
    async def work() -> Load:
        load = Load(place.open("a"), place.open("b"))
        await load.run(*[lambda: in_thread(place.postgres.terminate)] * 8)
        return load

    asyncio.run(work()).check(place)


@pytest.mark.parametrize("how", ["immediate", "fast"])
def test_the_database_restarts_twice_under_load(place: PostgresPlace, how: str) -> None:
    async def work() -> Load:
        load = Load(place.open("a"), place.open("b"))
        await load.run(*[lambda: in_thread(lambda: place.postgres.restart(how))] * 2)  # type: ignore[arg-type]
        assert load.refused["away"] == 0, "a database that comes back soon is waited for"
        return load

    asyncio.run(work()).check(place)


@pytest.mark.parametrize("leads", [True, False])
@pytest.mark.parametrize("side", ["asked", "answered"])
@pytest.mark.parametrize("after", range(1, 5))
def test_a_commit_is_cut_at_any_point(
    place: PostgresPlace, proxy: Proxy, leads: bool, side: Side, after: int
) -> None:
    """The server whose connection is cut gives positions, also to what the other wrote, or does not."""
    way = place.postgres.url(place.schema, port=proxy.port)

    async def work() -> Load:
        stores = [place.open("a", url=way if leads else ""), place.open("b", url="" if leads else way)]
        cut = stores[0 if leads else 1]

        async def arm() -> None:
            proxy.cut(port_of(cut), side, after)

        load = Load(*stores, words=12)
        await load.run(arm, arm, arm)
        return load

    load = asyncio.run(work())
    load.check(place)
    assert proxy.cuts > 0


@pytest.mark.parametrize("side", ["asked", "answered"])
@pytest.mark.parametrize("after", range(1, 7))
def test_the_integrator_is_cut_while_it_only_gives_positions(
    place: PostgresPlace, proxy: Proxy, side: Side, after: int
) -> None:
    """It has nothing to write itself: an entry of another that waits is no sign that it was placed."""
    idle = place.open("a", url=place.postgres.url(place.schema, port=proxy.port))
    busy = place.open("b")
    assert codes(append(busy, note("x"))) == ["ok"]
    proxy.cut(port_of(idle), side, after)
    assert codes(append(busy, note("x", 1))) == ["ok"]

    async def placed() -> None:
        await is_so(lambda: place.tell("SELECT count(*) FROM pending") == [(0,)])

    asyncio.run(placed())
    assert codes(append(idle, note("y"))) == ["ok"]
    assert codes(append(busy, note("x", 2))) == ["ok"]
    busy.close()
    idle.close()
    check_words(place, set())


def test_an_answer_that_got_lost_is_found_out(place: PostgresPlace, proxy: Proxy) -> None:
    """What was committed is acknowledged, not refused: the same words are not said twice."""
    store = place.open("a", url=place.postgres.url(place.schema, port=proxy.port))
    assert codes(append(store, note("x"))) == ["ok"]
    proxy.cut(port_of(store), "answered", 1)
    assert codes(append(store, note("x", 1))) == ["ok"]
    assert proxy.cuts == 1
    assert [record.seq for record in store.read(note("x").stream)] == [1, 2]
    store.close()
    check_words(place, set())


# --- locks -------------------------------------------------------------------------------------------


async def blocked(place: PostgresPlace) -> None:
    """Wait until a server waits for a lock."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"
    await is_so(lambda: place.tell(waiting)[0][0] > 0)


def test_a_lock_that_is_let_go_only_delays(place: PostgresPlace) -> None:
    async def work() -> list[str]:
        with place.connection() as other:
            other.execute("BEGIN; LOCK TABLE log IN EXCLUSIVE MODE")
            asked = asyncio.ensure_future(store.append([note("x"), note("y")]))
            await blocked(place)
            other.execute("ROLLBACK")
            return codes(await asked)

    store = place.open()
    assert asyncio.run(work()) == ["ok", "ok"]
    store.close()
    check_words(place, set())


def test_a_lock_that_is_not_let_go_refuses_and_says_why(
    place: PostgresPlace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "LOCK_SECONDS", 0.1)

    async def work() -> None:
        with place.connection() as other:
            other.execute("BEGIN; LOCK TABLE log IN EXCLUSIVE MODE")
            results = await store.append([note("x"), note("y")])
            assert codes(results) == ["away", "away"]
            assert all("lock timeout" in result.message for result in results)  # type: ignore[union-attr]
        assert codes(await store.append([note("x"), note("y")])) == ["ok", "ok"]

    store = place.open()
    asyncio.run(work())
    store.close()
    check_words(place, set())


def test_of_two_that_wait_for_each_other_the_server_tries_again(place: PostgresPlace) -> None:
    async def work() -> list[str]:
        with place.connection() as other:
            # The server finds out first, and so is the one whose commit is undone.
            other.execute("SET deadlock_timeout = '10min'")
            other.execute("BEGIN; SELECT 1 FROM integrator FOR UPDATE")
            asked = asyncio.ensure_future(store.append([note("x"), note("y")]))
            await blocked(place)
            await in_thread(lambda: other.execute("UPDATE servers SET host = host"))
            other.execute("COMMIT")
            return codes(await asked)

    store = place.open()
    assert asyncio.run(work()) == ["ok", "ok"]
    store.close()
    check_words(place, set())


# --- several servers ---------------------------------------------------------------------------------


def test_three_servers_say_everything_in_the_same_streams(place: PostgresPlace) -> None:
    async def work() -> Load:
        load = Load(*(place.open(name) for name in "abc"), streams=2, words=30)
        await load.run()
        assert load.refused["conflict"] > 0, "they should have met"
        return load

    asyncio.run(work()).check(place)


def test_the_integrator_is_replaced_in_the_middle(place: PostgresPlace) -> None:
    async def work() -> Load:
        a, b = stores = place.open("a"), place.open("b")
        load = Load(*stores, shared=False)
        await load.run(*[a.checkpoint, b.checkpoint] * 6)
        return load

    asyncio.run(work()).check(place)


def test_clocks_that_differ_by_a_day(place: PostgresPlace) -> None:
    async def work() -> Load:
        day = 86_400_000_000
        load = Load(place.open("a"), place.open("b", clock=Ticks(Ticks().at + day)))
        await load.run()
        return load

    asyncio.run(work()).check(place)


def test_an_integrator_without_work_of_its_own_keeps_its_lease(place: PostgresPlace) -> None:
    """Others keep it busy all the time; it says that it lives nevertheless."""

    async def work() -> None:
        number = 0
        until = place.tell("SELECT until FROM servers WHERE name = 'a'")[0][0]
        while place.tell("SELECT now() < ?::timestamptz + interval '1 second'", (until,))[0][0]:
            assert codes(await busy.append([note("x", number)])) == ["ok"]
            number += 1

    idle = place.open("a", lease_seconds=1.0)
    busy = place.open("b", lease_seconds=1.0)
    assert idle._own is not None
    registered = idle._own.registration.number
    asyncio.run(work())
    assert idle._own.registration.number == registered
    busy.close()
    idle.close()
    check_words(place, set())


# --- servers that stand still, or die ----------------------------------------------------------------


class Runs:
    """An engine that only remembers what it is told."""

    def __init__(self) -> None:
        self.got: list[bytes] = []
        self.lost = 0

    def grown(self, changes: object) -> None: ...

    def taken(self, runs: Sequence[bytes]) -> None:
        self.got += runs

    def given_up(self) -> None:
        self.lost += 1


async def stand_still(store: PostgresStore) -> Callable[[], None]:
    """Let a server do nothing from now on, as if its machine were paused; what is returned wakes it."""
    assert store._own is not None
    still, go_on = threading.Event(), threading.Event()

    def wait() -> None:
        still.set()
        go_on.wait()

    store._own._asking.put(wait)
    await is_so(still.is_set)
    return go_on.set


@pytest.mark.parametrize("leads", [True, False])
def test_a_server_that_stood_still_for_longer_than_its_lease_is_fenced(
    place: PostgresPlace, leads: bool
) -> None:
    async def work() -> None:
        first, second = place.open("a", lease_seconds=1), place.open("b", lease_seconds=1, takes_over=True)
        paused, awake = (first, second) if leads else (second, first)
        engines = {store: Runs() for store in (paused, awake)}
        for store, engine in engines.items():
            store.share(engine)
        clock = Ticks()
        tale = Tale(1, clock)
        paused.blobs.put(DEFINITION)
        assert_appended(await paused.append([tale.turn(tale.created(), tale.started("clean"))]))
        assert paused._own is not None
        number = paused._own.registration.number
        wake = await stand_still(paused)
        late = asyncio.ensure_future(paused.append([tale.turn(ev.RunFinished("cancelled")), note("other")]))
        await is_so(lambda: place.tell("SELECT 1 FROM servers WHERE number = ?", (number,)) == [])
        if not leads:
            assert await awake.claim(tale.id)
        else:
            await is_so(lambda: engines[awake].got == [tale.id])
        wake()
        assert codes(await late) == ["conflict", "ok"], "what begins is nobody else's"
        await is_so(lambda: engines[paused].lost == 1)
        assert paused._own.registration.number > number
        await is_so(lambda: not paused._own._suspended)
        assert not await paused.claim(tale.id), "another one works on it"
        assert paused.head(tale.stream)[0] == 2
        assert_appended(await paused.append([note("other", 1)]))
        for store in (paused, awake):
            store.close()

    asyncio.run(work())
    assert verify(place.record, flow_of=flow_of).ok


SERVER = """
import asyncio, sys
sys.path[:0] = {path!r}
from pathlib import Path
from tests.store.history import Tale, Ticks
from tests.store.places import PostgresPlace
place = PostgresPlace({url!r}, Path({home!r}), None)
stores = [place.open(name, lease_seconds=1) for name in {names!r}]
async def work():
    number = 100
    while True:
        await Tale(number, Ticks()).tell(stores[-1], until=2)
        print(number, flush=True)
        number += 1
asyncio.run(work())
"""


@pytest.mark.parametrize("alone", [True, False])
def test_what_servers_that_were_killed_have_acknowledged_gets_positions(
    place: PostgresPlace, alone: bool
) -> None:
    """What they wrote waits for an integrator, who is there already or comes later; their runs are left."""

    async def kill() -> list[bytes]:
        names = ["leads", "dies"] if alone else ["dies"]
        script = SERVER.format(path=sys.path, url=place.url, home=str(place.home), names=names)
        with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as child:
            assert child.stdout is not None
            said = [await asyncio.to_thread(child.stdout.readline) for _ in range(5)]
            child.kill()
            said += await asyncio.to_thread(child.stdout.readlines)
        return [run_id(int(line)) for line in said]

    async def work() -> None:
        store = None if alone else place.open("stays", lease_seconds=1)
        told = await kill()
        store = store or place.open("comes", lease_seconds=1)
        await is_so(lambda: place.tell("SELECT 1 FROM servers WHERE name IN ('dies', 'leads')") == [])
        await is_so(lambda: place.tell("SELECT count(*) FROM pending") == [(0,)])
        assert set(told) <= set(store.open_runs())
        for run in told:
            assert await store.claim(run)
            assert store.placed(chain.run_stream(run), 2) > 0
        store.close()

    asyncio.run(work())
    check_words(place, set())
