"""Requests by the client: listed, shown, approved, rejected; of a server and of a home."""

from __future__ import annotations

from typing import Any

import pytest

from runnotary import AlreadyDecided, InvalidInput, NotWaiting, ShownOtherwise, TaskNotFound
from tests.client.conftest import Both
from tests.server.up import until


def asking(client: Both, word: str, **approve: Any) -> Any:
    """Start a run and return it once it asks."""
    gate = {"approve": {"prompt": f"{word}?", "show": {"word": word}, **approve}}
    steps = {"gate": gate, "b": {"set": {"x": 1}, "needs": ["gate"]}}
    client.register_flow({"flow": word[:100], "steps": steps})
    run = client.run_flow(word[:100])
    until(lambda: client.get_run(run.id).status == "waiting")
    return run


def test_a_request_is_approved(client: Both, word: str) -> None:
    run = asking(client, word)
    (request,) = client.list_approvals(flow=word[:100]).approvals
    assert (request.run, request.task, request.prompt) == (run.id, "gate", f"{word}?")
    assert request.shown == {"word": word}
    assert request.may_answer
    assert client.run_task(run.id, "gate").approval["shown_digest"] == request.shown_digest
    done = client.approve(run.id, "gate", reason="fine", shown_digest=request.shown_digest)
    assert (done.status, done.decisions[0]["reason"]) == ("approved", "fine")
    assert client.wait_for_run(run.id).status == "success"
    assert client.list_approvals(flow=word[:100]).approvals == []
    assert [one.status for one in client.list_approvals(run=run.id).approvals] == ["approved"]
    assert client.get_approval(run.id, "gate").raw["status"] == "approved"


def test_a_request_is_rejected(client: Both, word: str) -> None:
    run = asking(client, word)
    assert client.reject(run.id, "gate").status == "rejected"
    assert client.wait_for_run(run.id).reason == "denied"
    with pytest.raises(AlreadyDecided):
        client.approve(run.id, "gate")


def test_what_is_refused_is_told_apart(client: Both, word: str) -> None:
    run = asking(client, word)
    with pytest.raises(ShownOtherwise):
        client.approve(run.id, "gate", shown_digest="sha256:" + "0" * 64)
    with pytest.raises(NotWaiting):
        client.approve(run.id, "b")
    with pytest.raises(TaskNotFound):
        client.get_approval(run.id, "b")
    with pytest.raises(InvalidInput):
        client.list_approvals(status="approved")
    client.cancel_run(run.id)


def test_pages_of_requests(client: Both, word: str) -> None:
    runs = [asking(client, word).id for _ in range(3)]
    first = client.list_approvals(flow=word[:100], mine=True, limit=2)
    second = client.list_approvals(flow=word[:100], mine=True, limit=2, cursor=first.next_cursor)
    assert [one.run for one in (*first.approvals, *second.approvals)] == runs
    assert (first.has_next, second.has_next) == (True, False)
    for run in runs:
        client.cancel_run(run)
