"""`/runs/{id}`: one run. What went wrong stands first, then the steps, then what went in and what came out."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from runnotary.core.errors import RunnotaryError
from runnotary.core.permissions import Action
from runnotary.core.states import OPEN, TERMINAL, State
from runnotary.core.words import is_file
from runnotary.web import shown
from runnotary.web.answers import Answer
from runnotary.web.asked import address
from runnotary.web.visit import DEFAULT_NAMESPACE, Visit

Json = Any
TASKS_SHOWN: Final = 100
TASKS_EVER: Final = 2_000
FAILURES_SHOWN: Final = 3
FAILURE_LINES: Final = {"stderr": 20, "stdout": 8}
LIVE_LINES: Final = 12
LIVE_SHOWN: Final = 4
FILES_SHOWN: Final = 100
ENTRIES_SHOWN: Final = 30
LOGS: Final = ("stdout", "stderr")


def run(visit: Visit) -> Answer:
    """Show one run."""
    who, operations = visit.known(), visit.operations
    document = operations.run(who, visit.asked.params["run"])
    run_id = document["id"]
    tasks = operations.tasks(who, run_id)["tasks"]
    files = operations.files(who, run_id)["files"]
    entries = operations.entries(who, run_id, limit=ENTRIES_SHOWN)
    rights = visit.rights(document)
    is_open = State(document["status"]) in OPEN
    failed = failed_tasks(tasks)
    listed, more_tasks = chosen_tasks(tasks, everything=bool(visit.asked.word("all")))
    return visit.page(
        "run_live.html" if visit.asked.live else "run.html",
        run=document,
        open=is_open,
        may={"cancel": is_open and Action.CANCEL in rights, "start": visit.may(Action.START)},
        flow_address=flow_address(document),
        previous=document["previous_run"],
        parent=(document["parent"] or {}).get("run"),
        failures=[failure(visit, document, task) for task in failed[:FAILURES_SHOWN]],
        more_failures=max(0, len(failed) - FAILURES_SHOWN),
        wrong="" if failed or not document["error"] else document["error"]["message"],
        tasks=[row(document, task, visit.now) | live_tails(visit, document, task) for task in listed],
        more_tasks=more_tasks,
        inputs=named(document["id"], document["inputs"]),
        outputs=named(document["id"], document["outputs"]),
        files=[
            file | {"address": content_address(run_id, file["blob"])}
            for file in shown_files(files)[:FILES_SHOWN]
        ],
        more_files=max(0, len(shown_files(files)) - FILES_SHOWN),
        entries=entries["entries"],
        log_more=entries["has_next"],
    )


# --- steps -----------------------------------------------------------------------------------------


def failed_tasks(tasks: Iterable[Json]) -> list[Json]:
    """Return the tasks that failed by themselves: of a `for_each` step its tasks, not the step."""
    failed = [task for task in tasks if task["status"] == "failed" and task["reason"] != "upstream_failed"]
    divided = {task["step"] for task in failed if task["index"] is not None}
    return [task for task in failed if task["index"] is not None or task["step"] not in divided]


def chosen_tasks(tasks: list[Json], *, everything: bool) -> tuple[list[Json], int]:
    """Return the tasks to show, the failed and the open ones in any case, and how many are left out."""
    most = TASKS_EVER if everything else TASKS_SHOWN
    if len(tasks) <= most:
        return tasks, 0
    weighty = {State.FAILED, State.RUNNING, State.WAITING}
    first = sorted(range(len(tasks)), key=lambda at: (tasks[at]["status"] not in weighty, at))[:most]
    return [tasks[at] for at in sorted(first)], len(tasks) - most


def row(document: Json, task: Json, now: int) -> dict[str, Json]:
    """Return a task as a row of the table."""
    attempts = task["attempts"]
    ended = task["ended_at"] or (document["ended_at"] if attempts else None)
    return {
        **{name: task.get(name) for name in ("key", "index", "status", "progress")},
        "address": step_address(document["id"], task["key"]),
        "tries": len(attempts) if len(attempts) > 1 else 0,
        "began": task["started_at"],
        "ended": ended,
        "bar": bar(document, task["started_at"], ended, now),
        "note": note(task),
        "variables": list(task["variables"].items())[:8] if task["status"] == "success" else [],
    }


def note(task: Json) -> str:
    """Say why a task ended as it did, or what it waits for."""
    if task["error"]:
        return str(task["error"]["message"])
    if task["status"] in TERMINAL:
        return task["reason"] or "" if task["reason"] != task["status"] else ""
    if task.get("due"):
        return f"waits until {shown.moment(task['due'])}"
    return f"{task['count']} tasks" if task.get("count") is not None else ""


def bar(document: Json, began: str | None, ended: str | None, now: int) -> tuple[float, float] | None:
    """Return where a task stands in the time of its run, in percent: begin and width."""
    start, begin = shown.microseconds(document["started_at"]), shown.microseconds(began)
    if start is None or begin is None:
        return None
    end = shown.microseconds(ended) or now
    whole = max(1, (shown.microseconds(document["ended_at"]) or now) - start)
    left = min(99.2, max(0.0, 100 * (begin - start) / whole))
    return round(left, 2), round(min(100 - left, max(0.8, 100 * (end - begin) / whole)), 2)


def failure(visit: Visit, document: Json, task: Json) -> Json:
    """Return what there is to say about a task that failed: the message, then the last it printed."""
    last = task["attempts"][-1] if task["attempts"] else {}
    tails = [tail_of(visit, document, task, kind, FAILURE_LINES[kind]) for kind in ("stderr", "stdout")]
    return {
        "key": task["key"],
        "address": step_address(document["id"], task["key"]),
        "message": (task["error"] or {}).get("message") or task["reason"] or "failed",
        "exit_code": last.get("exit_code"),
        "tails": [tail for tail in tails if tail],
    }


def live_tails(visit: Visit, document: Json, task: Json) -> dict[str, list[shown.Tail]]:
    """Return the last lines of a step that is printing now."""
    if task["status"] != "running" or not task["attempts"]:
        return {"tails": []}
    tails = [tail_of(visit, document, task, kind, LIVE_LINES) for kind in LOGS]
    return {"tails": [tail for tail in tails if tail]}


def tail_of(visit: Visit, document: Json, task: Json, kind: str, lines: int) -> shown.Tail | None:
    """Return the last lines of what the newest attempt of a task printed; None if it printed nothing."""
    attempt = task["attempts"][-1] if task["attempts"] else {}
    log = attempt.get(kind)
    if attempt.get("status") == "running":
        source = visit.operations.output(visit.known(), document["id"], task["key"], kind)
        return printing(kind, source.path, lines) if source.path else None
    if not log or not log.get("blob"):
        return None
    try:
        return shown.tail(kind, visit.operations.reader.blobs.get(log["blob"]), lines, total=log["size"])
    except RunnotaryError as wrong:
        return shown.Tail(kind, (f"(cannot be shown: {wrong.message})",), 0, log["size"])


def printing(kind: str, path: Path, lines: int) -> shown.Tail | None:
    """Return the last lines of a stream that is being written; what lies there is no link and no pipe."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            whole = file.seek(0, os.SEEK_END)
            file.seek(max(0, whole - shown.TAIL_BYTES))
            data = file.read(shown.TAIL_BYTES)
    except OSError:
        return None
    return shown.tail(kind, data, lines, total=whole) if data else None


# --- values and files ------------------------------------------------------------------------------


def named(run_id: str, values: dict[str, Json] | None) -> list[Json]:
    """Return inputs or outputs, those that are files with where they can be had."""
    return [
        {"name": name, "value": value, "address": content_address(run_id, blob_of(value))}
        for name, value in (values or {}).items()
    ]


def blob_of(value: Json) -> str:
    """Return the digest of a file value; nothing for a directory, which is many files."""
    return value.get("$file", "") if is_file(value) else ""


def shown_files(files: list[Json]) -> list[Json]:
    """Return the files that the table shows: what came in, what came out, then the code; logs stand with steps."""
    order = {"output": 0, "input": 1, "code": 2}
    return sorted((file for file in files if file["role"] in order), key=lambda file: order[file["role"]])


# --- addresses -------------------------------------------------------------------------------------


def step_address(run_id: str, key: str) -> str:
    """Return where a task has its own page."""
    return f"/runs/{run_id}/steps/{quote(key, safe='')}"


def content_address(run_id: str, blob: str) -> str:
    """Return where a file of a run can be had; nothing if there is no one file."""
    return f"/runs/{run_id}/files/{quote(blob, safe=':')}" if blob else ""


def flow_address(document: Json) -> str:
    """Return where the flow of a run has its page; nothing for a run of an unnamed definition."""
    if not document["flow"]:
        return ""
    namespace = "" if document["namespace"] == DEFAULT_NAMESPACE else document["namespace"]
    return address(f"/flows/{quote(document['flow'], safe='')}", {"namespace": namespace})
