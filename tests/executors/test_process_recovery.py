"""Engines and keepers that die: nothing runs twice, nothing is left, every end is known or called lost."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from runnotary.core.attempts import Attempt, Outcome
from runnotary.executors import attempt_record, containment
from tests.executors.contract import Driver, drive
from tests.executors.rig import ProcessRig

ROOT = Path(__file__).parents[2]

ENGINE = """
import asyncio, sys
from pathlib import Path
import msgspec
from runnotary.core.attempts import Attempt
from tests.executors.rig import ProcessRig

async def main():
    rig = ProcessRig.again(Path(sys.argv[1]))
    attempts = msgspec.json.decode(sys.stdin.buffer.read(), type=list[Attempt])
    executor = rig.executor()
    ended = []
    executor.observe(ended.append)
    await asyncio.gather(*[executor.start(attempt) for attempt in attempts])
    print("started", flush=True)
    await asyncio.sleep(1000)

asyncio.run(main())
"""


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[ProcessRig]:
    with ProcessRig(tmp_path) as rig:
        yield rig


def engine_process(rig: ProcessRig, attempts: list[Attempt]) -> subprocess.Popen[bytes]:
    """An engine in a process of its own that has started these attempts."""
    process = subprocess.Popen(
        [sys.executable, "-c", ENGINE, str(rig.home.parent)],
        cwd=ROOT,
        env=rig.environ | {"PYTHONPATH": f"{ROOT}/src:{ROOT}"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(msgspec.json.encode(attempts))
    process.stdin.close()
    assert process.stdout.readline() == b"started\n"
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    assert process.stdout is not None
    process.stdout.close()


def taken_up(rig: ProcessRig, attempt: Attempt) -> Outcome:
    """What a new engine makes of an attempt, released afterwards."""
    found: list[Outcome] = []

    async def scene(driver: Driver) -> None:
        assert await driver.executor.find(attempt)
        found.append(await driver.ended(attempt))
        assert driver.ends(attempt) == 1
        await driver.executor.release(attempt.id, keep=True)

    drive(rig, scene)
    return found[0]


def until_record(rig: ProcessRig, attempt: Attempt, state: int) -> attempt_record.Record:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            record = rig.record(attempt)
        except (FileNotFoundError, attempt_record.Damaged):
            continue
        if record.state == state:
            return record
        time.sleep(0.01)
    raise AssertionError("the record does not come to this state")


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        process = containment.look(pid)
        if process is None or process.dead:
            return
        time.sleep(0.01)
    raise AssertionError("it does not die")


# --- the engine dies -------------------------------------------------------------------------------


def test_a_killed_engine_loses_nothing_and_repeats_nothing(rig: ProcessRig) -> None:
    waits = "while [ ! -e go ]; do sleep 0.02; done; echo late; echo n=7 > $RUNNOTARY_OUTPUT; exit 0"
    mark = f"echo x >> {rig.outside}/$RUNNOTARY_ATTEMPT; "
    running = rig.shell(mark + waits, variables={"v": "1"}, values={"n": "integer"})
    over = rig.shell(mark + "echo done; exit 5")
    process = engine_process(rig, [running, over])
    until_record(rig, over, attempt_record.EXITED)
    end(process)

    outcome = taken_up(rig, over)
    assert (outcome.exit_code, outcome.lost) == (5, False)

    async def scene(driver: Driver) -> None:
        assert await driver.executor.find(running)
        assert driver.ends(running) == 0
        (rig.folder(running) / "work" / "go").touch()
        outcome = await driver.ended(running)
        assert (outcome.exit_code, outcome.values, outcome.lost) == (0, {"n": 7}, False)
        assert outcome.stdout is not None
        assert rig.blobs.get(outcome.stdout.blob) == b"late\n"
        assert b"RUNNOTARY_STEP" in rig.blobs.get(outcome.environment)

    drive(rig, scene)
    assert rig.starts(running) == rig.starts(over) == 1


def test_an_end_while_no_engine_lived_keeps_its_own_outcome(rig: ProcessRig) -> None:
    attempt = rig.shell("sleep 0.3; echo alone; exit 4")
    end(engine_process(rig, [attempt]))
    until_record(rig, attempt, attempt_record.EXITED)
    outcome = taken_up(rig, attempt)
    assert (outcome.exit_code, outcome.lost, outcome.stopped) == (4, False, False), outcome


def test_an_interrupted_preparation_is_started_under_the_same_id(rig: ProcessRig) -> None:
    attempt = rig.shell("ls -A . ../tmp; echo ran")
    half = rig.folder(attempt)
    (half / "work").mkdir(parents=True)
    (half / "work" / "half").touch()
    (half / "inputs" / "x").mkdir(parents=True)

    async def scene(driver: Driver) -> None:
        assert not await driver.executor.find(attempt)
        outcome = await driver.run(attempt)
        assert outcome.stdout is not None
        assert rig.blobs.get(outcome.stdout.blob) == b".:\n\n../tmp:\nran\n"

    drive(rig, scene)


# --- the keeper dies -------------------------------------------------------------------------------


def test_a_keeper_killed_beside_a_living_engine(rig: ProcessRig) -> None:
    attempt = rig.shell("echo begun; setsid sleep 1000 & sleep 1000")

    async def scene(driver: Driver) -> None:
        await driver.executor.start(attempt)
        await asyncio.to_thread(until_logged, rig, attempt)
        kill(rig.record(attempt).keeper_pid)
        outcome = await driver.ended(attempt)
        assert (outcome.lost, outcome.reason, outcome.exit_code) == (True, "lost", None)
        assert outcome.failure is not None
        assert "its keeper died" in outcome.failure.message
        assert outcome.stdout is not None
        assert rig.blobs.get(outcome.stdout.blob) == b"begun\n"
        assert rig.strays(attempt) == []
        # The next attempt gets a keeper of its own.
        assert (await driver.run(rig.shell("true"))).exit_code == 0

    drive(rig, scene)


def until_logged(rig: ProcessRig, attempt: Attempt) -> None:
    deadline = time.monotonic() + 30
    while not (rig.folder(attempt) / "stdout").stat().st_size and time.monotonic() < deadline:
        time.sleep(0.01)


def test_engine_and_keeper_killed(rig: ProcessRig) -> None:
    attempt = rig.shell("setsid sleep 1000 & sleep 1000")
    process = engine_process(rig, [attempt])
    record = until_record(rig, attempt, attempt_record.RUNNING)
    end(process)
    kill(record.keeper_pid)
    outcome = taken_up(rig, attempt)
    assert (outcome.lost, outcome.exit_code) == (True, None)
    assert rig.strays(attempt) == []


def test_ended_before_engine_and_keeper_were_killed(rig: ProcessRig) -> None:
    attempt = rig.shell("exit 6")
    process = engine_process(rig, [attempt])
    record = until_record(rig, attempt, attempt_record.EXITED)
    kill(record.keeper_pid)
    end(process)
    outcome = taken_up(rig, attempt)
    assert (outcome.lost, outcome.exit_code) == (False, 6)


def claimed(rig: ProcessRig, attempt: Attempt) -> attempt_record.Record:
    """A record that says an attempt was claimed by this process."""
    itself = containment.look(os.getpid())
    assert itself is not None
    record = attempt_record.Record(attempt.id, containment.boot_id(), itself.pid, itself.start_ticks)
    (rig.folder(attempt) / "work").mkdir(parents=True)
    return record


def test_another_boot_is_lost(rig: ProcessRig) -> None:
    attempt = rig.shell("true")
    record = claimed(rig, attempt)
    record.boot_id = b"another boot of."
    record.state = attempt_record.EXITED
    (rig.folder(attempt) / "record").write_bytes(attempt_record.pack(record))
    outcome = taken_up(rig, attempt)
    assert outcome.lost
    assert outcome.failure is not None
    assert "restarted" in outcome.failure.message


def test_claimed_by_a_dead_keeper_is_lost(rig: ProcessRig) -> None:
    attempt = rig.shell("true")
    record = claimed(rig, attempt)
    record.keeper_ticks += 1
    (rig.folder(attempt) / "record").write_bytes(attempt_record.pack(record))
    assert taken_up(rig, attempt).lost


def test_a_damaged_record_is_lost_and_what_carries_its_mark_is_killed(rig: ProcessRig) -> None:
    attempt = rig.shell("true")
    claimed(rig, attempt)
    (rig.folder(attempt) / "record").write_bytes(b"RNATTEMP")
    stray = subprocess.Popen(["sleep", "1000"], env={"RUNNOTARY_ATTEMPT": attempt.id})
    try:
        outcome = taken_up(rig, attempt)
    finally:
        assert stray.wait(30) == -signal.SIGKILL
    assert outcome.lost


def test_a_keeper_that_is_alive_elsewhere_is_followed_by_its_records(rig: ProcessRig) -> None:
    attempt = rig.shell("while [ ! -e go ]; do sleep 0.02; done; exit 8")
    process = engine_process(rig, [attempt])
    until_record(rig, attempt, attempt_record.RUNNING)
    end(process)
    socket = Path((rig.home / "keeper").read_text().strip())
    socket.unlink()
    socket.with_name(f"{socket.name}.lock").unlink()

    async def scene(driver: Driver) -> None:
        assert await driver.executor.find(attempt)
        assert (await driver.run(rig.shell("true"))).exit_code == 0
        assert driver.ends(attempt) == 0
        (rig.folder(attempt) / "work" / "go").touch()
        assert (await driver.ended(attempt)).exit_code == 8

    drive(rig, scene)


def test_stop_reaches_an_attempt_of_a_keeper_elsewhere(rig: ProcessRig) -> None:
    attempt = rig.shell("trap '' TERM; while true; do sleep 0.1; done")
    process = engine_process(rig, [attempt])
    until_record(rig, attempt, attempt_record.RUNNING)
    end(process)
    socket = Path((rig.home / "keeper").read_text().strip())
    socket.unlink()

    async def scene(driver: Driver) -> None:
        assert await driver.executor.find(attempt)
        await driver.executor.stop(attempt.id, 100)
        assert (await driver.ended(attempt)).signal == signal.SIGKILL

    drive(rig, scene)


def test_a_closing_engine_tells_nothing(rig: ProcessRig) -> None:
    attempts = [rig.shell("sleep 0.2; exit 0") for _ in range(20)]
    seen: list[object] = []

    async def scene(driver: Driver) -> None:
        starts = [asyncio.ensure_future(driver.executor.start(attempt)) for attempt in attempts]
        await asyncio.sleep(0.03)
        await driver.executor.close()  # type: ignore[attr-defined]
        seen.extend(driver.seen)
        await asyncio.gather(*starts)
        await asyncio.sleep(0.5)
        assert driver.seen == seen

    drive(rig, scene)

    async def later(driver: Driver) -> None:
        for attempt in attempts:
            if not await driver.executor.find(attempt):
                await driver.executor.start(attempt)
        for attempt in attempts:
            assert (await driver.ended(attempt)).exit_code == 0

    drive(rig, later)
