"""People answer over HTTP: who may, who was first, what is kept of it, and what comes after a restart."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pytest

from runnotary.engine.approvals import ApprovalQuery
from runnotary.engine.cursors import cursor
from tests.server.up import Up, until

Json = Any
WAIT = {"prefer": "wait=60"}
STEPS = {
    "make": {"run": "echo total > report.txt", "files": ["report.txt"]},
    "gate": {"approve": {"prompt": "Publish?", "show": ["steps.make.files['report.txt']"]}},
    "send": {"run": "echo sent", "needs": ["gate"]},
}

FORGED = cursor(msgspec.to_builtins(ApprovalQuery(namespace=("default",))), ["no run's id", "gate"])
"""Anybody can compute the checksum of a cursor."""


def asking(**approve: Any) -> Json:
    """Return a flow whose `send` waits for people."""
    gate = {"approve": STEPS["gate"]["approve"] | approve}
    return {"flow": "asking", "steps": STEPS | {"gate": gate}}


def begin(up: Up, flow: Json, namespace: str = "default", **words: Any) -> str:
    """Start a run of a flow and return its id once it asks."""
    body = {"definition": flow, "namespace": namespace}
    assert up.post("/flows", body, **words).status == 201
    begun = up.post(f"/flows/{flow['flow']}/runs", {"namespace": namespace}, **words)
    assert begun.status == 201, begun
    run = str(begun.json["id"])
    until(lambda: up.get(f"/runs/{run}", **words).json["status"] == "waiting")
    return run


def answer(up: Up, run: str, verb: str = "approve", task: str = "gate", **words: Any) -> Any:
    body = words.pop("body", {})
    return up.post(f"/runs/{run}/tasks/{task}/{verb}", body, **words)


class Lab:
    """A server with a namespace `lab`, and people in it by name."""

    def __init__(self, up: Up, profile: str = "standard") -> None:
        self.up = up
        assert up.post("/namespaces", {"name": "lab", "reason": "test"}).status == 201
        self.tokens: dict[str, str] = {}
        roles = {"op": ["operator", "approver"], "ana": ["approver"], "bob": ["approver"], "eve": ["viewer"]}
        for name, held in roles.items():
            for role in held:
                place = f"/namespaces/lab/roles/user:{name}"
                assert up.ask("PUT", place, {"role": role, "reason": "test"}).status == 200
        members = {"members": ["user:eve"], "reason": "test"}
        assert up.ask("PUT", "/groups/group:qa", members).status == 200
        for name in (*roles, "root"):
            principal = f"user:{name}"
            if name == "root":
                place = "/namespaces/*/roles/user:root"
                assert up.ask("PUT", place, {"role": "admin", "reason": "test"}).status == 200
            made = up.post("/tokens", {"principal": principal, "name": name, "reason": "test"})
            assert made.status == 201, made
            self.tokens[name] = made.json["secret"]
        assert up.stop() == 0
        up.set(profile=profile).start()

    def begin(self, who: str = "op", **approve: Any) -> str:
        return begin(self.up, asking(**approve), "lab", token=self.tokens[who])

    def answer(self, who: str, run: str, verb: str = "approve", **words: Any) -> Any:
        return answer(self.up, run, verb, token=self.tokens[who], **words)

    def status(self, run: str) -> tuple[str, str | None]:
        document = self.up.get(f"/runs/{run}", headers=WAIT, token=self.tokens["root"]).json
        return document["status"], document["reason"]


@pytest.fixture
def lab(own: Callable[..., Up]) -> Lab:
    return Lab(own())


# --- asked and answered ------------------------------------------------------------------------------


def test_a_request_is_listed_shown_and_approved(up: Up) -> None:
    run = begin(up, asking(timeout="1d"))
    (listed,) = up.get("/approvals?flow=asking").json["approvals"]
    shown = up.get(f"/runs/{run}/tasks/gate/approval").json
    assert listed == shown
    assert (shown["run"], shown["task"], shown["status"]) == (run, "gate", "waiting")
    assert shown["prompt"] == "Publish?"
    (file,) = shown["shown"].values()
    assert file["name"] == "report.txt"
    assert shown["may_answer"] is True
    assert shown["definition_hash"] == up.get(f"/runs/{run}").json["definition_hash"]
    body = {"reason": "looks fine", "shown_digest": shown["shown_digest"]}
    done = answer(up, run, body=body)
    assert done.status == 200
    assert done.json["status"] == "approved"
    (decision,) = done.json["decisions"]
    assert decision["reason"] == "looks fine"
    assert decision["shown_digest"] == shown["shown_digest"]
    assert (decision["authenticated_by"], decision["role"]) == ("os-user", "admin@*")
    assert up.get(f"/runs/{run}", headers=WAIT).json["status"] == "success"
    assert up.get("/approvals?flow=asking").json["approvals"] == []
    (over,) = up.get(f"/approvals?run={run}").json["approvals"]
    assert (over["status"], over["may_answer"]) == ("approved", False)
    (task,) = [one for one in up.get(f"/runs/{run}/tasks").json["tasks"] if one["key"] == "gate"]
    assert task["approval"]["decisions"] == done.json["decisions"]


def test_the_order_in_the_record_is_asked_approved_started(up: Up) -> None:
    run = begin(up, asking())
    answer(up, run)
    assert up.get(f"/runs/{run}", headers=WAIT).json["status"] == "success"
    told = ("task.waiting", "task.signalled", "task.started")
    kinds = [one["type"] for one in up.get(f"/runs/{run}/audit").json["events"]]
    ordered = ["task.started", "task.waiting", "task.signalled", "task.started"]
    assert [kind for kind in kinds if kind in told] == ordered


def test_refused_the_run_fails_and_says_by_whom_and_why(up: Up) -> None:
    run = begin(up, asking())
    done = answer(up, run, "reject", body={"reason": "wrong region"})
    assert (done.status, done.json["status"]) == (200, "rejected")
    document = up.get(f"/runs/{run}", headers=WAIT).json
    assert (document["status"], document["reason"]) == ("failed", "denied")
    assert "wrong region" in document["error"]["message"]
    states = {one["key"]: one["status"] for one in up.get(f"/runs/{run}/tasks").json["tasks"]}
    assert states == {"make": "success", "gate": "failed", "send": "skipped"}


def test_the_second_answer_is_told_of_the_first(up: Up) -> None:
    run = begin(up, asking())
    assert answer(up, run, "reject").status == 200
    for verb in ("approve", "reject"):
        again = answer(up, run, verb)
        assert (again.status, again.code) == (409, "already_decided")
        assert "gate was rejected by user:" in again.json["detail"]


def test_of_twenty_at_once_exactly_one_wins(up: Up) -> None:
    run = begin(up, asking())
    verbs = ["approve", "reject"] * 10
    with ThreadPoolExecutor(20) as pool:
        replies = list(pool.map(lambda verb: answer(up, run, verb), verbs))
    assert Counter(reply.status for reply in replies) == {200: 1, 409: 19}
    won = verbs[[reply.status for reply in replies].index(200)]
    assert up.get(f"/runs/{run}", headers=WAIT).json["status"] == (
        "success" if won == "approve" else "failed"
    )
    assert [one["type"] for one in up.get(f"/runs/{run}/audit").json["events"]].count("task.signalled") == 1


def test_fifty_runs_that_wait_hold_up_nobody(up: Up) -> None:
    assert up.post("/flows", {"definition": asking() | {"flow": "many"}}).status == 201
    runs = [up.post("/flows/many/runs").json["id"] for _ in range(50)]
    pages, cursor = [], ""
    until(lambda: len(up.get("/approvals?flow=many&limit=1000").json["approvals"]) == 50)
    while True:
        page = up.get(f"/approvals?flow=many&limit=7&cursor={cursor}").json
        pages += [one["run"] for one in page["approvals"]]
        if not page["has_next"]:
            break
        cursor = page["next_cursor"]
    assert pages == sorted(runs)
    assert up.get("/health").status == 200
    assert up.run("quick")["status"] == "success"
    for run in runs:
        assert answer(up, run).status == 200
    assert up.get("/approvals?flow=many").json["approvals"] == []
    for run in runs:
        assert up.get(f"/runs/{run}", headers=WAIT).json["status"] == "success"


def test_time_runs_out(up: Up) -> None:
    assert up.post("/flows", {"definition": asking(timeout="300ms") | {"flow": "short"}}).status == 201
    run = up.post("/flows/short/runs").json["id"]
    document = up.get(f"/runs/{run}", headers=WAIT).json
    assert (document["status"], document["reason"]) == ("failed", "timeout")
    late = answer(up, run)
    assert (late.status, late.code) == (409, "already_ended")
    assert up.get(f"/runs/{run}/tasks/gate/approval").json["status"] == "timeout"


def test_a_cancel_while_it_waits(up: Up) -> None:
    run = begin(up, asking())
    assert up.post(f"/runs/{run}/cancel").status in (200, 202)
    assert up.get(f"/runs/{run}", headers=WAIT).json["status"] == "cancelled"
    assert answer(up, run).code == "already_ended"
    assert up.get(f"/runs/{run}/tasks/gate/approval").json["status"] == "cancelled"


def test_one_of_several(up: Up) -> None:
    flow = {"flow": "each", "steps": {"gate": {"approve": "${{ each.value }}?", "for_each": "['x', 'y']"}}}
    run = begin(up, flow)
    several = answer(up, run)
    assert (several.status, several.code) == (422, "invalid_input")
    assert "gate[0], gate[1]" in several.json["detail"]
    assert answer(up, run, task="gate[1]").status == 200
    again = answer(up, run)
    assert again.status == 422, "one is left, and a request that is sent again must not answer it"
    assert answer(up, run, task="gate[0]").status == 200
    assert up.get(f"/runs/{run}", headers=WAIT).json["status"] == "success"


def test_answers_that_cannot_be(up: Up) -> None:
    run = begin(up, asking())
    cases: list[tuple[Any, int, str]] = [
        (answer(up, run, body={"decided_by": "user:somebody"}), 422, "invalid_input"),
        (answer(up, run, body={"reason": "x" * 1001}), 422, "invalid_input"),
        (answer(up, run, body={"shown_digest": "md5:1"}), 422, "invalid_input"),
        (answer(up, run, body={"shown_digest": "sha256:" + "0" * 64}), 409, "shown_otherwise"),
        (answer(up, run, task="nothing"), 404, "task_not_found"),
        (answer(up, run, task="make"), 409, "not_waiting"),
        (answer(up, "01HF7YAT3VEX5R00820C20A1G7"), 404, "run_not_found"),
        (up.get(f"/runs/{run}/tasks/make/approval"), 404, "task_not_found"),
        (up.get("/approvals?status=approved"), 422, "invalid_input"),
        (up.get("/approvals?status=perhaps"), 422, "invalid_parameter"),
        (up.get("/approvals?cursor=x"), 422, "invalid_cursor"),
        (up.get(f"/approvals?cursor={FORGED}"), 422, "invalid_cursor"),
        (up.get("/approvals?run=01HF7YAT3VEX5R00820C20A1G7"), 404, "run_not_found"),
    ]
    for reply, status, code in cases:
        assert (reply.status, reply.code) == (status, code), reply
    assert up.get(f"/runs/{run}").json["status"] == "waiting"
    assert answer(up, run).status == 200


# --- over a restart ----------------------------------------------------------------------------------


def test_a_request_outlives_a_power_cut_and_so_does_the_answer(own: Callable[..., Up]) -> None:
    up = own()
    run = begin(up, asking(approvals=2))
    assert answer(up, run).status == 200
    up.kill()
    up.start()
    document = up.get(f"/runs/{run}/tasks/gate/approval").json
    assert (document["status"], len(document["decisions"])) == ("waiting", 1)
    again = answer(up, run)
    assert (again.status, again.code) == (409, "already_decided")
    assert "1 more must" in again.json["detail"]
    assert answer(up, run, "reject").code == "already_decided", "who approved cannot take it back"


# --- who ---------------------------------------------------------------------------------------------


def test_the_decision_names_the_authenticated_principal_and_their_role_then(lab: Lab) -> None:
    run = lab.begin()
    done = lab.answer("ana", run)
    assert done.status == 200, done
    (decision,) = done.json["decisions"]
    assert decision["by"] == "user:ana"
    assert (decision["role"], decision["authenticated_by"]) == ("approver@lab", "token")
    assert decision["token"]
    root = lab.tokens["root"]
    gone = lab.up.ask("DELETE", "/namespaces/lab/roles/user:ana?role=approver", token=root)
    assert gone.status == 200
    kept = lab.up.get(f"/runs/{run}/tasks/gate/approval", token=root).json
    assert kept["decisions"] == [decision]
    assert lab.status(run) == ("success", None)


def test_a_group_a_role_and_nobody_else(lab: Lab) -> None:
    for by in (["group:qa"], ["role:viewer"], ["user:eve"]):
        run = lab.begin(by=by)
        for stranger in ("ana", "op"):
            refused = lab.answer(stranger, run)
            assert (refused.status, refused.code) == (403, "permission_denied")
        mine = lab.up.get("/approvals?namespace=lab&mine=true", token=lab.tokens["eve"]).json["approvals"]
        assert [one["run"] for one in mine] == [run]
        theirs = lab.up.get("/approvals?namespace=lab&mine=true", token=lab.tokens["ana"]).json["approvals"]
        assert theirs == []
        done = lab.answer("eve", run)
        assert done.status == 200
        assert done.json["decisions"][0]["role"] in ("group:qa", "viewer@lab", "user:eve")
        assert lab.status(run) == ("success", None)


def test_a_token_that_is_not_made_for_it(lab: Lab) -> None:
    run = lab.begin()
    body = {"principal": "user:ana", "name": "reader", "scopes": ["read", "start"]}
    made = lab.up.post("/tokens", body, token=lab.tokens["root"])
    refused = answer(lab.up, run, token=made.json["secret"])
    assert (refused.status, refused.code) == (403, "permission_denied")
    assert lab.answer("bob", run).status == 200


def test_four_eyes(lab: Lab) -> None:
    run = lab.begin(approvals=2)
    first = lab.answer("ana", run).json
    assert (first["status"], first["may_answer"]) == ("waiting", False)
    assert lab.answer("ana", run).code == "already_decided"
    assert lab.answer("bob", run).json["status"] == "approved"
    assert lab.status(run) == ("success", None)


def test_four_eyes_are_not_those_of_one_person_with_two_tokens_and_three_roles(lab: Lab) -> None:
    run, root = (
        lab.begin(approvals=2, by=["user:ana", "role:operator", "group:qa", "user:bob"]),
        lab.tokens["root"],
    )
    assert lab.answer("ana", run).json["status"] == "waiting"
    made = lab.up.post("/tokens", {"principal": "user:ana", "name": "another"}, token=root)
    role = lab.up.ask("PUT", "/namespaces/lab/roles/user:ana", {"role": "operator"}, token=root)
    group = lab.up.ask("PUT", "/groups/group:qa", {"members": ["user:ana"]}, token=root)
    assert (made.status, role.status, group.status) == (201, 200, 200)
    for verb in ("approve", "reject"):
        assert answer(lab.up, run, verb, token=made.json["secret"]).code == "already_decided"
    assert lab.up.get(f"/runs/{run}", token=root).json["status"] == "waiting"
    assert lab.answer("bob", run).json["status"] == "approved"


def test_who_lost_the_right_since_the_request_has_lost_it(lab: Lab) -> None:
    run, other, root = lab.begin(), lab.begin(by=["group:qa"]), lab.tokens["root"]
    (mine,) = lab.up.get("/approvals?namespace=lab&mine=true", token=lab.tokens["bob"]).json["approvals"]
    assert mine["run"] == run
    role = lab.up.ask("DELETE", "/namespaces/lab/roles/user:bob?role=approver", token=root)
    given = lab.up.ask("PUT", "/namespaces/lab/roles/user:bob", {"role": "viewer"}, token=root)
    group = lab.up.ask("PUT", "/groups/group:qa", {"members": ["user:ana"]}, token=root)
    assert (role.status, given.status, group.status) == (200, 200, 200)
    assert lab.answer("bob", run).code == "permission_denied"
    assert lab.answer("eve", other).code == "permission_denied"
    assert lab.answer("ana", other).json["decisions"][0]["role"] == "group:qa"
    assert lab.answer("ana", run).status == 200


def test_nobody_approves_their_own_where_the_step_forbids_it(lab: Lab) -> None:
    run = lab.begin("op", self_approval=False)
    refused = lab.answer("op", run)
    assert (refused.status, refused.code) == (403, "own_request")
    shown = lab.up.get(f"/runs/{run}/tasks/gate/approval", token=lab.tokens["op"]).json
    assert shown["may_answer"] is False
    assert "may not answer" in shown["why_not"]
    assert lab.answer("op", run, "reject").code == "own_request"
    assert lab.answer("ana", run).status == 200


def test_whoever_registered_the_flow_does_not_approve_it_either(lab: Lab) -> None:
    up, flow = lab.up, asking(self_approval=False)
    assert up.post("/flows", {"definition": flow, "namespace": "lab"}, token=lab.tokens["op"]).status == 201
    root = lab.tokens["root"]
    run = up.post("/flows/asking/runs", {"namespace": "lab"}, token=root).json["id"]
    until(lambda: up.get(f"/runs/{run}", token=root).json["status"] == "waiting")
    for who in ("op", "root"):
        assert lab.answer(who, run).code == "own_request"
    assert lab.answer("ana", run).status == 200


def test_allowed_by_the_step_and_refused_by_the_setting(lab: Lab) -> None:
    run = lab.begin("op", self_approval=True)
    assert lab.up.stop() == 0
    lab.up.set(self_approval="refused").start()
    assert lab.answer("op", run).code == "own_request"
    assert lab.answer("bob", run).status == 200


def test_a_regulated_home_wants_a_reason_and_somebody_else(own: Callable[..., Up]) -> None:
    lab = Lab(own(), "regulated")
    run = lab.begin("op")
    (asked,) = lab.up.get("/approvals?namespace=lab&mine=true", token=lab.tokens["ana"]).json["approvals"]
    assert asked["reason_required"] is True, "a page must know before the answer is sent"
    assert lab.answer("op", run, body={"reason": "mine"}).code == "own_request"
    assert lab.answer("ana", run).code == "reason_required"
    assert lab.answer("ana", run, body={"reason": "checked"}).status == 200
    assert lab.status(run) == ("success", None)
