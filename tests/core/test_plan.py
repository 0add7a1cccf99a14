"""What follows from what: skips, catches, groups, retries, time-outs, cancels, `finally`, and its cost."""

from __future__ import annotations

from typing import Any

import pytest

from runnotary.core import events as ev
from runnotary.core.attempts import Outcome
from runnotary.core.decide import Cancel, Observed, Update
from runnotary.core.errors import AlreadyEnded, InvalidInput
from runnotary.core.plan import Room, Start, Stop, plan
from tests.builders import BY, SECOND, Play, a_flow


def test_a_diamond_runs_its_sides_together_and_joins() -> None:
    play = Play(a_flow({"a": [], "b": ["a"], "c": ["a"], "d": ["b", "c"]}))
    assert set(play.run.open) == {"a"}
    play.end("a")
    assert set(play.run.open) == {"b", "c"}
    play.end("b")
    assert set(play.run.open) == {"c"}
    play.end("c")
    play.end("d")
    assert play.run.state == "success"


def test_a_one_step_run_is_four_events_in_two_turns() -> None:
    play = Play(a_flow({"only": []}))
    assert [type(event) for event, _ in play.log] == [ev.RunCreated, ev.TaskStarted]
    play.end("only")
    assert [type(event) for event, _ in play.log[2:]] == [ev.TaskEnded, ev.RunFinished]


def test_room_limits_what_starts_and_frees_up() -> None:
    play = Play(a_flow({f"s{i}": [] for i in range(5)}), slots=2)
    assert set(play.run.open) == {"s0", "s1"}
    play.end("s0")
    assert set(play.run.open) == {"s1", "s2"}


def test_a_run_can_set_a_limit_of_its_own() -> None:
    play = Play(a_flow({f"s{i}": [] for i in range(5)}), max_concurrency=1)
    assert set(play.run.open) == {"s0"}


def test_a_failure_skips_what_needs_it_and_nothing_else() -> None:
    play = Play(a_flow({"a": [], "b": ["a"], "c": ["b"], "other": []}))
    play.end("a", exit_code=3)
    assert play.states() == {"a": "failed", "b": "skipped", "c": "skipped", "other": "running"}
    play.end("other")
    finished = play.run.finished
    assert finished is not None
    assert (finished.status, finished.reason) == ("failed", "error")
    assert finished.error == ev.Failure("exit_code", "exit 3", step="a", attempt=1)
    (skip,) = play.events(ev.TaskSettled)
    assert (skip.keys, skip.reason, skip.because) == (("b", "c"), "upstream_failed", "a")


def test_after_is_order_only() -> None:
    play = Play(a_flow({"a": [], "b": {"run": "true", "after": ["a"]}}))
    play.end("a", exit_code=1)
    assert "b" in play.run.open


def test_a_false_condition_skips_and_its_dependants_say_why() -> None:
    play = Play(a_flow({"a": {"run": "true", "if": False}, "b": ["a"]}))
    assert play.states() == {"a": "skipped", "b": "skipped"}
    assert play.run.tasks["a"].reason == "condition"
    assert play.run.tasks["b"].reason == "upstream_skipped"
    assert play.run.finished is not None
    assert (play.run.finished.status, play.run.finished.reason) == ("skipped", "condition")


@pytest.mark.parametrize(
    ("condition", "code", "runs"),
    [
        ("always()", 0, True),
        ("always()", 1, True),
        ("failure()", 0, False),
        ("failure()", 1, True),
        ("success()", 1, False),
    ],
)
def test_status_functions_ask_about_needs(condition: str, code: int, runs: bool) -> None:
    play = Play(a_flow({"a": [], "b": {"run": "true", "needs": ["a"], "if": condition}}))
    play.end("a", exit_code=code)
    assert ("b" in play.run.open) is runs


def test_a_flow_condition_skips_the_whole_run() -> None:
    play = Play(a_flow({"a": []}, **{"if": "inputs.go", "inputs": {"go": "boolean"}}), inputs={"go": False})
    assert play.run.state == "skipped"
    assert not play.run.tasks


def test_on_failure_stop_starts_nothing_new_and_lets_the_rest_end() -> None:
    play = Play(a_flow({"a": [], "b": [], "c": ["b"]}, on_failure="stop"))
    play.end("a", exit_code=1)
    assert play.states() == {"a": "failed", "b": "running", "c": "skipped"}
    assert play.run.tasks["c"].reason == "stopped"
    play.end("b")
    assert play.run.state == "failed"


def test_retries_double_their_pause_and_stop_at_the_limit() -> None:
    play = Play(a_flow({"a": {"run": "false", "retry": {"attempts": 3, "backoff": "2s"}}}))
    play.end("a", exit_code=1)
    assert not play.run.open
    assert play.run.state == "running"
    play.later(1.9)
    assert not play.run.open
    play.later(0.1)
    assert play.run.open == {"a": 2}
    play.end("a", exit_code=1)
    play.later(3.9)
    assert not play.run.open
    play.later(0.1)
    play.end("a", exit_code=1)
    assert play.run.state == "failed"
    assert [ended.verdict for ended in play.events(ev.TaskEnded)] == ["retry", "retry", "failed"]


def test_a_reason_outside_retry_on_is_final() -> None:
    play = Play(a_flow({"a": {"run": "false", "retry": {"attempts": 3, "on": ["timeout"]}}}))
    play.end("a", exit_code=1)
    assert play.run.state == "failed"


def test_a_timeout_stops_the_attempt_and_is_its_reason() -> None:
    play = Play(a_flow({"a": {"run": "sleep 9", "timeout": "5s"}}))
    play.later(5)
    (stopping,) = play.events(ev.TaskStopping)
    assert stopping.why == "timeout"
    assert [action for turn in play.turns for action in turn.actions][-1] == Stop("a", 10_000)
    play.end("a", exit_code=None, signal=15, stopped=True)
    assert play.run.finished is not None
    assert play.run.finished.reason == "timeout"


def test_an_end_before_the_stop_keeps_its_own_outcome() -> None:
    play = Play(a_flow({"a": {"run": "sleep 9", "timeout": "5s"}}))
    play.later(5)
    play.end("a", exit_code=0, stopped=False)
    assert play.run.state == "success"


def test_a_catch_turns_a_failure_into_values() -> None:
    steps = {
        "a": {"run": "x", "values": {"n": "integer"}, "catch": {"values": {"n": 7}}},
        "b": {"set": {"m": "steps.a.values.n + 1"}},
    }
    play = Play(a_flow(steps))
    play.end("a", exit_code=1)
    assert play.run.tasks["a"].reason == "caught"
    assert play.run.tasks["b"].values == {"m": 8}
    assert play.run.state == "success"
    assert [ended.verdict for ended in play.events(ev.TaskEnded)] == ["failed"]


def test_a_for_each_expands_in_order_with_its_own_limit() -> None:
    step = {"run": "x", "for_each": "[10, 20, 30]", "max_concurrency": 2, "with": {"v": "${{ each.value }}"}}
    play = Play(a_flow({"g": step, "z": {"set": {"n": "size(steps.g.values.k)"}}}))
    assert set(play.run.open) == {"g[0]", "g[1]"}
    play.end("g[1]", values={"k": 1})
    assert set(play.run.open) == {"g[0]", "g[2]"}
    started = play.events(ev.TaskStarted)
    assert [event.variables for event in started] == [{"v": 10}, {"v": 20}, {"v": 30}]
    play.end("g[0]", values={"k": 0})
    play.end("g[2]", values={"k": 2})
    assert play.run.tasks["z"].values == {"n": 3}
    assert play.run.state == "success"


def test_an_empty_for_each_succeeds() -> None:
    play = Play(a_flow({"g": {"run": "x", "for_each": "[]"}, "after_g": ["g"]}))
    assert play.states()["g"] == "success"
    assert "after_g" in play.run.open


def test_a_failed_task_of_a_for_each_fails_the_step_after_the_others() -> None:
    play = Play(a_flow({"g": {"run": "x", "for_each": "[1, 2]"}}))
    play.end("g[0]", exit_code=1)
    assert play.states()["g"] == "running"
    play.end("g[1]")
    assert play.run.finished is not None
    assert play.run.finished.error is not None
    assert play.run.finished.error == ev.Failure("exit_code", "exit 1", step="g", attempt=1)
    assert play.run.tasks["g"].error is not None
    assert play.run.tasks["g"].error.message == "1 of 2 failed: g[0]"


def test_for_each_over_no_list_fails_with_the_reason() -> None:
    play = Play(a_flow({"g": {"run": "x", "for_each": "inputs.n"}}, inputs={"n": "any"}), inputs={"n": 3})
    assert play.run.state == "failed"
    assert play.run.tasks["g"].error is not None
    assert "list" in play.run.tasks["g"].error.message


def test_a_wait_holds_no_slot_and_ends_by_time() -> None:
    play = Play(a_flow({"w": {"wait": "3s"}, "b": ["w"]}), slots=1)
    assert play.run.state == "running"
    play.later(3)
    assert "b" in play.run.open


def test_finally_runs_after_a_failure_and_sees_the_status() -> None:
    play = Play(a_flow({"a": []}, **{"finally": {"tell": {"run": "x"}}}))
    assert "tell" not in play.run.open
    play.end("a", exit_code=1)
    assert play.events(ev.TaskStarted)[-1].environment == {"RUNNOTARY_STATUS": "failed"}
    play.end("tell")
    assert play.run.state == "failed"


def test_a_failing_finally_fails_a_run_that_had_succeeded() -> None:
    play = Play(a_flow({"a": []}, **{"finally": {"tell": {"run": "x"}}}))
    play.end("a")
    play.end("tell", exit_code=2)
    assert play.run.finished is not None
    assert play.run.finished.error is not None
    assert (play.run.finished.status, play.run.finished.error.step) == ("failed", "tell")


def test_a_cancel_stops_what_runs_settles_the_rest_and_still_runs_finally() -> None:
    steps = {
        "a": [],
        "w": {"wait": "1h"},
        "b": ["a"],
        "g": {"run": "x", "for_each": "[1,2,3]", "max_concurrency": 1},
    }
    play = Play(a_flow(steps, **{"finally": {"tell": {"run": "x"}}}))
    play.tell(Cancel(BY, "enough", grace_ms=500))
    assert {stop.key for stop in play.events(ev.TaskStopping)} == {"a", "g[0]"}
    states = play.states()
    assert (states["b"], states["w"], states["g[1]"], states["g[2]"]) == ("cancelled",) * 4
    assert play.run.state == "running"
    for key in ("a", "g[0]"):
        play.end(key, exit_code=None, signal=15, stopped=True)
    assert set(play.run.open) == {"tell"}
    play.end("tell")
    assert play.run.finished is not None
    assert (play.run.finished.status, play.run.finished.reason) == ("cancelled", "cancelled")
    assert play.run.finished.error is not None
    assert play.run.finished.error.message == "enough"


def test_a_forced_cancel_stops_finally_too() -> None:
    play = Play(a_flow({"a": []}, **{"finally": {"tell": {"run": "x"}}}))
    play.end("a")
    play.tell(Cancel(BY))
    assert "tell" in play.run.open
    play.tell(Cancel(BY, force=True))
    play.end("tell", exit_code=None, signal=15, stopped=True)
    assert play.run.state == "cancelled"


def test_cancelling_again_changes_nothing_and_another_end_refuses() -> None:
    play = Play(a_flow({"a": []}))
    play.tell(Cancel(BY))
    before = len(play.log)
    play.tell(Cancel(BY))
    assert len(play.log) == before
    play.end("a", exit_code=None, signal=15, stopped=True)
    play.tell(Cancel(BY))
    done = Play(a_flow({"a": []}))
    done.end("a")
    with pytest.raises(AlreadyEnded):
        done.tell(Cancel(BY))


def test_what_arrives_late_adds_nothing() -> None:
    play = Play(a_flow({"a": []}))
    play.end("a")
    before = list(play.log)
    play.tell(Observed("a", 1, Outcome(attempt="a", exit_code=9)))
    assert play.log == before


def test_outputs_of_a_skipped_step_are_null() -> None:
    steps: dict[str, Any] = {"a": {"run": "x", "if": "false", "values": {"n": "integer"}}, "b": []}
    play = Play(a_flow(steps, outputs={"n": "${{ steps.a.values.n }}"}))
    play.end("b")
    assert play.run.finished is not None
    assert play.run.finished.outputs == {"n": None}


def test_a_lost_attempt_is_final_unless_a_person_goes_on() -> None:
    play = Play(a_flow({"a": []}))
    play.end("a", lost=True)
    assert play.run.finished is not None
    assert play.run.finished.reason == "lost"
    again = Play(a_flow({"a": []}))
    again.tell(Observed("a", 1, Outcome(attempt="a", lost=True), renew=True))
    assert again.run.open == {"a": 2}


def test_a_large_value_becomes_a_blob_and_is_asked_for() -> None:
    play = Play(a_flow({"a": {"set": {"big": "inputs.big"}}, "b": {"set": {"n": "size(steps.a.values.big)"}}},
                       inputs={"big": "array"}), inputs={"big": list(range(9000))})  # fmt: skip
    (settled,) = play.events(ev.TaskSettled)
    assert settled.values == {}
    assert settled.values_large is not None
    assert play.turns[-1].loads == {settled.values_large.blob}
    play.run.known[settled.values_large.blob] = {"big": list(range(9000))}
    play.go()
    assert play.run.tasks["b"].values == {"n": 9000}


@pytest.mark.parametrize("size", [10, 1000])
def test_keys_are_visited_once_however_large_the_flow(size: int) -> None:
    play = Play(a_flow({f"s{i}": [f"s{i - 1}"] if i else [] for i in range(size)}))
    for i in range(size):
        play.end(f"s{i}")
    assert play.run.state == "success"
    assert sum(turn.visited for turn in play.turns) == size


def test_ten_thousand_skips_are_ten_events_and_no_recursion() -> None:
    play = Play(a_flow({f"s{i}": [f"s{i - 1}"] if i else [] for i in range(10_000)}))
    play.end("s0", exit_code=1)
    assert play.run.state == "failed"
    assert len(play.events(ev.TaskSettled)) == 10


def test_planning_again_gives_nothing() -> None:
    play = Play(a_flow({"a": [], "b": ["a"]}))
    turn = plan(play.run, room=Room(10), now=play.now + SECOND)
    assert not turn.events
    assert not turn.actions


def test_a_start_is_an_action_of_the_turn_that_recorded_it() -> None:
    play = Play(a_flow({"a": []}))
    assert play.turns[0].actions == [Start("a")]


def test_words_about_a_run_change_with_old_and_new_in_the_record() -> None:
    play = Play(a_flow({"a": []}), label="monday", tags=("x",))
    play.tell(Update(BY, {"label": "tuesday", "tags": ["x"], "managers": ["user:ana"]}))
    (updated,) = play.events(ev.RunUpdated)
    assert updated.was == {"label": "monday", "managers": ()}
    assert updated.set == {"label": "tuesday", "managers": ["user:ana"]}
    assert (play.run.label, play.run.tags, play.run.managers) == ("tuesday", ("x",), ("user:ana",))


def test_a_change_that_changes_nothing_is_no_event_and_other_words_are_refused() -> None:
    play = Play(a_flow({"a": []}), label="monday")
    play.tell(Update(BY, {"label": "monday"}))
    assert not play.events(ev.RunUpdated)
    with pytest.raises(InvalidInput, match="status cannot be changed"):
        play.tell(Update(BY, {"status": "success"}))
