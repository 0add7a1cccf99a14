"""Requests about what a run left behind: tasks, files, lineage, audit, blobs."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from runnotary.client.request import API, Answer, Request, get, segment
from runnotary.client.results import RunFile, Task, json_of, many_of, one_of

Json = Any


def _bytes(answer: Answer) -> bytes:
    return answer.body


def _json(answer: Answer) -> Json:
    return json_of(answer.body)


def tasks(run_id: str) -> Request[list[Task]]:
    """Ask for all tasks of a run with their attempts."""
    return get(
        f"/runs/{segment(run_id)}/tasks", lambda answer: many_of(Task, json_of(answer.body).get("tasks"))
    )


def task(run_id: str, name: str, item: int | None = None) -> Request[Task]:
    """Ask for one task by its id or by the name of its step; `item` chooses among several, from 0."""
    path = f"/runs/{segment(run_id)}/tasks/{segment(name)}"
    return get(path, lambda answer: one_of(Task, json_of(answer.body)), params={"item": item})


def stream(run_id: str, name: str, which: str, item: int | None = None) -> Request[bytes]:
    """Ask for what a task wrote: `stdout` or `stderr`."""
    path = f"/runs/{segment(run_id)}/tasks/{segment(name)}/{segment(which)}"
    return get(path, _bytes, params={"item": item})


def files(run_id: str) -> Request[list[RunFile]]:
    """Ask which files a run took and made."""
    return get(
        f"/runs/{segment(run_id)}/files", lambda answer: many_of(RunFile, json_of(answer.body).get("files"))
    )


def file(run_id: str, name: str) -> Request[bytes]:
    """Ask for the content of a file of a run; a name may be a path."""
    return get(f"/runs/{segment(run_id)}/files/{quote(name)}", _bytes)


def lineage(run_id: str) -> Request[Json]:
    """Ask what came from what in a run."""
    return get(f"/runs/{segment(run_id)}/lineage", _json)


def across(blob: str, direction: str, depth: int) -> Request[Json]:
    """Ask which runs made a content and which used it, and on from there."""
    return get("/lineage", _json, params={"blob": blob, "direction": direction, "depth": depth})


def audit(run_id: str) -> Request[list[dict[str, Json]]]:
    """Ask for the events of a run as the record holds them."""
    return get(f"/runs/{segment(run_id)}/audit", lambda answer: list(json_of(answer.body)["events"]))


def blob(digest: str) -> Request[bytes]:
    """Ask for bytes by their hash."""
    return get(f"/blobs/{segment(digest)}", _bytes)


def keep(data: bytes) -> Request[dict[str, Json]]:
    """Keep bytes; the answer says under which hash. The same bytes twice are kept once."""
    headers = {"content-type": "application/octet-stream"}
    return Request("POST", f"{API}/blobs", _json, (), headers, data, repeatable=True)


def export(run_id: str, form: str) -> Request[bytes]:
    """Ask for a run as a file; it may be long, so `Connection.save` takes it."""
    return get(f"/runs/{segment(run_id)}/export", _bytes, params={"format": form})
