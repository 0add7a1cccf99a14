"""The database is away for a while: who asks is told so at once, and nothing is lost when it is back."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.postgres import Postgres, running
from tests.server.up import QUICK, Reply, until
from tests.servers.pair import Pair, Server, effects
from tests.servers.test_taking_over import begun, stepping

MakePair = Callable[..., Pair]
ANSWERED_S = 20.0
"""What a client would wait for, at most: far less than servers wait for their database."""


@pytest.fixture
def postgres() -> Iterator[Postgres]:
    """A PostgreSQL that only this test stops."""
    with running() as server:
        yield server


def asked(server: Server, verb: str, path: str, body: Any = None) -> Reply:
    with httpx2.Client(base_url=server.url, timeout=ANSWERED_S, trust_env=False) as http:
        answer = http.request(verb, f"/api/v1{path}", json=body)
    return Reply(answer.status_code, answer.headers, answer.content)


def refusal(reply: Reply) -> tuple[int, str, str]:
    return reply.status, reply.code, reply.json.get("hint", "")


def test_whoever_asks_meanwhile_is_told_so(own: MakePair, tmp_path: Path, postgres: Postgres) -> None:
    pair, gate = own(lease=60).start(), tmp_path / "gate"
    pair.a.register(QUICK)
    run = begun(pair, gate)
    postgres.stop("immediate")
    gate.touch()  # the step ends while its end cannot be written
    until(lambda: effects(pair.folder / "effects")["one over"])
    for server in (pair.a, pair.b):
        for verb, path, body in (
            ("GET", "/runs", None),
            ("GET", f"/runs/{run}", None),
            ("GET", f"/runs/{run}/events", None),
            ("GET", f"/runs/{run}/tasks/one/stdout", None),
            ("POST", "/flows/quick/runs", {}),
            ("POST", "/flows", {"definition": QUICK}),
            ("POST", f"/runs/{run}/cancel", {}),
            ("PATCH", f"/runs/{run}", {"label": "x"}),
            ("POST", "/tokens", {"name": "t"}),
        ):
            status, code, hint = refusal(asked(server, verb, path, body))
            assert (status, code) == (503, "unreachable"), (verb, path)
            assert hint
        assert asked(server, "GET", "/health").status in (200, 503)
    postgres.start()
    assert pair.b.over(run)["status"] == pair.a.over(run)["status"] == "success"
    assert effects(pair.folder / "effects") == {"one": 1, "one over": 1, "two": 1}
    for server in (pair.a, pair.b):
        assert server.over(server.start_run("quick"))["status"] == "success"


def test_a_command_that_nobody_else_waits_for_waits(
    own: MakePair, tmp_path: Path, postgres: Postgres
) -> None:
    pair, gate = own(), tmp_path / "gate"
    flow = pair.folder / "flow.json"
    pair.folder.mkdir()
    flow.write_text(json.dumps(stepping(pair.folder, gate)))
    with ThreadPoolExecutor(1) as thread:
        done = thread.submit(pair.command, "start", str(flow))
        until(lambda: effects(pair.folder / "effects"))
        postgres.stop("immediate")
        gate.touch()
        time.sleep(4)  # more than one look at a run takes
        postgres.start()
        assert done.result().returncode == 0, done.result()
    assert effects(pair.folder / "effects") == {"one": 1, "one over": 1, "two": 1}


def test_runs_go_on_after_longer_than_anybody_waits(
    own: MakePair, tmp_path: Path, postgres: Postgres
) -> None:
    pair, gate = own(lease=12).start(), tmp_path / "gate"
    run = begun(pair, gate)
    postgres.stop("immediate")
    gate.touch()
    until(lambda: effects(pair.folder / "effects")["one over"])
    until(lambda: f"run {run} waits" in (pair.a.folder / "stderr").read_text())  # it gave up
    postgres.start()
    assert pair.b.over(run)["status"] == "success"
    assert effects(pair.folder / "effects") == {"one": 1, "one over": 1, "two": 1}
