"""A server that is killed and comes back on the same home and port: no client has to know."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from runnotary import AsyncClient, Client
from tests.client import flows
from tests.client.conftest import opened
from tests.client.service import PATIENCE, Server

RUNS = 500


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    serving = Server(tmp_path / "home")
    serving.start()
    yield serving
    serving.stop()


class Asking:
    """Asks a server in a thread of its own, with or without asyncio."""

    def __init__(self, kind: str, url: str, name: str, *args: Any, **kwargs: Any) -> None:
        pool = ThreadPoolExecutor(1)
        words = {"url": url, "timeout": PATIENCE}
        self._answer = pool.submit(self._asked, kind, words, name, args, kwargs)
        pool.shutdown(wait=False)

    @staticmethod
    def _asked(kind: str, words: Any, name: str, args: Any, kwargs: Any) -> Any:
        with opened(kind, lambda made: made(**words), (Client, AsyncClient)) as both:
            both.health()
            return getattr(both, name)(*args, **kwargs)

    def over(self) -> bool:
        return self._answer.done()

    def answer(self) -> Any:
        return self._answer.result(3 * PATIENCE)


@pytest.mark.slow
def test_waiting_and_following_outlive_a_killed_server(kind: str, server: Server, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    with Client(server.url) as client:
        client.register_flow(flows.GATED)
        run = client.run_flow("gated", {"gate": str(gate)})
    waiting = Asking(kind, server.url, "wait_for_run", run.id, 2, timeout=2 * PATIENCE)
    following = Asking(kind, server.url, "follow_run", run.id)
    time.sleep(1)
    server.kill()
    time.sleep(2)
    assert not waiting.over()
    assert not following.over()
    server.start()
    gate.touch()
    done = waiting.answer()
    assert done.status == "success"
    assert [event.seq for event in following.answer()] == list(range(1, done.log.events + 1))


@pytest.mark.slow
def test_a_batch_during_which_the_server_is_killed_is_complete_and_nothing_is_doubled(
    kind: str, server: Server
) -> None:
    with Client(server.url) as client:
        client.register_flow(flows.DOUBLE)
    requests = [
        {"flow": "double", "inputs": {"n": n}, "tags": ["batch"], "label": f"n {n}"} for n in range(RUNS)
    ]
    starting = Asking(kind, server.url, "batch_run_flows", requests)
    with Client(server.url, timeout=PATIENCE) as client:
        for most in (20, 250):
            while client.list_runs(tag="batch", limit=1, total=True).total < most:
                time.sleep(0.01)
            assert not starting.over()
            server.kill()
            server.start()
        batch = starting.answer()
        assert [one.error for one in batch] == [None] * RUNS
        ids = [one.run_id for one in batch]
        there = client.list_all_runs(tag="batch")
        assert sorted(run.id for run in there) == sorted(ids)
        assert len(there) == RUNS
        for n, run_id in enumerate(ids):
            assert client.wait_for_run(run_id, timeout=PATIENCE).outputs == {"twice": 2 * n}
