"""A server that dies, stands still or ends: what it worked on goes on elsewhere, once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.server.up import until, waits_for
from tests.servers.pair import Pair, Server, effects

MakePair = Callable[..., Pair]


def stepping(folder: Path, gate: Path) -> Any:
    """A flow that notes each of its steps, and waits in the first one for a file."""
    wait = f"for i in {{1..3000}}; do [ -e {gate} ] && break; sleep 0.02; done"
    log = folder / "effects"
    return {
        "flow": "stepping",
        "steps": {
            "one": {"run": f"echo $$ > {folder}/pid; echo one >> {log}; {wait}; echo one over >> {log}"},
            "two": {"run": f"echo two >> {log}", "needs": ["one"]},
        },
    }


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    return tmp_path / "gate"


def begun(pair: Pair, gate: Path) -> str:
    """Start a run at `a` that waits for the gate."""
    pair.a.register(stepping(pair.folder, gate))
    run = pair.a.start_run("stepping")
    until(lambda: (pair.folder / "pid").exists() and effects(pair.folder / "effects"))
    return run


def head(server: Server, run: str) -> str:
    """Return the hash of all that the record says of a run."""
    return str(server.document(run)["log"]["head"])


def kinds(pair: Pair, run: str) -> list[str]:
    return [kind for kind, _ in pair.b.facts(run)]


def test_a_killed_servers_attempt_is_taken_up_where_it_is(own: MakePair, gate: Path) -> None:
    pair = own().start()
    run = begun(pair, gate)
    pair.a.kill()
    gate.touch()
    done = pair.b.over(run)
    assert done["status"] == "success"
    assert effects(pair.folder / "effects") == {"one": 1, "one over": 1, "two": 1}
    assert len(pair.b.get(f"/runs/{run}/tasks/one").json["attempts"]) == 1
    places = [said["place"] for kind, said in pair.b.facts(run) if kind == "task.started"]
    assert len(places) == len(set(places)) == 2  # the first began there, the second here
    assert kinds(pair, run) == [
        "run.created", "task.started", "task.ended", "task.started", "task.ended", "run.finished", "end",
    ]  # fmt: skip


def test_a_server_that_returns_takes_nothing_back(own: MakePair, gate: Path) -> None:
    pair = own().start()
    run = begun(pair, gate)
    pair.a.kill()
    until(lambda: taken_over(pair, run))
    pair.a.start()
    gate.touch()
    assert pair.a.over(run)["status"] == pair.b.over(run)["status"] == "success"
    assert effects(pair.folder / "effects") == {"one": 1, "one over": 1, "two": 1}
    assert head(pair.a, run) == head(pair.b, run)


def taken_over(pair: Pair, run: str) -> bool:
    """Tell whether a server works on the run that is there."""
    (found,) = pair.tell("SELECT count(*) FROM runs JOIN servers ON servers.number = runs.server")
    return bool(found[0])


def test_a_paused_server_is_fenced_and_its_step_is_stopped(own: MakePair, gate: Path) -> None:
    pair = own().start()
    run = begun(pair, gate)
    pair.a.signal(signal.SIGSTOP)
    done = pair.b.over(run)
    assert (done["status"], done["error"]["code"]) == ("failed", "lease_expired")
    lost = pair.b.get(f"/runs/{run}/tasks/one").json
    assert (lost["status"], lost["reason"], len(lost["attempts"])) == ("failed", "lost", 1)
    before = head(pair.b, run)
    step = int((pair.folder / "pid").read_text())
    assert alive(step)  # nobody here may touch what another server's keeper holds
    pair.a.signal(signal.SIGCONT)
    until(lambda: not alive(step), "the end of a step that is nobody's")
    gate.touch()
    again = pair.a.start_run("stepping")
    assert pair.a.over(again)["status"] == "success"  # it works on, under another number
    assert head(pair.a, run) == head(pair.b, run) == before
    assert effects(pair.folder / "effects") == {"one": 2, "one over": 1, "two": 1}


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_server_that_ends_hands_over_at_once(own: MakePair, gate: Path) -> None:
    pair = own(lease=600).start()  # who waited for the lease would wait for ten minutes
    run = begun(pair, gate)
    assert pair.a.stop() == 0
    gate.touch()
    assert pair.b.over(run)["status"] == "success"
    assert effects(pair.folder / "effects") == {"one": 1, "one over": 1, "two": 1}


def test_one_after_the_other_is_exchanged(own: MakePair, gate: Path) -> None:
    pair = own(lease=600).start()
    run = begun(pair, gate)
    for server, other in ((pair.a, pair.b), (pair.b, pair.a)) * 2:
        assert server.stop() == 0
        assert other.document(run)["status"] == "running"
        server.start()
    gate.touch()
    assert pair.a.over(run)["status"] == "success"
    assert effects(pair.folder / "effects") == {"one": 1, "one over": 1, "two": 1}


def test_the_last_one_killed_leaves_it_to_whoever_comes(own: MakePair, gate: Path) -> None:
    pair = own(lease=600)
    pair.a.start()
    run = begun(pair, gate)
    pair.a.kill()
    gate.touch()
    pair.b.start()
    assert pair.b.over(run)["status"] == "success"
    assert effects(pair.folder / "effects") == {"one": 1, "one over": 1, "two": 1}


def test_what_a_killed_command_began_a_server_ends(own: MakePair, gate: Path) -> None:
    pair = own()
    pair.b.start()
    pair.b.register(stepping(pair.folder, gate))
    command = subprocess.Popen(
        [sys.executable, "-m", "runnotary", "start", "stepping", "-q"],
        cwd=pair.folder,
        env=pair.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert command.stdout is not None
    run = command.stdout.readline().strip()
    until(lambda: effects(pair.folder / "effects"))
    assert pair.b.document(run)["status"] == "running"
    command.kill()
    command.stdout.close()
    command.wait()
    gate.touch()
    assert pair.b.over(run)["status"] == "success"
    assert effects(pair.folder / "effects") == {"one": 1, "one over": 1, "two": 1}


def test_slots_are_each_servers_own(own: MakePair, gate: Path) -> None:
    pair = own(slots=1).start()
    for server in (pair.a, pair.b):
        server.register(waits_for(gate))
    first, second, third = (server.start_run("waits") for server in (pair.a, pair.b, pair.a))
    pair.a.running(first, "one")
    pair.a.running(second, "one")
    assert pair.b.document(third)["status"] == "pending"
    gate.touch()
    assert {pair.b.over(run)["status"] for run in (first, second, third)} == {"success"}
