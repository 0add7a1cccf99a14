"""The pages below a run: a step with its attempts, the whole log."""

from __future__ import annotations

import shlex
from typing import Any, Final

from runnotary.core import words
from runnotary.core.states import OPEN, State
from runnotary.web import addresses, shown
from runnotary.web.answers import Answer
from runnotary.web.printed import STREAMS, printed
from runnotary.web.run_page import EVENTS, asked_of, note
from runnotary.web.visit import Visit

Json = Any
LINES_SHOWN: Final = 400
ENTRIES_SHOWN: Final = 200
NUMBER_LETTERS: Final = 6


# --- a step ----------------------------------------------------------------------------------------


def step(visit: Visit) -> Answer:
    """Show a task: what its attempts executed and printed, the newest first."""
    who, asked = visit.known(), visit.asked
    document = visit.operations.run(who, asked.params["run"])
    task = visit.operations.task(who, document["id"], asked.params["task"])
    attempts = task["attempts"]
    wanted = asked.word("attempt")
    said = int(wanted) if wanted.isdecimal() and len(wanted) <= NUMBER_LETTERS else 0
    number = said if 0 < said <= len(attempts) else len(attempts)
    return visit.page(
        "step_live.html" if asked.live else "step.html",
        run=document,
        task=task,
        note=note(task),
        open=State(task["status"]) in OPEN and State(document["status"]) in OPEN,
        flow_address=addresses.of_flow(document["flow"], document["namespace"]),
        events=EVENTS,
        approval=_asked(visit, document, task),
        attempt=_attempt(visit, document["id"], task, number) if attempts else None,
        others=[
            {
                "number": one["number"],
                "status": one["status"],
                "address": addresses.of_step(document["id"], task["key"], one["number"]),
                "chosen": one["number"] == number,
            }
            for one in attempts
        ],
    )


def _asked(visit: Visit, document: Json, task: Json) -> Json:
    """Return what a step asks people, as this visitor may answer it; None if it asks nothing."""
    if task["approval"] is None:
        return None
    return asked_of(visit.operations.approvals.one(visit.known(), document["id"], task["key"]))


def _attempt(visit: Visit, run_id: str, task: Json, number: int) -> Json:
    """Return an attempt with everything that is shown of it."""
    attempt = task["attempts"][number - 1]
    streams = []
    for stream in reversed(STREAMS):
        tail = printed(visit, run_id, task, stream, LINES_SHOWN, number=number)
        if tail:
            where = addresses.of_stream(run_id, task["key"], stream, number)
            streams.append({"tail": tail, "address": where})
    return {
        **attempt,
        **_command(attempt["command"]),
        "facts": _facts(attempt, visit.now),
        "streams": streams,
        "inputs": _files(run_id, attempt["inputs"]),
        "outputs": _files(run_id, attempt.get("outputs") or {}),
        "variables": list((attempt.get("variables") or {}).items()),
        "with": list(attempt["with"].items()),
        "environment": list((attempt["environment"].get("values") or {}).items()),
        "secrets": attempt["environment"].get("secrets") or [],
    }


def _command(words: list[str]) -> dict[str, str]:
    """Return what was executed: the arguments on one line, and a script that a shell got as its last one."""
    if len(words) > 2 and words[-2] == "-c":
        return {"arguments": shlex.join(words[:-1]), "script": words[-1].rstrip()}
    return {"arguments": shlex.join(words), "script": ""}


def _facts(attempt: Json, now: int) -> list[tuple[str, str]]:
    """Return what the record says about an attempt, as name and text."""
    usage = attempt.get("usage") or {}
    exit_code, signal = attempt.get("exit_code"), attempt.get("signal")
    took = shown.took(attempt.get("started_at"), attempt.get("ended_at"), now)
    facts = [
        ("Exit", f"signal {signal}" if signal else str(exit_code) if exit_code is not None else ""),
        ("Why", attempt.get("reason") or ""),
        ("Started", shown.moment(attempt.get("started_at") or attempt["intent_at"])),
        ("Took", took),
        ("Processor", f"{usage['cpu_s']:.2f} s" if usage.get("cpu_s") is not None else ""),
        ("Memory", shown.size(usage["max_rss_bytes"]) if usage.get("max_rss_bytes") else ""),
        ("Host", str(attempt.get("host") or "")),
        ("Process", str(attempt.get("pid") or "")),
        ("Tries again", shown.moment(attempt.get("retry_at"))),
        ("Attempt", attempt["id"]),
    ]
    return [(name, text) for name, text in facts if text]


def _files(run_id: str, values: dict[str, Json]) -> list[Json]:
    """Return files by name, each with where it is shown; a list of files takes a row for each."""
    found = []
    for name, value in values.items():
        for one in value if isinstance(value, list) else [value]:
            blob = one["blob"] if "blob" in one else words.blob_of(one)
            found.append(
                {
                    "name": name,
                    "path": one.get("name", name),
                    "size": one.get("size"),
                    "address": addresses.of_file(run_id, blob),
                }
            )
    return found


# --- the log ---------------------------------------------------------------------------------------


def log(visit: Visit) -> Answer:
    """Show the entries of a run's log from the beginning, page by page."""
    who, asked = visit.known(), visit.asked
    document = visit.operations.run(who, asked.params["run"])
    page = visit.operations.entries(who, document["id"], limit=ENTRIES_SHOWN, page=asked.word("cursor"))
    here = f"{addresses.of_run(document['id'])}/log"
    return visit.page(
        "log.html",
        run=document,
        flow_address=addresses.of_flow(document["flow"], document["namespace"]),
        entries=page["entries"],
        first=here if asked.word("cursor") else "",
        later=addresses.address(here, {"cursor": page["next_cursor"]}) if page["has_next"] else "",
    )
