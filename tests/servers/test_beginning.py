"""The first moment of a record, and servers that come at the same time."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tests.server.up import QUICK
from tests.servers.pair import Pair


def test_two_servers_begin_at_once_on_an_empty_database(own: Callable[..., Pair]) -> None:
    pair = own()
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda server: server.start(), (pair.a, pair.b)))
    pair.b.register(QUICK)
    runs = [server.start_run("quick") for server in (pair.a, pair.b) * 3]
    assert {pair.b.over(run)["status"] for run in runs} == {"success"}
    founded = pair.tell("SELECT count(*) FROM events WHERE stream = '\\x0364656661756c74' AND seq = 1")
    assert founded == [(1,)]
    places = pair.tell("SELECT count(DISTINCT name) FROM servers")
    assert places == [(2,)]


def test_commands_work_beside_servers(own: Callable[..., Pair]) -> None:
    pair = own().start()
    pair.a.register(QUICK)
    with ThreadPoolExecutor(4) as threads:
        done = list(threads.map(lambda _: pair.command("start", "quick", "-q"), range(4)))
    assert [one.returncode for one in done] == [0] * 4, [one.stderr for one in done]
    runs = {one.stdout.strip() for one in done}
    assert len(runs) == 4
    assert {pair.b.over(run)["status"] for run in runs} == {"success"}
    shown = pair.command("run", "list", "-o", "json")
    assert all(run in shown.stdout for run in runs)
