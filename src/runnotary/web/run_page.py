"""`/runs/{id}`: one run. What went wrong stands first, then the steps, what went in, what came out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from runnotary.core import events as ev
from runnotary.core.permissions import Action
from runnotary.core.states import OPEN, TERMINAL, State
from runnotary.core.words import are_files, blob_of, is_file
from runnotary.engine.approvals import ApprovalQuery
from runnotary.web import addresses, shown
from runnotary.web.answers import Answer
from runnotary.web.printed import STREAMS, printed
from runnotary.web.visit import Visit

Json = Any
TASKS_SHOWN: Final = 100
TASKS_EVER: Final = 2_000
FAILURES_SHOWN: Final = 3
FAILURE_LINES: Final = {"stderr": 20, "stdout": 8}
LIVE_LINES: Final = 12
LIVE_SHOWN: Final = 4
FILES_SHOWN: Final = 100
REQUESTS_SHOWN: Final = 10
ENTRIES_SHOWN: Final = 25
ENTRIES_READ: Final = 200
EVENTS: Final = " ".join(sorted(ev.NAMES.values()))
"""What a stream may tell: a browser listens to each kind by its name."""
REPORTED: Final = ev.NAMES[ev.TaskReported]


def run(visit: Visit) -> Answer:
    """Show one run."""
    who, operations = visit.known(), visit.operations
    document = operations.run(who, visit.asked.params["run"])
    run_id = document["id"]
    tasks = operations.tasks(who, run_id)["tasks"]
    files = operations.files(who, run_id)["files"]
    entries, earlier = last_entries(visit, document)
    rights = visit.rights(document)
    is_open = State(document["status"]) in OPEN
    may_start = visit.may(Action.START, document["namespace"])
    failed = failed_tasks(tasks)
    requests, more_requests = waiting_requests(visit, document)
    listed, more_tasks = chosen_tasks(tasks, everything=bool(visit.asked.word("all")))
    return visit.page(
        "run_live.html" if visit.asked.live else "run.html",
        run=document,
        open=is_open,
        may={"cancel": is_open and Action.CANCEL in rights, "start": may_start},
        flow_address=addresses.of_flow(document["flow"], document["namespace"]),
        previous=document["previous_run"],
        parent=(document["parent"] or {}).get("run"),
        failures=[failure(visit, document, task) for task in failed[:FAILURES_SHOWN]],
        requests=requests,
        more_requests=more_requests,
        more_failures=max(0, len(failed) - FAILURES_SHOWN),
        wrong="" if failed else went_wrong(document),
        tasks=rows(visit, document, listed),
        more_tasks=more_tasks,
        inputs=named(document["id"], document["inputs"]),
        outputs=named(document["id"], document["outputs"]),
        files=[
            file | {"address": addresses.of_file(run_id, file["blob"])}
            for file in shown_files(files)[:FILES_SHOWN]
        ],
        more_files=max(0, len(shown_files(files)) - FILES_SHOWN),
        entries=entries,
        earlier=earlier,
        events=EVENTS,
    )


def asked_of(request: Json) -> Json:
    """Return a request with the addresses of what it is about."""
    return request | {
        "values": named(request["run"], _each_file(request["shown"])),
        "address": addresses.of_step(request["run"], request["task"]),
        "answer": f"{addresses.of_step(request['run'], request['task'])}/answer",
        "run_address": addresses.of_run(request["run"]),
        "place": f"request-{request['run']}-{request['task']}",
    }


def _each_file(values: dict[str, Json]) -> dict[str, Json]:
    """Return the values with the files of a list one by one: each can be looked at before the answer."""
    found: dict[str, Json] = {}
    for name, value in values.items():
        if are_files(value):
            found |= {f"{name}[{at}]": file for at, file in enumerate(value[:FILES_SHOWN])}
            if len(value) <= FILES_SHOWN:
                continue
            value = value[FILES_SHOWN:]
        found[name] = value
    return found


def waiting_requests(visit: Visit, document: Json) -> tuple[list[Json], bool]:
    """Return what a run asks people now, and whether there is more of it."""
    if not document["tasks"].get(State.WAITING):
        return [], False
    query = ApprovalQuery(run=document["id"], status=(State.WAITING,))
    page = visit.operations.approvals.listing(visit.known(), query, limit=REQUESTS_SHOWN)
    return [asked_of(one) for one in page["approvals"]], page["has_next"]


def went_wrong(document: Json) -> str:
    """Say why a run failed, if it did: somebody's reason to cancel one is nothing that went wrong."""
    return document["error"]["message"] if document["status"] == State.FAILED and document["error"] else ""


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


def rows(visit: Visit, document: Json, tasks: list[Json]) -> list[dict[str, Json]]:
    """Return tasks as rows of the table, with the newest output of the first few that run."""
    running = [task["key"] for task in tasks if task["status"] == "running" and task["attempts"]]
    tailed = set(running[:LIVE_SHOWN])
    return [
        row(document, task | _span(task, tasks), visit.now)
        | {"tails": live_tails(visit, document, task) if task["key"] in tailed else []}
        for task in tasks
    ]


def _span(task: Json, tasks: list[Json]) -> dict[str, Json]:
    """Return since when a `for_each` step is at work: since the first of its tasks."""
    if task.get("count") is None:
        return {}
    begun = [one["started_at"] for one in tasks if one["step"] == task["step"] and one["started_at"]]
    return {"started_at": min(begun, default=task["started_at"])}


def row(document: Json, task: Json, now: int) -> dict[str, Json]:
    """Return a task as a row of the table."""
    attempts = task["attempts"]
    ended = task["ended_at"] or (document["ended_at"] if attempts else None)
    return {
        **{name: task.get(name) for name in ("key", "index", "status")},
        "progress": task["progress"] if task["status"] in OPEN else None,
        "address": addresses.of_step(document["id"], task["key"]),
        "tries": len(attempts) if len(attempts) > 1 else 0,
        "began": task["started_at"],
        "ended": ended,
        "bar": bar(document, task["started_at"], ended, now),
        "note": note(task),
        "variables": list(task["variables"].items())[:8] if task["status"] == "success" else [],
    }


def note(task: Json) -> str:
    """Say why a task ended as it did, or what it waits for."""
    asked = task["approval"]
    if asked and asked["decisions"] and task["status"] != State.FAILED:
        last = asked["decisions"][-1]
        return f"{last['decision']} by {last['by']}" + (f": {last['reason']}" if last["reason"] else "")
    if asked and task["status"] == State.WAITING:
        return str(asked["prompt"])
    if task["status"] in TERMINAL:
        reason = "" if task["reason"] in (None, "error", task["status"]) else task["reason"]
        message = (task["error"] or {}).get("message", "")
        return ": ".join(part for part in (reason, message) if part)
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
    tails = [printed(visit, document["id"], task, kind, FAILURE_LINES[kind]) for kind in reversed(STREAMS)]
    return {
        "key": task["key"],
        "address": addresses.of_step(document["id"], task["key"]),
        "message": (task["error"] or {}).get("message") or task["reason"] or "failed",
        "tails": [tail for tail in tails if tail],
    }


def live_tails(visit: Visit, document: Json, task: Json) -> list[shown.Tail]:
    """Return the last lines of a step that is printing now."""
    tails = [printed(visit, document["id"], task, kind, LIVE_LINES) for kind in STREAMS]
    return [tail for tail in tails if tail]


def last_entries(visit: Visit, document: Json) -> tuple[list[Json], bool]:
    """Return the end of the log without what steps report of themselves, and whether there is more."""
    offset = max(0, document["log"]["events"] - ENTRIES_READ)
    found = visit.operations.entries(visit.known(), document["id"], limit=ENTRIES_READ, offset=offset)
    said = _told(found)
    if offset and len(said) < ENTRIES_SHOWN:  # it reported much lately; then how it began stands before
        begun = visit.operations.entries(visit.known(), document["id"], limit=min(offset, ENTRIES_READ))
        said = _told(begun)[: ENTRIES_SHOWN - len(said)] + said
    return said[-ENTRIES_SHOWN:], offset > 0 or len(said) > ENTRIES_SHOWN


def _told(page: Json) -> list[Json]:
    return [entry for entry in page["entries"] if entry["code"] != REPORTED]


# --- values and files ------------------------------------------------------------------------------


def named(run_id: str, values: dict[str, Json] | None) -> list[Json]:
    """Return inputs or outputs, those that are files or folders with where they are shown."""
    return [
        {
            "name": name,
            "value": value,
            "address": addresses.of_file(run_id, blob_of(value)) if is_file(value) else "",
        }
        for name, value in (values or {}).items()
    ]


def shown_files(files: list[Json]) -> list[Json]:
    """Return what the table shows: what came out, what came in, then the code; logs stand with the steps."""
    order = {"output": 0, "input": 1, "code": 2}
    return sorted((file for file in files if file["role"] in order), key=lambda file: order[file["role"]])
