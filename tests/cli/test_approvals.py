"""People answer from another terminal, with an engine and without one, in a home and on a server."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.served import Served
from tests.cli.terminal import Desk, Screen, until

FLOW = """
flow: report
steps:
  make: {run: 'echo total > report.txt', files: [report.txt]}
  publish:
    approve: {prompt: "Publish the report?", show: ["steps.make.files['report.txt']"]}
  send: {run: 'echo sent >> $TOP/sent', needs: [publish]}
"""
SHOWN = """
flow: shown
steps:
  make: {run: 'echo $n > part.txt', with: {n: "${{ each.value }}"}, files: [part.txt], for_each: "[1, 2, 3]"}
  gate:
    needs: [make]
    approve:
      prompt: Publish?
      show:
        parts: "${{ steps.make.files['part.txt'] }}"
        none: []
        terms: "$TERMS and everything you own"
        more: "$MORE"
"""
EACH = "flow: each\nsteps: {ask: {approve: '${{ each.value }}?', for_each: \"['x', 'y']\"}}\n"


@pytest.fixture
def asking(desk: Desk) -> Desk:
    desk.write("flow.yaml", FLOW.replace("$TOP", str(desk.path)))
    desk.write("each.yaml", EACH)
    return desk


def asks(desk: Desk, count: int = 1) -> None:
    """Wait until so many things are asked."""
    until(lambda: desk.run("approval", "list", "-o", "name").out.count("\n") == count, "a request")


def test_another_terminal_approves_and_the_first_goes_on(asking: Desk) -> None:
    first = asking.begin("start", "flow.yaml")
    asks(asking)
    assert "ask: Publish the report?" in asking.ok("flow", "show", "flow.yaml").out
    listed = asking.ok("approval", "list").out.splitlines()
    assert listed[0].split() == ["RUN", "STEP", "STATUS", "ASKED", "UNTIL", "MINE", "PROMPT"]
    assert listed[1].endswith("yes   Publish the report?")
    shown = asking.ok("approval", "show", "@latest").out
    assert "steps.make.files['report.txt']  report.txt  6 B" in shown
    assert "run approve" in shown
    assert "next: runnotary run approve " in asking.ok("run", "show", "@latest").out
    done = asking.ok("run", "approve", "@latest", "--reason", "looks fine")
    assert done.out.startswith("publish approved by user:")
    assert done.out.endswith(": looks fine\n")
    ended = asking.end(first)
    assert ended.code == 0
    assert "publish waiting for approval: Publish the report?" in ended.err
    assert "publish approved by user:" in ended.err
    assert asking.lines("sent") == ["sent"]
    assert "verify: ok" in asking.ok("verify", "--deep").out


def test_one_of_more_than_a_page_holds_is_answered_by_its_name(asking: Desk) -> None:
    many = EACH.replace("\"['x', 'y']\"", str(list(range(1010))))
    asking.write("many.yaml", many)
    first = asking.begin("start", "many.yaml")
    until(lambda: "waiting" in asking.run("run", "show", "@latest").out, "a request")
    done = asking.ok("run", "approve", "@latest", "ask[999]")
    assert done.out.startswith("ask[999] approved by user:")
    assert "ask[1009]  waiting" in asking.ok("approval", "show", "@latest", "ask[1009]").out
    asking.ok("run", "cancel", "@latest")
    assert asking.end(first).code == 8


def test_a_reason_that_is_no_text_is_refused_and_the_run_waits_on(asking: Desk) -> None:
    first = asking.begin("start", "flow.yaml")
    asks(asking)
    for engine in ("another terminal's", "our own"):
        refused = asking.run("run", "approve", "@latest", "--reason", "no \udcff text")
        assert (refused.code, "no text in UTF-8" in refused.err) == (2, True), engine
        if first.poll() is None:
            first.send_signal(signal.SIGKILL)
            first.wait()
    assert "publish  waiting" in asking.ok("approval", "show", "@latest").out


def test_everything_that_is_asked_about_is_shown_before_the_answer(asking: Desk) -> None:
    asking.write("shown.yaml", SHOWN.replace("$TERMS", "x" * 300).replace("$MORE", "y" * 3000))
    first = asking.begin("start", "shown.yaml")
    asks(asking)
    shown = asking.ok("approval", "show", "@latest").out
    assert shown.count("part.txt  2 B  sha256:") == 3
    assert "none  []\n" in shown
    assert "x" * 300 + " and everything you own\n" in shown
    assert "y" * 1999 + "…\nthat is not all of it: -o json\n" in shown
    asking.ok("run", "approve", "@latest")
    assert asking.end(first).code == 0


def test_a_refusal_fails_the_run_and_says_why(asking: Desk) -> None:
    first = asking.begin("start", "flow.yaml", "--wait")
    asks(asking)
    asking.ok("run", "reject", "@latest", "publish", "--reason", "wrong region")
    ended = asking.end(first)
    assert ended.code == 1
    assert "wrong region" in ended.out
    assert asking.lines("sent") == []
    late = asking.run("run", "approve", "@latest")
    assert late.code == 5
    assert "publish was rejected by user:" in late.err


def test_without_an_engine_it_is_recorded_and_the_way_on_is_said(asking: Desk) -> None:
    first = asking.begin("start", "flow.yaml")
    asks(asking)
    first.send_signal(signal.SIGKILL)
    first.wait()
    done = asking.ok("run", "approve", "@latest")
    assert "recorded; nothing works here now: runnotary run watch" in done.out
    assert asking.lines("sent") == []
    assert asking.run("run", "reject", "@latest", "publish").code == 5
    assert asking.ok("run", "watch", "@latest").code == 0
    assert asking.lines("sent") == ["sent"]


def test_one_of_several_must_be_named(asking: Desk) -> None:
    first = asking.begin("start", "each.yaml")
    asks(asking, 2)
    several = asking.run("run", "approve", "@latest")
    assert several.code == 2
    assert "ask[0], ask[1]" in several.err
    assert asking.run("run", "approve", "@latest", "nothing").code == 3
    assert asking.json("run", "approve", "@latest", "ask[1]")["status"] == "approved"
    assert asking.ok("run", "approve", "@latest").out.startswith("ask[0] approved")
    assert asking.end(first).code == 0
    page = asking.json("approval", "list", "@latest")
    assert [(one["task"], one["status"]) for one in page["approvals"]] == [
        ("ask[0]", "approved"),
        ("ask[1]", "approved"),
    ]
    assert asking.ok("approval", "list").out == "nothing waits for anybody\n"


def test_only_what_was_seen_is_approved(asking: Desk) -> None:
    first = asking.begin("start", "flow.yaml")
    asks(asking)
    other = asking.run("run", "approve", "@latest", "--shown", "sha256:" + "0" * 64)
    assert other.code == 5
    seen = asking.json("approval", "show", "@latest")["shown_digest"]
    asking.ok("run", "approve", "@latest", "--shown", seen)
    assert asking.end(first).code == 0


def test_a_home_may_forbid_to_approve_ones_own(asking: Desk) -> None:
    asking.write("runnotary.toml", 'self_approval = "refused"\n')
    first = asking.begin("start", "flow.yaml")
    asks(asking)
    refused = asking.run("run", "approve", "@latest")
    assert refused.code == 4
    assert "may not answer its request" in refused.err
    assert asking.json("approval", "list", "--mine")["approvals"] == []
    asking.ok("run", "cancel", "@latest")
    assert asking.end(first).code == 8


def test_on_a_terminal_the_question_stands_in_the_tree(asking: Desk) -> None:
    screen = Screen(asking, "start", "flow.yaml", columns=100)
    screen.read_until("Publish the report?")
    asking.ok("run", "approve", "@latest")
    assert screen.end() == 0


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    place = tmp_path / "served"
    place.mkdir()
    desk = Served(place)
    desk.write("flow.yaml", FLOW.replace("$TOP", str(desk.path)))
    yield desk
    desk.close()


def test_the_same_commands_ask_a_server(served: Served) -> None:
    run = served.ok("start", "flow.yaml", "-q").out.strip()
    asks(served)
    assert "Publish the report?" in served.ok("approval", "list").out
    assert "1 run" not in served.ok("approval", "show", run).out
    served.restart()
    assert served.ok("run", "approve", run, "--reason", "fine").out.endswith(": fine\n")
    assert served.run("run", "reject", run).code == 5
    assert served.ok("run", "wait", run).code == 0
    assert served.json("approval", "show", run)["status"] == "approved"
    assert served.lines("sent") == ["sent"]
