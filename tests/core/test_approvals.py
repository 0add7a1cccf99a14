"""Requests to people: nothing starts before what it needs is approved, whatever is answered and when."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runnotary.core import definition
from runnotary.core import events as ev
from runnotary.core.approvals import Answer, digest_of, entitled, not_their_own
from runnotary.core.attempts import Outcome
from runnotary.core.chain import Recorded
from runnotary.core.decide import Cancel, Observed
from runnotary.core.documents import rows, run_row, task_documents
from runnotary.core.errors import (
    AlreadyDecided,
    AlreadyEnded,
    InvalidDefinition,
    NotWaiting,
    OwnRequest,
    PermissionDenied,
    ReasonRequired,
    RunNotFound,
    ShownOtherwise,
)
from runnotary.core.evidence import blobs_in
from runnotary.core.flow import Flow
from runnotary.core.fold import fold
from runnotary.core.permissions import Action, Caller, People, Role, Scopes, local_owner
from runnotary.core.run import Run
from tests.builders import BY, SECOND, Play, a_flow

DAY = 86_400
FILE = ev.File("sha256:" + "a" * 64, 3, "r.html")
ANA, BOB, CYD = (ev.By(f"user:{name}", "token", role="approver@default") for name in ("ana", "bob", "cyd"))


def gated(*, finally_: Any = None, on_failure: str = "continue", **approve: Any) -> Play:
    """Return a run whose step `b` waits for the request `gate`, which waits for `a`; `a` is over."""
    top: dict[str, Any] = {"on_failure": on_failure}
    if finally_:
        top["finally"] = finally_
    flow = a_flow(
        {
            "a": {"run": "x", "files": ["r.html"]},
            "gate": {
                "approve": {
                    "prompt": "Publish ${{ inputs.n }}?",
                    "show": ["steps.a.files['r.html']"],
                    **approve,
                }
            },
            "b": ["gate"],
        },
        inputs={"n": "integer"},
        **top,
    )
    play = Play(flow, inputs={"n": 3})
    play.end("a", files={"r.html": FILE})
    return play


def yes(by: ev.By = ANA, reason: str = "", seen: str = "", key: str = "gate") -> Answer:
    return Answer(key, by, True, reason, seen)


def no(by: ev.By = ANA, reason: str = "", key: str = "gate") -> Answer:
    return Answer(key, by, False, reason)


def replayed(play: Play) -> Run:
    """Fold the log of a play from nothing."""
    run = Run(bytes(16), play.run.flow)
    for event, at in play.log:
        fold(run, event, at)
    return run


# --- what is asked -----------------------------------------------------------------------------------


def test_a_request_holds_what_it_shows_and_its_digest() -> None:
    play = gated(
        timeout="1d", by=["role:qa", "user:ana"], approvals=2, reason="required", self_approval=False
    )
    (asked,) = play.events(ev.TaskWaiting)
    shown = {"steps.a.files['r.html']": {"$file": FILE.blob, "name": "r.html", "size": 3}}
    assert asked.waits_for == "approval"
    assert asked.due == play.now + DAY * SECOND
    assert asked.request == {
        "id": asked.request["id"],
        "prompt": "Publish 3?",
        "shown": shown,
        "digest": digest_of("Publish 3?", shown),
        "who": ["role:qa", "user:ana"],
        "approvals": 2,
        "reason": "required",
        "self_approval": False,
    }
    assert [named.digest for named in blobs_in(asked)] == [FILE.blob]


def test_a_run_in_memory_holds_what_decides_and_not_what_is_shown() -> None:
    play = gated(approvals=2, reason="required")
    (asked,) = play.events(ev.TaskWaiting)
    held = {name: asked.request[name] for name in ("id", "digest", "approvals", "reason")}
    assert play.run.tasks["gate"].request == held


def test_a_run_that_only_waits_for_people_waits_and_holds_no_slot() -> None:
    play = gated()
    assert play.run.state == "waiting"
    assert not play.run.open
    assert not play.run.queued
    assert run_row(play.run).status == "waiting"


def test_a_run_in_which_something_else_runs_is_running() -> None:
    play = Play(a_flow({"gate": {"approve": "Go?"}, "other": [], "later": {"wait": "1h"}}))
    assert play.states() == {"gate": "waiting", "other": "running", "later": "running"}
    assert play.run.state == "running"
    play.end("other")
    assert play.run.state == "running"
    play.later(3600)
    assert play.run.state == "waiting"


def test_what_is_too_large_for_an_event_is_a_blob_and_the_digest_is_of_all_of_it() -> None:
    flow = a_flow(
        {"gate": {"approve": {"prompt": "?", "show": {"list": "${{ inputs.list }}"}}}},
        inputs={"list": "array"},
    )
    play = Play(flow, inputs={"list": list(range(9000))})
    (asked,) = play.events(ev.TaskWaiting)
    assert asked.request["shown"] == {}
    assert asked.shown_large is not None
    assert asked.request["digest"] == digest_of("?", {"list": list(range(9000))})
    assert len(play.turns[0].blobs) == 1


def test_a_prompt_that_grew_too_long_fails_the_step_and_nothing_is_asked() -> None:
    flow = a_flow({"gate": {"approve": "${{ inputs.text }}"}, "b": ["gate"]}, inputs={"text": "string"})
    play = Play(flow, inputs={"text": "x" * 2001})
    assert play.states() == {"gate": "failed", "b": "skipped"}
    assert not play.events(ev.TaskWaiting)


# --- answers -----------------------------------------------------------------------------------------


def test_approved_it_goes_on() -> None:
    play = gated()
    play.tell(yes(ANA, "looks good"))
    assert play.states() == {"a": "success", "gate": "success", "b": "running"}
    (said,) = play.events(ev.TaskSignalled)
    (asked,) = play.events(ev.TaskWaiting)
    assert said.by == ANA
    assert said.payload == {"decision": "approved", "shown": asked.request["digest"], "reason": "looks good"}
    assert set(rows(replayed(play))) == set(rows(play.run))


def test_refused_it_fails_and_says_who_and_why() -> None:
    play = gated()
    play.tell(no(BOB, "wrong region"))
    assert play.states() == {"a": "success", "gate": "failed", "b": "skipped"}
    assert play.run.finished is not None
    assert (play.run.finished.status, play.run.finished.reason) == ("failed", "denied")
    assert play.run.finished.error == ev.Failure("denied", "rejected by user:bob: wrong region", step="gate")


def test_out_of_time_it_fails_closed() -> None:
    play = gated(timeout="1d")
    play.later(DAY - 1)
    assert play.run.state == "waiting"
    play.later(1)
    assert play.states() == {"a": "success", "gate": "failed", "b": "skipped"}
    assert play.run.finished is not None
    assert (play.run.finished.status, play.run.finished.reason) == ("failed", "timeout")
    assert play.run.finished.error is not None
    assert play.run.finished.error.message == "no answer within 86400 s"


def test_an_answer_after_the_time_counts_for_nothing_even_before_the_engine_looked() -> None:
    play = gated(timeout="1d")
    play.now += DAY * SECOND
    with pytest.raises(NotWaiting, match="the time to answer gate"):
        play.tell(yes())
    play.go()
    assert play.states()["gate"] == "failed"


def test_without_a_timeout_it_waits_as_long_as_it_takes() -> None:
    play = gated()
    play.later(400 * DAY)
    assert play.run.state == "waiting"
    play.tell(yes())
    assert play.states()["b"] == "running"


@pytest.mark.parametrize("first", [yes, no])
@pytest.mark.parametrize("second", [yes, no])
@pytest.mark.parametrize("by", [ANA, BOB])
def test_the_first_answer_wins_and_the_second_is_told_whose_it_was(
    first: Callable[..., Answer], second: Callable[..., Answer], by: ev.By
) -> None:
    play = gated()
    play.tell(first(ANA))
    before = play.states(), play.run.seq
    with pytest.raises(AlreadyDecided, match="by user:ana at "):
        play.tell(second(by))
    assert (play.states(), play.run.seq) == before


def test_four_eyes_are_two_people() -> None:
    play = gated(approvals=2)
    play.tell(yes(ANA))
    assert play.run.state == "waiting"
    with pytest.raises(AlreadyDecided, match="user:ana has approved gate already; 1 more must"):
        play.tell(yes(ANA))
    play.tell(yes(BOB))
    assert play.states()["b"] == "running"
    assert [said.by for said in play.events(ev.TaskSignalled)] == [ANA, BOB]


def test_of_several_one_refusal_decides() -> None:
    play = gated(approvals=3)
    play.tell(yes(ANA))
    play.tell(no(BOB))
    assert play.states()["gate"] == "failed"
    with pytest.raises(AlreadyDecided, match="rejected by user:bob"):
        play.tell(yes(CYD))


def test_too_few_in_time_is_too_few() -> None:
    play = gated(approvals=2, timeout="60s")
    play.tell(yes(ANA))
    play.later(60)
    assert play.run.finished is not None
    assert play.run.finished.error is not None
    assert play.run.finished.error.message == "1 of 2 approvals within 60 s"


def test_a_reason_may_be_asked_for() -> None:
    play = gated(reason="required")
    for answer in (yes(), no(), yes(reason="  ")):
        with pytest.raises(ReasonRequired):
            play.tell(answer)
    play.tell(yes(reason="checked the totals"))
    assert play.states()["gate"] == "success"


def test_an_answer_about_something_else_is_refused() -> None:
    play = gated()
    (asked,) = play.events(ev.TaskWaiting)
    with pytest.raises(ShownOtherwise):
        play.tell(yes(seen="sha256:" + "0" * 64))
    play.tell(yes(seen=asked.request["digest"]))
    assert play.states()["gate"] == "success"


def test_what_has_not_asked_yet_cannot_be_answered() -> None:
    play = Play(a_flow({"a": [], "gate": {"approve": "?", "needs": ["a"]}}))
    for key in ("gate", "a", "nothing"):
        with pytest.raises(NotWaiting):
            play.tell(yes(key=key))


# --- with everything else ----------------------------------------------------------------------------


def test_a_cancel_ends_the_waiting() -> None:
    play = gated()
    play.tell(Cancel(BY))
    assert play.states() == {"a": "success", "gate": "cancelled", "b": "cancelled"}
    assert play.run.state == "cancelled"
    with pytest.raises(AlreadyEnded):
        play.tell(yes())


def test_an_answer_in_the_instant_of_a_cancel_counts_for_nothing() -> None:
    play = gated(finally_={"tell": {"approve": "Tell them?"}})
    play.decide(Cancel(BY))
    with pytest.raises(NotWaiting, match="is being ended, and gate with it"):
        play.decide(yes())
    play.go()
    assert play.states() == {"a": "success", "gate": "cancelled", "b": "cancelled", "tell": "waiting"}
    play.tell(yes(key="tell"))
    assert play.states()["tell"] == "success"


def test_an_answer_in_the_instant_of_a_forced_cancel_counts_for_nothing_after_all_steps_either() -> None:
    play = gated(finally_={"tell": {"approve": "Tell them?"}})
    play.tell(Cancel(BY))
    play.decide(Cancel(BY, force=True))
    with pytest.raises(NotWaiting):
        play.decide(yes(key="tell"))


def test_an_answer_in_the_instant_of_a_failure_under_stop_counts_for_nothing() -> None:
    play = Play(a_flow({"bad": [], "gate": {"approve": "?"}, "b": ["gate"]}, on_failure="stop"))
    play.decide(Observed("bad", 1, Outcome(attempt="a", exit_code=1)))
    with pytest.raises(NotWaiting):
        play.decide(yes())
    play.go()
    assert play.states() == {"bad": "failed", "gate": "cancelled", "b": "skipped"}


def test_under_stop_a_failure_ends_the_waiting() -> None:
    flow = a_flow({"bad": [], "gate": {"approve": "?"}, "b": ["gate"]}, on_failure="stop")
    play = Play(flow)
    play.end("bad", 1)
    assert play.states() == {"bad": "failed", "gate": "cancelled", "b": "skipped"}
    assert play.run.tasks["gate"].reason == "stopped"
    assert play.run.finished is not None
    assert play.run.finished.error is not None
    assert play.run.finished.error.step == "bad"


def test_a_refusal_under_stop_stops() -> None:
    flow = a_flow({"gate": {"approve": "?"}, "other": {"approve": "??"}, "b": ["other"]}, on_failure="stop")
    play = Play(flow)
    play.tell(no())
    assert play.states() == {"gate": "failed", "other": "cancelled", "b": "skipped"}


def test_its_own_condition_skips_it_and_nobody_is_asked() -> None:
    flow = a_flow({"gate": {"approve": "?", "if": "inputs.n > 3"}, "b": ["gate"]}, inputs={"n": "integer"})
    play = Play(flow, inputs={"n": 3})
    assert play.states() == {"gate": "skipped", "b": "skipped"}
    assert not play.events(ev.TaskWaiting)


@pytest.mark.parametrize(
    ("on", "ends", "reason"),
    [
        (True, "refused", "success"),
        (True, "late", "success"),
        ({"on": ["denied"]}, "refused", "success"),
        ({"on": ["denied"]}, "late", "failed"),
        ({"on": ["timeout"]}, "late", "success"),
        ({"on": ["timeout"]}, "refused", "failed"),
    ],
)
def test_a_refusal_may_be_caught_and_is_no_approval(on: Any, ends: str, reason: str) -> None:
    gate = {"approve": {"prompt": "?", "timeout": "60s"}, "catch": on}
    flow = a_flow({"gate": gate, "b": {"run": "x", "if": "steps.gate.values.approved"}})
    play = Play(flow)
    if ends == "late":
        play.later(60)
    else:
        play.tell(no())
    assert play.states() == {"gate": reason, "b": "skipped"}
    assert set(rows(replayed(play))) == set(rows(play.run))


def test_approved_is_a_value() -> None:
    flow = a_flow({"gate": {"approve": "?"}, "b": {"run": "x", "if": "steps.gate.values.approved"}})
    play = Play(flow)
    play.tell(yes())
    assert play.states() == {"gate": "success", "b": "running"}


def test_a_request_after_all_steps_is_asked_even_if_they_failed() -> None:
    flow = a_flow({"a": []}, **{"finally": {"gate": {"approve": "${{ run.status }}: tell the customer?"}}})
    play = Play(flow)
    play.end("a", 1)
    (asked,) = play.events(ev.TaskWaiting)
    assert asked.request["prompt"] == "failed: tell the customer?"
    assert play.run.state == "waiting"
    play.tell(yes())
    assert play.run.finished is not None
    assert play.run.finished.reason == "error"


def test_a_request_after_all_steps_outlives_a_cancel_and_not_a_forced_one() -> None:
    flow = a_flow({"a": []}, **{"finally": {"gate": {"approve": "Tell them?"}}})
    play = Play(flow)
    play.tell(Cancel(BY))
    play.end("a", 1, stopped=True)
    assert play.states() == {"a": "cancelled", "gate": "waiting"}
    play.tell(Cancel(BY, force=True))
    assert play.states() == {"a": "cancelled", "gate": "cancelled"}
    assert play.run.state == "cancelled"


def test_one_request_for_each_entry() -> None:
    gate = {"approve": "Send to ${{ each.value }}?", "for_each": "['EU', 'US', 'JP']", "max_concurrency": 2}
    play = Play(a_flow({"gate": gate, "b": ["gate"]}))
    assert [asked.request["prompt"] for asked in play.events(ev.TaskWaiting)] == [
        "Send to EU?",
        "Send to US?",
    ]
    assert play.run.state == "waiting"
    play.tell(yes(key="gate[0]"))
    play.tell(no(BOB, "not there", key="gate[1]"))
    assert play.run.state == "waiting"
    play.tell(yes(key="gate[2]"))
    assert play.states()["gate"] == "failed"
    assert play.states()["b"] == "skipped"
    assert play.run.state == "failed"


# --- who -----------------------------------------------------------------------------------------------

LAB = People("lab", owner="user:owner", monitors=("user:mon",))
ROLES = {role: Caller(frozenset({f"user:{role}"}), {"lab": frozenset({Role(role)})}) for role in Role}


@pytest.mark.parametrize(
    ("caller", "who", "as_what"),
    [
        (ROLES[Role.APPROVER], [], "approver@lab"),
        (ROLES[Role.ADMIN], [], "admin@lab"),
        (local_owner("user:me"), [], "admin@*"),
        (ROLES[Role.OPERATOR], [], None),
        (ROLES[Role.VIEWER], [], None),
        (Caller(frozenset({"user:owner"})), [], None),
        (ROLES[Role.VIEWER], ["user:viewer"], "user:viewer"),
        (ROLES[Role.APPROVER], ["user:viewer"], None),
        (ROLES[Role.ADMIN], ["user:viewer"], None),
        (ROLES[Role.VIEWER], ["role:viewer"], "viewer@lab"),
        (ROLES[Role.VIEWER], ["role:operator"], None),
        (ROLES[Role.ADMIN], ["role:qa"], "admin@lab"),
        (ROLES[Role.APPROVER], ["role:qa"], None),
        (local_owner("user:me"), ["role:qa"], "admin@*"),
        (local_owner("user:me"), ["user:ana"], None),
        (Caller(frozenset({"user:mon", "group:qa"})), ["group:qa"], "group:qa"),
        (Caller(frozenset({"user:x", "group:qa"})), ["group:qa"], "hidden"),
        (Caller(frozenset({"user:approver"}), {"other": frozenset({Role.APPROVER})}), [], "hidden"),
        (
            Caller(frozenset({"user:approver"}), {"other": frozenset({Role.APPROVER})}),
            ["role:approver"],
            "hidden",
        ),
    ],
)
def test_who_may_answer(caller: Caller, who: list[str], as_what: str | None) -> None:
    request = {"who": who} if who else {}
    if as_what == "hidden":
        with pytest.raises(RunNotFound):
            entitled(caller, request, LAB, run="R")
    elif as_what is None:
        with pytest.raises(PermissionDenied):
            entitled(caller, request, LAB, run="R")
    else:
        assert entitled(caller, request, LAB, run="R") == as_what


@pytest.mark.parametrize("who", [[], ["user:approver"], ["role:approver"]])
def test_a_token_that_is_not_for_it_approves_nothing(who: list[str]) -> None:
    scopes = Scopes(actions=frozenset({Action.READ, Action.START}))
    caller = Caller(frozenset({"user:approver"}), {"lab": frozenset({Role.APPROVER})}, scopes)
    with pytest.raises(PermissionDenied):
        entitled(caller, {"who": who} if who else {}, LAB, run="R")


def test_nobody_answers_their_own() -> None:
    with pytest.raises(OwnRequest):
        not_their_own(ANA, {"user:ana", "user:bob"}, run="R")
    not_their_own(CYD, {"user:ana", "user:bob"}, run="R")


# --- how it is written ---------------------------------------------------------------------------------


def problems(**approve: Any) -> str:
    with pytest.raises(InvalidDefinition) as refused:
        a_flow({"a": [], "gate": {"approve": approve or {}}})
    return str(refused.value)


@pytest.mark.parametrize(
    ("approve", "expected"),
    [
        ({}, "steps.gate.approve: `approve` needs a `prompt`"),
        ({"show": []}, "steps.gate.approve: `approve` needs a `prompt`"),
        ({"prompt": " "}, "steps.gate.approve.prompt: expected a question, got an empty text"),
        ({"prompt": "?", "whom": "x"}, 'steps.gate.approve.whom: no key "whom" here'),
        (
            {"prompt": "?", "by": "ana"},
            'steps.gate.approve.by: "ana" is nobody who could answer; write user:NAME',
        ),
        ({"prompt": "?", "by": []}, "steps.gate.approve.by: an empty list is nobody"),
        ({"prompt": "?", "by": ["user:a", "user:a"]}, '"user:a" stands here twice'),
        ({"prompt": "?", "timeout": "0s"}, "steps.gate.approve.timeout: a timeout of nothing"),
        ({"prompt": "?", "timeout": "soon"}, "steps.gate.approve.timeout: expected"),
        ({"prompt": "?", "approvals": 0}, "expected an integer from 1 to 20, got 0"),
        ({"prompt": "?", "approvals": 3, "by": ["user:a", "user:b"]}, "3 people must approve, and 2 may"),
        ({"prompt": "?", "reason": "please"}, "steps.gate.approve.reason"),
        ({"prompt": "?", "self_approval": "no"}, "expected true or false, got text"),
        ({"prompt": "?", "show": "x ${{ run.id }}"}, "expected an expression, bare or one whole ${{ }}"),
        ({"prompt": "?", "show": ["steps.b.files.x"]}, 'no step "b"'),
        ({"prompt": "${{ secrets.KEY }}"}, "steps.gate.approve.prompt"),
        ({"prompt": "?", "show": ["secrets.KEY"]}, "steps.gate.approve.show"),
        ({"prompt": "?", "show": {"key": "${{ secrets.KEY }}"}}, "steps.gate.approve.show.key"),
        ({"prompt": "?", "show": {str(n): n for n in range(51)}}, "at most 50 values can be shown"),
        ({"prompt": None}, "`prompt` stands here without a value"),
        ({"prompt": "?", "by": [f"user:{n}" for n in range(51)]}, "at most 50 can be named; name a group"),
    ],
)
def test_a_request_that_cannot_be(approve: Any, expected: str) -> None:
    assert expected in problems(**approve)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        ({"approve": "?", "timeout": "1d"}, "a `approve` step takes no `timeout`; write it inside `approve`"),
        ({"approve": "?", "retry": 3}, "a `approve` step takes no `retry`"),
        ({"approve": "?", "run": "x"}, "a step does one thing, not approve and run"),
        ({"approve": "?", "catch": {"on": ["lost"]}}, 'this step never fails with "lost"'),
        ({"approve": "?", "catch": {"values": {"x": 1}}}, '`values` declares no "x"'),
        ({"run": "x", "catch": {"on": ["denied"]}}, 'this step never fails with "denied"'),
        ({"run": "x", "retry": {"attempts": 2, "on": ["denied"]}}, '"denied" is not one of'),
    ],
)
def test_a_step_that_cannot_be(step: Any, expected: str) -> None:
    with pytest.raises(InvalidDefinition) as refused:
        a_flow({"gate": step})
    assert expected in str(refused.value)


def test_a_value_that_a_request_does_not_have() -> None:
    with pytest.raises(InvalidDefinition, match='step gate has no value "answer"'):
        a_flow({"gate": {"approve": "?"}, "b": {"run": "x", "if": "steps.gate.values.answer"}})


def test_short_and_long_are_the_same_definition() -> None:
    usual = {"approvals": 1, "reason": "optional", "self_approval": True}
    written: list[Any] = ["Go?", {"prompt": "Go?"}, {"prompt": "Go?", **usual}]
    hashes = {definition.define({"steps": {"gate": {"approve": one}}}).hash for one in written}
    assert len(hashes) == 1
    lists = [["${{ inputs.n }}"], "inputs.n", ["inputs.n"]]
    shown = [{"approve": {"prompt": "Go?", "show": one}} for one in lists]
    hashes = {definition.define({"inputs": {"n": "any"}, "steps": {"gate": one}}).hash for one in shown}
    assert len(hashes) == 1


# --- the document --------------------------------------------------------------------------------------


def test_the_document_of_a_request_says_who_answered_and_as_what() -> None:
    play = gated(approvals=2, timeout="1d")
    play.tell(yes(ANA, "fine"))
    recorded = [Recorded(seq, at, bytes(16), event) for seq, (event, at) in enumerate(play.log, 1)]
    (task,) = [
        one
        for one in task_documents(bytes(16), play.run.flow, recorded, lambda _: None)
        if one["key"] == "gate"
    ]
    approval = task["approval"]
    assert (task["kind"], task["status"], approval["status"]) == ("approve", "waiting", "waiting")
    assert approval["id"] == task["id"]
    assert approval["decisions"] == [
        {
            "decision": "approved",
            "by": "user:ana",
            "authenticated_by": "token",
            "role": "approver@default",
            "token": None,
            "rule": None,
            "reason": "fine",
            "shown_digest": approval["shown_digest"],
            "at": "2023-11-14T22:13:20.000000Z",
        }
    ]
    play.later(DAY)
    recorded = [Recorded(seq, at, bytes(16), event) for seq, (event, at) in enumerate(play.log, 1)]
    tasks = task_documents(bytes(16), play.run.flow, recorded, lambda _: None)
    assert [one["approval"]["status"] for one in tasks if one["key"] == "gate"] == ["timeout"]


# --- whatever happens ----------------------------------------------------------------------------------

MOVES = st.lists(
    st.one_of(
        st.tuples(
            st.just("answer"),
            st.sampled_from(["g0", "g1", "g2", "g3[0]", "g3[1]"]),
            st.sampled_from([ANA, BOB, CYD]),
            st.booleans(),
        ),
        st.tuples(st.just("end"), st.integers(0, 9), st.booleans()),
        st.tuples(st.just("later"), st.sampled_from([1, 30, 60])),
        st.tuples(st.just("cancel")),
    ),
    max_size=25,
)


@settings(max_examples=150, deadline=None)
@given(
    moves=MOVES,
    stop=st.booleans(),
    caught=st.booleans(),
    edges=st.lists(st.booleans(), min_size=9, max_size=9),
)
def test_nothing_starts_before_the_requests_that_it_needs_were_approved(
    moves: list[Any], stop: bool, caught: bool, edges: list[bool]
) -> None:
    gates = {
        "g0": {"approve": "?"},
        "g1": {"approve": {"prompt": "?", "approvals": 2, "timeout": "60s"}},
        "g2": {"approve": "?", "needs": ["s0"], **({"catch": True} if caught else {})},
        "g3": {"approve": "?", "for_each": "[1, 2]"},
    }
    names = list(gates)
    work = {
        f"s{i}": {"run": "x", "needs": [names[j] for j in range(3 if i else 2) if edges[3 * i + j]]}
        for i in range(3)
    }
    work["s2"]["needs"] = [*work["s2"]["needs"], "g3"]
    play = Play(a_flow({**gates, **work}, on_failure="stop" if stop else "continue"))
    for move in moves:
        with suppress(AlreadyDecided, AlreadyEnded, NotWaiting):
            _do(play, move)
    _check_order(play)
    assert set(rows(replayed(play))) == set(rows(play.run))


def _do(play: Play, move: Any) -> None:
    match move:
        case ("answer", key, by, approve):
            play.tell(Answer(key, by, approve))
        case ("end", which, well) if play.run.open:
            play.end(sorted(play.run.open)[which % len(play.run.open)], 0 if well else 1)
        case ("later", seconds):
            play.later(seconds)
        case ("cancel",):
            play.tell(Cancel(BY))


def _check_order(play: Play) -> None:
    """Go through the log: a start comes after enough approvals of every request that it needs."""
    approvers: dict[str, set[str]] = {}
    caught: set[str] = set()
    asked: set[str] = set()
    for event, _ in play.log:
        match event:
            case ev.TaskWaiting():
                asked.add(event.key)
            case ev.TaskSignalled(payload={"decision": "approved"}):
                assert event.key in asked
                approvers.setdefault(event.key, set()).add(event.by.principal)
            case ev.TaskSettled(reason="caught"):
                caught.update(event.keys)
            case ev.TaskStarted():
                for key, needed in _needed(play.run.flow, event.key):
                    assert key in caught or len(approvers.get(key, ())) >= needed, (event.key, key)


def _needed(flow: Flow, name: str) -> list[tuple[str, int]]:
    """Return the requests that a step needs, and how many approvals each."""
    asks = [flow.steps[need] for need in flow.steps[name].needs if flow.steps[need].approve is not None]
    return [
        (key, step.approve.approvals)
        for step in asks
        if step.approve is not None
        for key in ([f"{step.name}[0]", f"{step.name}[1]"] if step.for_each else [step.name])
    ]
