"""What the client sends, what it makes of the answer, and how it goes on when none comes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

from runnotary.client import RunRequest
from runnotary.core import errors
from runnotary.core.errors import (
    AlreadyEnded,
    Conflict,
    InvalidDefinition,
    InvalidInput,
    InvalidRunInput,
    NotFound,
    PermissionDenied,
    RunNotFound,
    Unreachable,
    WaitTimeout,
)
from tests.client.conftest import Both
from tests.client.scripted import END, Answer, Scripted, event, problem, run

Ask = Callable[..., Both]


def test_a_run_is_what_its_document_says(ask: Ask) -> None:
    document = run("success", label="a", outputs={"n": 3}, items={"total": 1, "success": 1}, new_word=[1])
    found = ask(Scripted(Answer(document=document))).get_run("X")
    assert (found.id, found.status, found.label, found.outputs) == (document["id"], "success", "a", {"n": 3})
    assert found.items.success == 1
    assert found.over
    assert found.etag == '"sha256:ab"'
    assert found.raw == document


def test_a_run_is_asked_for_with_the_words_of_the_wire(ask: Ask) -> None:
    app = Scripted(Answer(201, run()))
    client = ask(app, token="rn_x")
    client.run_flow("report", {"top": 5}, label="L", tags=["a"], monitors=["group:g"], namespace="lab")
    sent = app.asked[0]
    assert (sent.method, sent.path) == ("POST", "/api/v1/runs")
    assert sent.document == {
        "flow": "report",
        "inputs": {"top": 5},
        "label": "L",
        "tags": ["a"],
        "monitors": ["group:g"],
        "namespace": "lab",
    }
    assert sent.headers["authorization"] == "Bearer rn_x"
    assert sent.headers["content-type"] == "application/json"
    assert len(sent.headers["idempotency-key"]) == 32


def test_a_definition_is_named_by_its_hash_and_a_key_of_ones_own_is_kept(ask: Ask) -> None:
    app = Scripted(Answer(201, run()))
    ask(app).run_flow("sha256:" + "0" * 64, idempotency_key="mine")
    assert app.asked[0].document == {"definition": "sha256:" + "0" * 64, "inputs": {}}
    assert app.asked[0].headers["idempotency-key"] == "mine"


def test_files_among_the_inputs_are_kept_first(ask: Ask, tmp_path: Path) -> None:
    file = tmp_path / "orders.csv"
    file.write_bytes(b"a,b")
    app = Scripted(Answer(201, {"digest": "sha256:d", "size": 3}), Answer(201, run()))
    ask(app).run_flow("report", {"orders": file, "more": [{"again": file}]})
    value = {"$file": "sha256:d", "name": "orders.csv", "size": 3}
    assert [one.path for one in app.asked] == ["/api/v1/blobs", "/api/v1/runs"]
    assert app.asked[0].body == b"a,b"
    assert app.asked[1].document["inputs"] == {"orders": value, "more": [{"again": value}]}


def test_an_input_file_that_is_not_there_sends_nothing(ask: Ask, tmp_path: Path) -> None:
    app = Scripted(Answer(201, run()))
    with pytest.raises(InvalidRunInput, match="No such file"):
        ask(app).run_flow("report", {"orders": tmp_path / "none"})
    assert not app.asked


def test_a_listing_takes_the_words_of_the_query(ask: Ask) -> None:
    app = Scripted(Answer(document={"runs": [run()], "has_next": False, "next_cursor": None, "total": 1}))
    page = ask(app).list_runs(
        flow="report", status=["failed", "cancelled"], label="a b", include_archived=True, limit=5, total=True
    )
    assert parse_qsl(app.asked[0].query) == [
        ("flow", "report"),
        ("status", "failed"),
        ("status", "cancelled"),
        ("label", "a b"),
        ("include_archived", "true"),
        ("limit", "5"),
        ("total", "true"),
    ]
    assert (page.total, len(page), [one.id for one in page]) == (1, 1, [run()["id"]])


def pages() -> list[Answer]:
    return [
        Answer(document={"runs": [run(number=1), run(number=2)], "has_next": True, "next_cursor": "c1"}),
        Answer(document={"runs": [run(number=3)], "has_next": False, "next_cursor": None}),
    ]


def test_all_pages_are_fetched(ask: Ask) -> None:
    app = Scripted(*pages())
    assert [int(one.id) for one in ask(app).list_all_runs(flow="report")] == [1, 2, 3]
    assert ("cursor", "c1") in parse_qsl(app.asked[1].query)
    assert ("flow", "report") in parse_qsl(app.asked[1].query)


def test_a_page_is_fetched_when_it_is_needed(ask: Ask) -> None:
    app = Scripted(*pages())
    both = ask(app)
    assert [
        int(one.id) for one in both.result(both.client.iter_runs(limit=2), lambda found: len(found) == 2)
    ] == [1, 2]
    assert len(app.asked) == 1
    assert ("limit", "2") in parse_qsl(app.asked[0].query)


def test_log_entries_come_in_pages_too(ask: Ask) -> None:
    entry = {"time": "T", "code": "RunStarted", "description": "d", "details": {}}
    app = Scripted(
        Answer(document={"entries": [entry, entry], "has_next": True, "next_cursor": "2"}),
        Answer(document={"entries": [entry], "has_next": False, "next_cursor": None}),
    )
    found = ask(app).iter_run_logs("R", 2)
    assert [(one.time, one.code, one.description) for one in found] == [("T", "RunStarted", "d")] * 3
    queries = [dict(parse_qsl(one.query)) for one in app.asked]
    assert queries == [{"limit": "2"}, {"limit": "2", "cursor": "2"}]


# --- refusals ------------------------------------------------------------------------------------


KINDS = [
    kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.RunnotaryError)
]


@pytest.mark.parametrize("error", KINDS, ids=lambda error: str(error.code))
def test_every_error_is_raised_as_it_was_raised_there(ask: Ask, error: type[errors.RunnotaryError]) -> None:
    client = ask(Scripted(problem(error.http_status, error.code, "what", hint="do that")), timeout=0.05)
    with pytest.raises(error) as raised:
        client.get_run("R")
    assert type(raised.value) is error
    assert (raised.value.message, raised.value.hint) == ("what", "do that")


def test_problems_come_along(ask: Ask) -> None:
    single = {"line": 3, "column": 5, "path": "steps.a", "message": "no", "source": "f.yaml", "offset": 0}
    client = ask(Scripted(problem(422, "invalid_definition", problems=[single])))
    with pytest.raises(InvalidDefinition) as raised:
        client.register_flow({"steps": {}})
    assert [str(one) for one in raised.value.problems] == ["f.yaml:3:5 steps.a: no"]
    client = ask(Scripted(problem(422, "invalid_run_input", problems=["inputs.a: no"])))
    with pytest.raises(InvalidRunInput) as refused:
        client.run_flow("f")
    assert refused.value.problems == ("inputs.a: no",)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, InvalidInput),
        (403, PermissionDenied),
        (404, NotFound),
        (409, Conflict),
        (412, Conflict),
        (418, errors.RunnotaryError),
    ],
)
def test_a_code_of_a_newer_server_is_known_by_its_status(
    ask: Ask, status: int, error: type[errors.RunnotaryError]
) -> None:
    with pytest.raises(error) as raised:
        ask(Scripted(problem(status, "brand_new"))).get_run("R")
    assert raised.value.code == "brand_new"


def test_who_is_no_server_of_ours_is_told_so(ask: Ask) -> None:
    with pytest.raises(Unreachable, match="no Runnotary server"):
        ask(Scripted(Answer(parts=[b"<html>"]))).get_run("R")
    with pytest.raises(errors.RunnotaryError, match="the server answers 500"):
        ask(Scripted(Answer(500, "?"))).get_run("R")


# --- again ---------------------------------------------------------------------------------------

BROKEN = Answer(breaks=True)


def test_a_start_whose_answer_was_lost_is_sent_again_with_the_same_key(ask: Ask) -> None:
    app = Scripted(BROKEN, BROKEN, Answer(200, run()))
    assert ask(app).run_flow("f").status == "running"
    assert len(app.asked) == 3
    assert len({one.headers["idempotency-key"] for one in app.asked}) == 1
    assert len({one.body for one in app.asked}) == 1


def test_two_starts_have_two_keys(ask: Ask) -> None:
    app = Scripted(Answer(201, run()))
    client = ask(app)
    client.run_flow("f")
    client.run_flow("f")
    assert len({one.headers["idempotency-key"] for one in app.asked}) == 2


def test_entries_of_a_batch_have_keys_of_their_own_and_keep_them(ask: Ask) -> None:
    results = [{"index": 0, "run_id": "a", "run": run()}, {"index": 1, "run_id": "b", "run": run()}]
    app = Scripted(BROKEN, Answer(document={"results": results}))
    ask(app).batch_run_flows([{"flow": "f"}, RunRequest(flow="f", idempotency_key="mine")])
    first, second = (one.document["runs"] for one in app.asked)
    assert first == second
    assert first[1]["idempotency_key"] == "mine"
    assert first[0]["idempotency_key"] not in ("", "mine")


def test_what_is_not_repeatable_is_sent_once(ask: Ask) -> None:
    app = Scripted(BROKEN)
    with pytest.raises(Unreachable, match="POST /api/v1/tokens may have been done all the same"):
        ask(app).create_token("user:a")
    assert len(app.asked) == 1


def test_a_change_on_condition_is_sent_once(ask: Ask) -> None:
    app = Scripted(BROKEN)
    with pytest.raises(Unreachable):
        ask(app).update_run("R", label="x", if_match='"h"')
    assert [one.headers["if-match"] for one in app.asked] == ['"h"']


def test_a_server_that_is_busy_is_asked_again_when_it_says(ask: Ask) -> None:
    app = Scripted(Answer(429, {}, {"retry-after": "0"}), Answer(503, {}), Answer(document=run()))
    assert ask(app).get_run("R").id == run()["id"]
    assert len(app.asked) == 3


def test_patience_ends(ask: Ask) -> None:
    app = Scripted(BROKEN)
    with pytest.raises(Unreachable, match="broke off"):
        ask(app, timeout=0.5).get_run("R")
    assert 2 <= len(app.asked) <= 5


# --- waiting and following -----------------------------------------------------------------------


def test_a_wait_lets_the_server_hold_its_answer(ask: Ask) -> None:
    app = Scripted(Answer(document=run("running")), BROKEN, Answer(document=run("success")))
    assert ask(app).wait_for_run("R", 0.01).status == "success"
    assert {one.headers.get("prefer") for one in app.asked} == {"wait=1"}


def test_a_wait_that_is_too_short_says_so(ask: Ask) -> None:
    with pytest.raises(WaitTimeout, match=r"is running after 0\.2 s"):
        ask(Scripted(Answer(document=run("running")))).wait_for_run("R", 0.05, timeout=0.2)


def test_a_wait_looks_at_least_once(ask: Ask) -> None:
    app = Scripted(Answer(document=run("failed")))
    assert ask(app).wait_for_run("R", timeout=0).status == "failed"


def test_waiting_for_a_server_ends_in_time(ask: Ask) -> None:
    with pytest.raises(WaitTimeout, match=r"not known after 0\.3 s; the server at"):
        ask(Scripted(BROKEN)).wait_for_run("R", 0.05, timeout=0.3)


def test_there_is_no_waiting_for_what_is_not_there(ask: Ask) -> None:
    app = Scripted(problem(404, "run_not_found"))
    with pytest.raises(RunNotFound):
        ask(app).wait_for_run("R", 1, timeout=5)
    assert len(app.asked) == 1


def test_run_and_wait(ask: Ask) -> None:
    app = Scripted(Answer(201, run("pending")), Answer(document=run("success")))
    assert ask(app).run_flow("f", wait=True).status == "success"
    app = Scripted(Answer(201, run("pending")), Answer(document=run("running")))
    assert ask(app).run_flow("f", wait=0.1).status == "running"


def test_a_run_is_followed_over_broken_connections_and_each_event_comes_once(ask: Ask) -> None:
    app = Scripted(
        Answer(parts=[event(1), b": still here\n\n", event(2)[:20]], breaks=True),
        Answer(parts=[event(1), event(2), event(3)]),
        BROKEN,
        Answer(503, {}),
        Answer(parts=[event(4, "run.finished"), END, event(5)]),
    )
    found = ask(app).follow_run("R")
    assert [(one.id, one.seq, one.type) for one in found] == [
        ("1", 1, "task.started"),
        ("2", 2, "task.started"),
        ("3", 3, "task.started"),
        ("4", 4, "run.finished"),
    ]
    assert [one.headers.get("last-event-id") for one in app.asked] == [None, "1", "3", "3", "3"]


def test_following_may_stop_anywhere(ask: Ask) -> None:
    both = ask(Scripted(Answer(parts=[event(1), event(2), event(3)])))
    found = both.result(both.client.follow_run("R", after=1), bool)
    assert [one.seq for one in found] == [2]


def test_following_from_now_on_stays_there_over_a_break(ask: Ask) -> None:
    app = Scripted(
        Answer(parts=[], headers={"runnotary-position": "70"}, breaks=True), Answer(parts=[event(71)])
    )
    both = ask(app)
    assert [one.seq for one in both.result(both.client.follow_all(after="latest"), bool)] == [71]
    asked = [(one.query, one.headers.get("last-event-id")) for one in app.asked]
    assert asked == [("after=latest", None), ("", "70")]


def test_a_server_that_never_answered_is_not_followed_for_long(ask: Ask) -> None:
    app = Scripted(BROKEN)
    with pytest.raises(Unreachable):
        ask(app).follow_run("R")
    assert len(app.asked) > 2


def test_following_a_run_that_is_not_there(ask: Ask) -> None:
    with pytest.raises(RunNotFound):
        ask(Scripted(problem(404, "run_not_found"))).follow_run("R")


# --- batches -------------------------------------------------------------------------------------


def batch(count: int, first: int = 0) -> Answer:
    results = [{"index": at, "run_id": f"r{first + at}", "run": run()} for at in range(count)]
    return Answer(document={"results": results})


def test_a_long_batch_goes_in_parts_and_comes_back_as_one(ask: Ask) -> None:
    app = Scripted(batch(100), batch(100, 100), batch(50, 200))
    found = ask(app).batch_run_flows([{"flow": "f", "inputs": {"n": n}} for n in range(250)], concurrency=3)
    assert [one.index for one in found] == list(range(250))
    assert [one.run_id for one in found] == [f"r{n}" for n in range(250)]
    bodies = [one.document for one in app.asked]
    assert [len(body["runs"]) for body in bodies] == [100, 100, 50]
    assert {body["concurrency"] for body in bodies} == {3}
    assert len({one["idempotency_key"] for body in bodies for one in body["runs"]}) == 250


@pytest.mark.parametrize("concurrency", [0, -1])
def test_no_concurrency_is_ten(ask: Ask, concurrency: int) -> None:
    app = Scripted(batch(1))
    ask(app).batch_cancel_runs(["a"], concurrency)
    assert app.asked[0].document == {"ids": ["a"], "reason": "", "concurrency": 10}


def test_each_entry_has_its_own_error(ask: Ask) -> None:
    results = [
        {"index": 0, "run_id": "a", "run": run("cancelled")},
        {"index": 1, "run_id": "b", "error": {"code": "run_not_found", "message": "no run b"}},
    ]
    found = ask(Scripted(Answer(document={"results": results}))).batch_cancel_runs(["a", "b"])
    assert found.results[0].run is not None
    assert found.results[0].error is None
    assert (found.results[1].run_id, found.results[1].run) == ("b", None)
    assert (found.results[1].error.code, found.results[1].error.message) == ("run_not_found", "no run b")


def test_what_was_started_is_not_lost_behind_an_error(ask: Ask) -> None:
    app = Scripted(batch(100), problem(403, "permission_denied", "no more"))
    found = ask(app).batch_get_runs([f"r{n}" for n in range(101)])
    assert [one.error is None for one in found] == [True] * 100 + [False]
    assert (found.results[100].run_id, found.results[100].error.code) == ("r100", "permission_denied")
    with pytest.raises(PermissionDenied):
        ask(Scripted(problem(403, "permission_denied"))).batch_get_runs(["a"])


def test_an_empty_batch_asks_nothing(ask: Ask) -> None:
    app = Scripted(batch(0))
    assert ask(app).batch_run_flows([]).results == []
    assert not app.asked


# --- the rest of the words -----------------------------------------------------------------------

DOCUMENT: dict[str, Any] = {
    **run(),
    **{
        name: []
        for name in (
            "flows",
            "files",
            "versions",
            "events",
            "namespaces",
            "tokens",
            "runs",
            "groups",
            "changes",
        )
    },
    "count": 0,
}
CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any], str, Any]] = [
    ("register_flow", ({"steps": {}},), {"name": "f"}, "POST /api/v1/flows", None),
    ("list_flows", (), {"namespace": "*"}, "GET /api/v1/flows?namespace=%2A", None),
    ("get_flow", ("a b",), {}, "GET /api/v1/flows/a b?namespace=default", None),
    ("flow_versions", ("f",), {}, "GET /api/v1/flows/f/versions?namespace=default", None),
    ("get_definition", ("sha256:00",), {}, "GET /api/v1/definitions/sha256:00", None),
    ("update_run", ("R",), {"label": ""}, "PATCH /api/v1/runs/R", {"label": ""}),
    (
        "cancel_run",
        ("R",),
        {"reason": "x"},
        "POST /api/v1/runs/R/cancel",
        {"reason": "x", "grace_ms": 10_000, "force": False},
    ),
    ("rerun_run", ("R",), {}, "POST /api/v1/runs/R/rerun", {}),
    ("resume_run", ("R",), {}, "POST /api/v1/runs/R/resume", {}),
    ("archive_run", ("R",), {"reason": "x"}, "POST /api/v1/runs/R/archive", {"reason": "x"}),
    ("unarchive_run", ("R",), {}, "POST /api/v1/runs/R/unarchive", {"reason": ""}),
    ("hold_run", ("R",), {"reason": "x"}, "POST /api/v1/runs/R/hold", {"reason": "x"}),
    ("release_hold", ("R",), {}, "POST /api/v1/runs/R/release-hold", {"reason": ""}),
    ("purge_run", ("R",), {"reason": "x"}, "POST /api/v1/runs/R/purge", {"reason": "x"}),
    ("erase_run", ("R",), {"reason": "x"}, "POST /api/v1/runs/R/erase", {"reason": "x"}),
    (
        "archive_runs",
        (),
        {"older_than": "30d", "status": "failed", "label": "l"},
        "POST /api/v1/runs:archive",
        {"status": "failed", "label": "l", "older_than": "30d", "reason": "", "dry_run": False},
    ),
    (
        "purge_runs",
        (),
        {"older_than": "1d", "dry_run": True},
        "POST /api/v1/runs:purge",
        {"older_than": "1d", "reason": "", "dry_run": True},
    ),
    ("get_run_logs", ("R", 5, 10), {}, "GET /api/v1/runs/R/logs?limit=5&offset=10", None),
    ("run_task", ("R", "clean"), {}, "GET /api/v1/runs/R/tasks/clean", None),
    ("read_stream", ("R", "clean", "stderr"), {}, "GET /api/v1/runs/R/tasks/clean/stderr", None),
    ("read_stream", ("R", "clean"), {"item": 0}, "GET /api/v1/runs/R/tasks/clean/stdout?item=0", None),
    ("run_files", ("R",), {}, "GET /api/v1/runs/R/files", None),
    ("read_file", ("R", "d/a.txt"), {}, "GET /api/v1/runs/R/files/d/a.txt", None),
    ("run_lineage", ("R",), {}, "GET /api/v1/runs/R/lineage", None),
    (
        "lineage",
        ("00",),
        {"direction": "up", "depth": 3},
        "GET /api/v1/lineage?blob=00&direction=up&depth=3",
        None,
    ),
    ("run_audit", ("R",), {}, "GET /api/v1/runs/R/audit", None),
    ("get_blob", ("sha256:00",), {}, "GET /api/v1/blobs/sha256:00", None),
    ("put_blob", (b"x",), {}, "POST /api/v1/blobs", None),
    ("health", (), {}, "GET /api/v1/health", None),
    ("whoami", (), {}, "GET /api/v1/whoami", None),
    ("list_namespaces", (), {}, "GET /api/v1/namespaces", None),
    ("create_namespace", ("n",), {}, "POST /api/v1/namespaces", None),
    ("get_namespace", ("n",), {}, "GET /api/v1/namespaces/n", None),
    ("namespace_audit", ("n",), {}, "GET /api/v1/namespaces/n/audit", None),
    (
        "grant_role",
        ("n", "group:a b", "viewer"),
        {},
        "PUT /api/v1/namespaces/n/roles/group:a b",
        {"role": "viewer", "reason": ""},
    ),
    (
        "revoke_role",
        ("n", "user:a", "viewer"),
        {"reason": "x"},
        "DELETE /api/v1/namespaces/n/roles/user:a?role=viewer&reason=x",
        None,
    ),
    ("list_groups", (), {}, "GET /api/v1/groups", None),
    ("set_group", ("g", ["user:a"]), {}, "PUT /api/v1/groups/g", {"members": ["user:a"], "reason": ""}),
    ("list_tokens", (), {}, "GET /api/v1/tokens", None),
    ("revoke_token", ("t",), {}, "DELETE /api/v1/tokens/t", None),
]


@pytest.mark.parametrize("case", CALLS, ids=lambda case: case[0])
def test_where_each_call_goes(ask: Ask, case: tuple[str, tuple[Any, ...], dict[str, Any], str, Any]) -> None:
    name, args, kwargs, line, body = case
    app = Scripted(Answer(document=DOCUMENT | {"step": "s"}))
    getattr(ask(app), name)(*args, **kwargs)
    sent = app.asked[0]
    assert f"{sent.method} {sent.path}{'?' if sent.query else ''}{sent.query}" == line
    if body is not None:
        assert sent.document == body


def test_cancelling_what_has_ended_otherwise(ask: Ask) -> None:
    with pytest.raises(AlreadyEnded):
        ask(Scripted(problem(409, "already_ended"))).cancel_run("R")
