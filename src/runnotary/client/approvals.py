"""Requests about what people are asked: what waits, and answers."""

from __future__ import annotations

from typing import Any

from runnotary.client.request import Answer, Request, get, segment, send
from runnotary.client.results import Approval, ApprovalPage, json_of, one_of

Json = Any


def _approval(answer: Answer) -> Approval:
    return one_of(Approval, json_of(answer.body))


def _page(answer: Answer) -> ApprovalPage:
    return one_of(ApprovalPage, json_of(answer.body))


def listing(words: dict[str, Json]) -> Request[ApprovalPage]:
    """Ask for a page of requests."""
    return get("/approvals", _page, params={name: value or None for name, value in words.items()})


def show(run_id: str, task: str) -> Request[Approval]:
    """Ask for one."""
    return get(f"/runs/{segment(run_id)}/tasks/{segment(task)}/approval", _approval)


def answer(run_id: str, task: str, verb: str, reason: str, shown_digest: str) -> Request[Approval]:
    """Approve or reject: `verb` says which. It is sent once; a second one would be told of the first."""
    path = f"/runs/{segment(run_id)}/tasks/{segment(task)}/{verb}"
    return send("POST", path, _approval, {"reason": reason, "shown_digest": shown_digest})
