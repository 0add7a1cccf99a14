"""`runnotary up` as a process: who may come in, how it begins and ends, and other commands beside it."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.database import outer
from tests.server.up import QUICK, SAYS, Up, free_port, until, waits_for

Json = Any


def command(up: Up, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run a command on the home of a server, in another process."""
    env = outer()
    return subprocess.run(
        [sys.executable, "-m", "runnotary", *words, "--home", str(up.home)],
        cwd=up.folder,
        env=env | settings,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_it_says_where_and_for_whom(own: Callable[..., Up]) -> None:
    up = own()
    assert up.said[0] == f"{up.url}\n"
    assert up.said[1] == f"home {up.home}\n"
    assert up.said[2].startswith("local owner: ")
    assert up.get("/health").json == {"status": "ok"}
    assert up.get("/whoami").json["roles"] == {"*": ["admin"]}
    assert b"runnotary_http_requests_total" in up.ask("GET", "/metrics", api="").body


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "example.org"])
def test_an_address_that_others_reach_needs_credentials(own: Callable[..., Up], host: str) -> None:
    up = own()
    up.stop()
    refused = command(up, "up", "--host", host, "--port", str(free_port()))
    assert refused.returncode == 2
    assert "nothing says who may come in" in refused.stderr
    assert "token create" in refused.stderr
    assert refused.stdout == ""


def test_with_a_token_any_address_will_do(own: Callable[..., Up]) -> None:
    up = own()
    up.ask("PUT", "/namespaces/*/roles/user:root", {"role": "admin"})
    up.token = up.post("/tokens", {"principal": "user:root", "name": "t"}).json["secret"]
    up.stop()
    up.set(host="0.0.0.0").start(f"http://0.0.0.0:{up.port}")
    assert "token" in up.said[2]
    assert up.get("/whoami").json["principal"] == "user:root"
    assert up.get("/whoami", headers={"host": "any.example"}).status == 200
    assert up.get("/health", token="none").status == 200
    assert up.ask("GET", "/runs", token="none").status == 401


def test_a_port_that_is_taken(own: Callable[..., Up]) -> None:
    one, two = own(), own()
    two.stop()
    refused = command(two, "up", "--port", str(one.port))
    assert (refused.returncode, refused.stdout) == (5, "")
    assert "--port" in refused.stderr


@pytest.mark.own_database("one process works in it, and the next is refused")
def test_a_home_has_one_server(own: Callable[..., Up]) -> None:
    up = own()
    refused = command(up, "up", "--port", "0")
    assert refused.returncode == 5
    assert "another engine" in refused.stderr
    for wrong in ("-1", "70000", "http"):
        assert command(up, "up", "--port", wrong).returncode == 2


def test_commands_in_other_terminals(own: Callable[..., Up], tmp_path: Path) -> None:
    """They find the server's engine by the home, without being told of the server."""
    up = own()
    up.register(QUICK, waits_for(tmp_path / "gate"))
    (up.folder / "flow.yaml").write_text("flow: here\nsteps: {a: {run: echo here}}\n")
    started = command(up, "start", "flow.yaml", "-q")
    assert started.returncode == 0, started.stderr
    run = started.stdout.strip()
    assert up.get(f"/runs/{run}", headers={"prefer": "wait=60"}).json["status"] == "success"
    waiting = up.post("/flows/waits/runs").json["id"]
    cancelled = command(up, "run", "cancel", waiting, "--grace", "1s")
    assert cancelled.returncode == 0, cancelled.stderr
    assert up.get(f"/runs/{waiting}").json["status"] == "cancelled"
    shown = command(up, "run", "show", run, "-o", "json")
    assert f'"{run}"' in shown.stdout


def test_open_runs_go_on_after_a_kill(own: Callable[..., Up], tmp_path: Path) -> None:
    up = own()
    up.register(QUICK, waits_for(tmp_path / "gate"))
    runs = [up.post("/flows/waits/runs").json["id"] for _ in range(5)]
    until(lambda: all(b"begun" in up.get(f"/runs/{run}/tasks/one/stdout").body for run in runs))
    up.kill()
    (tmp_path / "gate").write_text("")
    up.start()
    for run in runs:
        assert up.get(f"/runs/{run}", headers={"prefer": "wait=60"}).json["status"] == "success"
        tasks = up.get(f"/runs/{run}/tasks").json["tasks"]
        assert [len(task["attempts"]) for task in tasks] == [1, 1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_ending_in_order(own: Callable[..., Up], tmp_path: Path, number: signal.Signals) -> None:
    """No new step; whoever waits is answered; what runs lives on, and goes on with the next server."""
    up = own()
    up.register(waits_for(tmp_path / "gate"))
    run = up.post("/flows/waits/runs").json["id"]
    until(lambda: b"begun" in up.get(f"/runs/{run}/tasks/one/stdout").body)
    answers: list[Json] = []
    waiting = threading.Thread(
        target=lambda: answers.append(up.get(f"/runs/{run}", headers={"prefer": "wait=60"}))
    )
    waiting.start()
    until(lambda: 'route="/api/v1/runs/{run}/tasks' in up.ask("GET", "/metrics", api="").body.decode())
    process = up.signal(number)
    waiting.join(60)
    assert answers[0].json["status"] == "running"
    assert process.wait(60) == 0
    (tmp_path / "gate").write_text("")
    up.stop()
    assert command(up, "run", "show", run, "-o", "json").stdout.count('"status": "interrupted"') <= 1
    up.start()
    document = up.get(f"/runs/{run}", headers={"prefer": "wait=60"}).json
    assert document["status"] == "success"
    assert [len(task["attempts"]) for task in up.get(f"/runs/{run}/tasks").json["tasks"]] == [1, 1]


def test_a_wait_of_no_end_is_cut(own: Callable[..., Up], tmp_path: Path) -> None:
    up = own()
    up.register(waits_for(tmp_path / "gate"), SAYS)
    run = up.post("/flows/waits/runs", headers={"prefer": "wait=1"})
    assert (run.status, run.json["status"], run.headers["preference-applied"]) == (202, "running", "wait=1")
    long = up.post("/flows/says/runs", headers={"prefer": "wait=100000"})
    assert (long.status, long.headers["preference-applied"]) == (200, "wait=60")
