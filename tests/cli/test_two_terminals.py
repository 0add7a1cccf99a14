"""Two processes on one home: whoever holds the engine works, everyone can look, start, watch and cancel."""

from __future__ import annotations

import signal

import pytest

from tests.cli.terminal import Desk, until

# Steps wait for files that the test writes, and leave a line outside so that a repetition would show.
SLOW = """
flow: slow
steps:
  one: {run: 'echo one >> $TOP/did; while [ ! -e $TOP/go1 ]; do sleep 0.05; done; echo said'}
  two: {run: 'echo two >> $TOP/did; while [ ! -e $TOP/go2 ]; do sleep 0.05; done', needs: [one]}
  three: {run: 'echo three >> $TOP/did', needs: [two]}
finally: {bye: {run: 'echo bye >> $TOP/did'}}
"""


@pytest.fixture
def slow(desk: Desk) -> Desk:
    desk.write("slow.yaml", SLOW.replace("$TOP", str(desk.path)))
    return desk


def test_another_process_looks_and_cancels(slow: Desk) -> None:
    first = slow.begin("start", "slow.yaml")
    slow.wait_for("did", "one")
    assert slow.json("run", "list")["runs"][0]["status"] == "running"
    assert slow.ok("run", "show", "@latest").out.startswith("slow  running for ")
    done = slow.ok("run", "cancel", "@latest", "--reason", "enough", "--grace", "1s")
    assert done.out.startswith("cancelled   run ")
    ended = slow.end(first)
    assert ended.code == 8
    assert ended.out.startswith("cancelled")
    assert slow.lines("did") == ["one", "bye"]
    assert slow.ok("run", "cancel", "@latest").code == 0


def test_another_process_starts_and_watches(slow: Desk) -> None:
    slow.write("quick.yaml", "flow: quick\nsteps: {a: {run: echo quick}}\n")
    first = slow.begin("start", "slow.yaml")
    slow.wait_for("did", "one")
    assert slow.ok("start", "quick.yaml").out.startswith("success")
    watching = slow.begin("run", "watch", "@latest:slow")
    assert watching.stderr is not None
    assert "run accepted" in watching.stderr.readline()
    assert "0 of 4 steps over; running: one" in watching.stderr.readline()
    slow.write("go1", "")
    slow.write("go2", "")
    seen = slow.end(watching)
    assert seen.code == 0
    assert "three success" in seen.err
    assert slow.end(first).code == 0


def test_another_process_signs_proves_and_changes_keys(slow: Desk) -> None:
    first = slow.begin("start", "slow.yaml")
    slow.wait_for("did", "one")
    made = slow.ok("log", "checkpoint", "--new", "--format", "json").json
    proof = slow.ok("log", "proof", "@latest", "--format", "json").json
    assert proof["entry"] <= proof["checkpoint"]["size"] >= made["size"]
    before = slow.ok("key", "show").out
    slow.write("old.pub", before)
    assert slow.json("key", "rotate", "--reason", "in between")["key"] != before.strip()
    slow.ok("verify", "@latest")
    slow.write("go1", "")
    slow.write("go2", "")
    assert slow.end(first).code == 0
    assert "known to you" in slow.ok("verify", "--key", "old.pub").out


def test_whoever_watches_takes_over_when_the_engine_dies(slow: Desk) -> None:
    first = slow.begin("start", "slow.yaml")
    slow.wait_for("did", "one")
    watchers = [slow.begin("run", "watch", "@latest") for _ in range(2)]
    for watcher in watchers:
        assert watcher.stderr is not None
        assert "running: one" in watcher.stderr.readline() + watcher.stderr.readline()
    first.send_signal(signal.SIGKILL)
    first.wait()
    slow.write("go1", "")
    slow.write("go2", "")
    for watcher in watchers:
        assert slow.end(watcher).code == 0
    assert slow.lines("did") == ["one", "two", "three", "bye"]


def test_killed_in_the_middle_then_resumed_without_repeating_anything(slow: Desk) -> None:
    first = slow.begin("start", "slow.yaml")
    slow.write("go1", "")
    slow.wait_for("did", "two")
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert slow.json("run", "list", "--status", "interrupted")["runs"][0]["status"] == "interrupted"
    shown = slow.ok("run", "show", "@latest").out
    assert shown.startswith("slow  interrupted for ")
    assert "next: runnotary run watch " in shown
    slow.write("go2", "")
    done = slow.ok("run", "resume", "@latest")
    assert done.out.startswith("success")
    assert slow.lines("did") == ["one", "two", "three", "bye"]
    assert slow.ok("run", "logs", "@latest", "one").out == "said\n"
    assert slow.ok("verify", "@latest", "--deep").out.endswith("verify: ok\n")
    refused = slow.run("run", "resume", "@latest")
    assert refused.code == 5
    assert "runnotary run rerun " in refused.err


def test_an_interrupted_run_can_be_cancelled_without_an_engine(slow: Desk) -> None:
    first = slow.begin("start", "slow.yaml")
    slow.wait_for("did", "one")
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert slow.ok("run", "cancel", "@latest").out.startswith("cancelled")
    assert slow.lines("did") == ["one", "bye"]


def test_a_run_that_ended_otherwise_cannot_be_cancelled(desk: Desk) -> None:
    desk.write("f.yaml", "flow: f\nsteps: {a: {run: 'true'}}\n")
    desk.ok("start", "f.yaml")
    refused = desk.run("run", "cancel", "@latest")
    assert (refused.code, refused.out) == (5, "")
    assert "already ended" in refused.err


def test_the_first_ctrl_c_leaves_the_run_to_be_continued(slow: Desk) -> None:
    first = slow.begin("start", "slow.yaml")
    slow.wait_for("did", "one")
    first.send_signal(signal.SIGINT)
    left = slow.end(first)
    assert left.code == 130
    assert left.out == ""
    assert "run goes on under the keeper; continue: runnotary run watch " in left.err
    assert slow.json("run", "show", "@latest")["status"] == "interrupted"
    slow.write("go1", "")
    slow.write("go2", "")
    assert slow.ok("run", "watch", "@latest").out.startswith("success")
    assert slow.lines("did") == ["one", "two", "three", "bye"]


def test_sigterm_leaves_it_too(slow: Desk) -> None:
    first = slow.begin("start", "slow.yaml", "-o", "json")
    slow.wait_for("did", "one")
    first.send_signal(signal.SIGTERM)
    assert slow.end(first).code == 130
    assert slow.ok("run", "cancel", "@latest").code == 0


def test_a_second_ctrl_c_cancels(slow: Desk) -> None:
    first = slow.begin("start", "slow.yaml")
    slow.wait_for("did", "one")
    first.send_signal(signal.SIGINT)
    assert first.stderr is not None
    until(lambda: "run goes on" in (first.stderr.readline() if first.stderr else ""), "the line to go on")
    first.send_signal(signal.SIGINT)
    ended = slow.end(first)
    assert ended.code == 8
    assert ended.out.startswith("cancelled")
    assert slow.lines("did") == ["one", "bye"]
