"""Nothing of an attempt outlives it: stops, leftovers, strays, and a keeper that died."""

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runnotary.executors import attempt_record, containment

from .keeper_harness import PATIENCE, Keeper, alive, eventually

MakeKeeper = Callable[..., Keeper]

# A daemon as daemons are made: two forks, a session of its own, and its number in a file.
DAEMON = """
import os, signal, sys, time
def daemon(file, bare=False, ignore_term=False):
    if os.fork():
        os.wait()
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    if ignore_term:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    path = os.path.abspath(file)
    if bare:
        os.chdir('/')
        os.execve(sys.executable, [sys.executable, '-I', '-S', '-c',
            'import os,time,sys; open(sys.argv[1]+".new","w").write(str(os.getpid()));'
            'os.rename(sys.argv[1]+".new",sys.argv[1]); time.sleep(1000)', path], {})
    with open(path + '.new', 'w') as out:
        out.write(str(os.getpid()))
    os.rename(path + '.new', path)
    time.sleep(1000)
    os._exit(0)
def wait_for(file):
    while not os.path.exists(file):
        time.sleep(0.005)
"""


@pytest.fixture
def make(tmp_path: Path) -> Iterator[MakeKeeper]:
    made: list[Keeper] = []

    def start(*options: str) -> Keeper:
        made.append(Keeper(tmp_path, *options))
        return made[-1]

    yield start
    for keeper in made:
        keeper.tear_down()


@pytest.fixture
def keeper(make: MakeKeeper) -> Keeper:
    return make()


def python(keeper: Keeper, name: str, body: str, **fields: object) -> dict[str, object]:
    return keeper.start(name, "", argv=[sys.executable, "-I", "-S", "-c", DAEMON + body], **fields)


def test_leftovers_of_every_kind_die_with_the_attempt(keeper: Keeper) -> None:
    python(keeper, "a", "daemon('one'); daemon('two', ignore_term=True); daemon('three', bare=True)\n"
           "for f in ('one', 'two', 'three'): wait_for(f)\n")  # fmt: skip
    record = keeper.ended("a")
    assert os.waitstatus_to_exitcode(record.wait_status) == 0
    assert record.survivors == 3 and record.stuck == 0 and record.stop_signal == 0
    for file in ("one", "two", "three"):
        assert not alive(keeper.pid_from("a", file))


def test_leftovers_in_the_same_session_die_too(keeper: Keeper) -> None:
    keeper.start("a", "sleep 1000 & echo $! > one; sh -c 'sleep 1001 & echo $! > two'")
    assert keeper.ended("a").survivors == 2
    assert not alive(keeper.pid_from("a", "one")) and not alive(keeper.pid_from("a", "two"))


def test_leftovers_of_one_attempt_do_not_cost_another_its_daemon(keeper: Keeper) -> None:
    python(keeper, "a", "daemon('one'); wait_for('go')")
    daemon = keeper.pid_from("a", "one")
    python(keeper, "b", "daemon('one'); wait_for('one')")
    assert keeper.ended("b").survivors == 1
    assert alive(daemon)
    (keeper.attempts / "a" / "work" / "go").touch()
    assert keeper.ended("a").survivors == 1
    assert not alive(daemon)


def test_a_stray_that_shows_nothing_waits_for_the_last_that_could_own_it(keeper: Keeper) -> None:
    python(keeper, "old", "wait_for('go')")
    python(keeper, "a", "daemon('stray', bare=True); wait_for('stray')")
    stray = keeper.pid_from("a", "stray")
    keeper.ended("a")
    assert alive(stray)
    keeper.start("young", "true")  # younger than the stray: cannot own it
    keeper.ended("young")
    assert alive(stray)
    (keeper.attempts / "old" / "work" / "go").touch()
    keeper.ended("old")
    assert not alive(stray)


STORM = """
if not os.fork():
    for _ in range(2):
        os.fork()
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if os.fork():
            os._exit(0)
        os.setsid()
        if not os.path.exists("left"):
            open("left", "w").close()
while not os.path.exists("left"):
    time.sleep(0.01)
"""


def test_processes_that_never_stay_are_caught(keeper: Keeper) -> None:
    """Four chains, each of which forks, leaves its session and ends, thousands of times a second."""
    python(keeper, "a", STORM)
    record = keeper.ended("a")
    # One has left the session by then; on a busy machine others may not have begun. None may go on.
    assert record.survivors > 0 and record.stuck == 0
    assert not any(containment.mark_of(pid) == "a" for pid in containment.table())


def test_stop_reaches_everything_and_is_recorded(keeper: Keeper) -> None:
    python(keeper, "a", "daemon('one'); wait_for('one'); time.sleep(1000)")
    daemon = keeper.pid_from("a", "one")
    assert keeper.client.ask("stop", attempt="a", why="a test")["state"] == "running"
    record = keeper.ended("a")
    assert os.WTERMSIG(record.wait_status) == record.stop_signal == signal.SIGTERM
    assert record.started_us <= record.stop_us <= record.exited_us
    assert record.survivors == 0 and not alive(daemon)


def test_the_deaf_are_killed_after_the_grace(keeper: Keeper) -> None:
    body = "signal.signal(signal.SIGTERM, signal.SIG_IGN); daemon('one', ignore_term=True); wait_for('one')\n"
    python(keeper, "a", body + "open('ready', 'w').write('1'); time.sleep(1000)")
    keeper.pid_from("a", "ready")
    keeper.client.ask("stop", attempt="a", grace_ms=100)
    record = keeper.ended("a")
    assert os.WTERMSIG(record.wait_status) == record.stop_signal == signal.SIGKILL
    assert record.exited_us - record.stop_us >= 100_000
    assert record.survivors == 1 and not alive(keeper.pid_from("a", "one"))


def test_the_grace_is_for_children_too(keeper: Keeper) -> None:
    keeper.start(
        "a", "(trap 'sleep 0.3; echo saved; exit' TERM; touch ready; while :; do sleep 0.01; done) & wait"
    )
    eventually((keeper.attempts / "a" / "work" / "ready").exists)
    keeper.client.ask("stop", attempt="a", grace_ms=20_000)
    record = keeper.ended("a")
    assert keeper.output("a") == b"saved\n" and record.survivors == 0


def test_a_second_stop_shortens_the_grace(keeper: Keeper) -> None:
    keeper.start("a", "trap '' TERM; touch ready; while :; do sleep 0.01; done")
    eventually((keeper.attempts / "a" / "work" / "ready").exists)
    keeper.client.ask("stop", attempt="a", grace_ms=600_000)
    keeper.client.ask("stop", attempt="a", grace_ms=900_000)
    keeper.client.ask("stop", attempt="a", grace_ms=10)
    assert keeper.ended("a").stop_signal == signal.SIGKILL


def test_a_stopped_process_can_be_stopped(keeper: Keeper) -> None:
    pid = keeper.start("a", "kill -STOP $$; sleep 1000")["pid"]

    def suspended() -> bool:
        process = containment.look(int(pid))
        return process is not None and process.state == "T"

    eventually(suspended)
    keeper.client.ask("stop", attempt="a", grace_ms=600_000)
    assert os.WTERMSIG(keeper.ended("a").wait_status) == signal.SIGTERM


def test_an_exit_before_the_stop_keeps_its_own_outcome(keeper: Keeper) -> None:
    """Both are waiting when the keeper looks: it is frozen while the process ends."""
    pid = keeper.start("a", "read x < /dev/null; mkfifo f; read x < f; exit 5")["pid"]
    fifo = keeper.attempts / "a" / "work" / "f"
    eventually(fifo.exists)
    os.kill(keeper.process.pid, signal.SIGSTOP)
    fifo.write_text("\n")
    eventually(lambda: not alive(int(pid)))
    keeper.client.socket.sendall(b'{"op": "stop", "id": "late", "attempt": "a"}\n')
    os.kill(keeper.process.pid, signal.SIGCONT)
    heard = [keeper.client.hear(), keeper.client.hear()]
    assert any(message.get("id") == "late" and message["ok"] for message in heard)
    record = keeper.record("a")
    assert os.waitstatus_to_exitcode(record.wait_status) == 5
    assert (record.stop_signal, record.stop_us) == (0, 0)


def test_sigterm_stops_everything_and_leaves(keeper: Keeper) -> None:
    keeper.start("a", "sleep 1000")
    keeper.start("b", "trap 'exit 7' TERM; touch ready; while :; do sleep 0.01; done")
    eventually((keeper.attempts / "b" / "work" / "ready").exists)
    keeper.process.terminate()
    assert keeper.process.wait(PATIENCE) == 0
    assert keeper.record("a").stop_signal == signal.SIGTERM
    assert os.waitstatus_to_exitcode(keeper.record("b").wait_status) == 7


def test_strays_of_live_attempts_are_reaped(keeper: Keeper) -> None:
    python(keeper, "a", "for _ in range(20):\n    if not os.fork():\n        if os.fork(): os._exit(0)\n"
           "        os._exit(0)\n    os.wait()\nopen('ready', 'w').write('1'); time.sleep(1000)")  # fmt: skip
    keeper.pid_from("a", "ready")
    children = Path(f"/proc/{keeper.process.pid}/task/{keeper.process.pid}/children")
    eventually(lambda: len(children.read_text().split()) == 1, "only the attempt is left")


def orphaned(keeper: Keeper, body: str) -> tuple[attempt_record.Record, Path]:
    """An attempt whose keeper has been killed."""
    python(keeper, "a", body)
    keeper.pid_from("a", "ready")
    keeper.process.kill()
    keeper.process.wait()
    return keeper.record("a"), keeper.attempts / "a"


def kill_all(record: attempt_record.Record | None, folder: Path) -> int:
    killed, deadline = 0, time.monotonic() + PATIENCE
    while found := containment.kill_tree("a", folder, record):
        killed += found
        assert time.monotonic() < deadline
        time.sleep(0.005)
    return killed


def test_what_a_dead_keeper_leaves_is_found_and_killed(keeper: Keeper) -> None:
    body = "daemon('one'); wait_for('one')\nif not os.fork(): time.sleep(1000)\n"
    record, folder = orphaned(keeper, body + "open('ready', 'w').write('1'); time.sleep(1000)")
    assert record.state == attempt_record.RUNNING and record.boot_id == containment.boot_id()
    assert not containment.is_running(record.keeper_pid, record.keeper_ticks)
    assert containment.is_running(record.pid, record.start_ticks)
    assert not containment.is_running(record.pid, record.start_ticks + 1)
    assert kill_all(record, folder) >= 3
    assert not containment.is_running(record.pid, record.start_ticks)
    assert not alive(keeper.pid_from("a", "one"))


def test_a_claim_without_a_number_is_enough_to_find_what_is_marked(keeper: Keeper) -> None:
    _, folder = orphaned(
        keeper, "daemon('one'); wait_for('one'); open('ready', 'w').write('1')\ntime.sleep(1000)"
    )
    assert kill_all(None, folder) >= 2
    assert not alive(keeper.pid_from("a", "one"))


def test_a_recycled_number_is_nobody_s_victim(keeper: Keeper) -> None:
    record, folder = orphaned(keeper, "open('ready', 'w').write('1'); time.sleep(1000)")
    kill_all(record, folder)
    bystander = os.posix_spawn("/bin/sleep", ["sleep", "1000"], {}, setsid=True)
    try:
        record.pid = bystander
        assert containment.kill_tree("a", folder, record) == 0
        assert alive(bystander)
    finally:
        os.kill(bystander, signal.SIGKILL)
        os.waitpid(bystander, 0)


def test_cgroups_where_they_are_delegated(make: MakeKeeper, tmp_path: Path) -> None:
    """Where they are not, the keeper falls back to scanning and says so."""
    delegated = next(
        (root / f"runnotary-test-{os.getpid()}"
         for root in (Path("/sys/fs/cgroup/unified"), Path("/sys/fs/cgroup"))
         if (root / "cgroup.procs").exists() and os.access(root, os.W_OK)),
        tmp_path / "missing" / "no-cgroup",
    )  # fmt: skip
    keeper = make(f"cgroup={delegated}")
    strength = keeper.client.welcome["containment"]
    python(keeper, "a", "daemon('one', bare=True); wait_for('one')")
    record = keeper.ended("a")
    assert attempt_record.CONTAINMENTS[record.containment] == strength
    assert record.survivors == 1 and not alive(keeper.pid_from("a", "one"))
    keeper.client.ask("quit_when_idle")
    assert keeper.process.wait(PATIENCE) == 0
    if strength == "cgroup":
        assert sorted(path.name for path in delegated.iterdir() if path.is_dir()) == ["keeper"]
        (delegated / "keeper").rmdir()
        delegated.rmdir()
