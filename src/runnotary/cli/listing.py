"""`run list`, `run tasks`, `run metrics` and `run audit`: tables of runs, tasks, numbers and events."""

from __future__ import annotations

from argparse import Namespace
from datetime import datetime
from typing import Any

from runnotary.app.listing import FILTERS, PAGING, pages
from runnotary.app.records import INTERRUPTED, Reader, has_engine, reading, shown_status
from runnotary.cli import words
from runnotary.cli.asked import settings_of
from runnotary.cli.output import Page, Part, emit
from runnotary.cli.steps import chosen_tasks, states_of, task_rows
from runnotary.cli.wording import told
from runnotary.config import Settings
from runnotary.core.errors import InvalidInput
from runnotary.core.events import TaskEnded, TaskReported
from runnotary.core.rows import RunRow
from runnotary.core.states import OPEN, State

Json = Any
DEFAULT_LIMIT = 20


def runs(args: Namespace) -> int:
    """List runs, newest first."""
    settings = settings_of(args)
    most = None if args.all else args.limit or DEFAULT_LIMIT
    found: list[Json] = []
    ends: Json = {"has_next": False, "next_cursor": None} | ({"total": 0} if args.total else {})
    asked = _words(args, settings)
    for answer in [] if asked is None else pages(settings, asked, most):
        found += answer.pop("runs")
        ends |= answer
    for document in found:
        document["status"] = shown_status(document["status"], settings)
    page = {"runs": found, **ends}
    emit(args.format, page, lambda: _write_runs(page, most), each=found)
    return 0


def _words(args: Namespace, settings: Settings) -> dict[str, Json] | None:
    """Return the words of the listing that is asked for; None if nothing can be in it.

    Raises:
        InvalidInput: a state that there is not.
    """
    said = {name: value for name in FILTERS | PAGING if (value := getattr(args, name, None))}
    said.pop("limit", None)
    said["status"] = _states(args.status, settings)
    return None if args.status and not said["status"] else said


def _states(asked: list[str], settings: Settings) -> list[str]:
    """Return the recorded states that are shown as those asked for."""
    states = [state for text in asked for state in text.split(",") if state]
    allowed = [*State, INTERRUPTED]
    if wrong := [state for state in states if state not in allowed]:
        raise InvalidInput(f"--status {wrong[0]}: there are {', '.join(allowed)}")
    if states and not has_engine(settings):
        states = [state for state in states if state not in OPEN] + [*OPEN] * (INTERRUPTED in states)
    return [state for state in states if state != INTERRUPTED]


def _write_runs(answer: Json, most: int | None) -> None:
    page = Page()
    if not answer["runs"]:
        page.line(("no runs", words.DIM))
    table: list[list[Part]] = []
    for document in answer["runs"]:
        status = document["status"]
        times = (words.microseconds(document[at]) for at in ("started_at", "ended_at"))
        marks = [mark for mark, shown in (("archived", "archived_at"), ("held", "held")) if document[shown]]
        table.append(
            [
                words.short(document["id"]),
                words.visible(document["flow"] or "") or "–",
                (status, words.STYLES[status]),
                when(document["created_at"]),
                words.took(*times),
                " ".join([words.visible(document["label"] or ""), *(f"({mark})" for mark in marks)]).strip(),
            ]
        )
    page.table(table, ("RUN", "FLOW", "STATUS", "STARTED", "TOOK", "LABEL"), right="4")
    if "total" in answer:
        page.line((f"{words.plural(answer['total'], 'run')} in all", words.DIM))
    if answer["has_next"] and most is not None:
        page.line(("more: ", words.DIM), f"--limit {most * 10}, --all, or --cursor {answer['next_cursor']}")


def when(time: str | None) -> str:
    """Write the time of a document as this machine's date and time of day; nothing if there is none."""
    return datetime.fromisoformat(time).astimezone().strftime("%Y-%m-%d %H:%M:%S") if time else ""


def tasks(args: Namespace) -> int:
    """List the tasks of a run, or of one of its steps."""
    with reading(settings_of(args)) as reader:
        row = reader.resolve(args.run)
        everything = reader.tasks(row)
        flow = reader.flow_of(row.definition)
    found = chosen_tasks(everything, args.step)
    rows = task_rows(found, flow, states_of(everything))
    headers = ("TASK", "STATUS", "TOOK", "TRY", "")
    emit(args.format, found, lambda: Page().table(rows, headers, right="2"), each=found, key="key")
    return 0


def metrics(args: Namespace) -> int:
    """List what the steps of a run reported: the last value of each name, also while it goes on."""
    last: dict[str, Json] = {}
    with reading(settings_of(args)) as reader:
        for entry in reader.history(reader.resolve(args.run)):
            if isinstance(entry.event, TaskReported | TaskEnded):
                for name, value in entry.event.metrics.items():
                    last[name] = {"name": name, "value": value, "task": entry.event.key}
    found = [last[name] for name in sorted(last)]
    values = {one["name"]: one["value"] for one in found}
    rows: list[list[Part]] = [
        [words.visible(one["name"]), words.value(one["value"]), (one["task"], words.DIM)] for one in found
    ]
    headers = ("METRIC", "VALUE", "TASK")
    emit(args.format, values, lambda: Page().table(rows, headers, right="1"), each=found, key="name")
    return 0


def audit(args: Namespace) -> int:
    """List every event of a run, and the head of their chain."""
    with reading(settings_of(args)) as reader:
        row = reader.resolve(args.run)
        events = _events(reader, row)
        document = reader.document(row)
    for event in events:
        event["run"] = document["id"]
    answer = {"run": document["id"], "events": events, "log": document["log"]}
    emit(args.format, answer, lambda: _write_audit(answer), each=events, key="type")
    return 0


def _events(reader: Reader, row: RunRow) -> list[Json]:
    flow = reader.flow_of(row.definition)
    listed = reader.audit(row)
    for entry, recorded in zip(listed, reader.history(row), strict=True):
        by = entry["details"].get("by")
        entry["who"] = by["principal"] if by else "engine"
        entry["description"] = "; ".join(str(one) for one in told(recorded, flow))
    return listed


def _write_audit(answer: Json) -> None:
    page = Page()
    table: list[list[Part]] = [
        [
            str(event["seq"]),
            (event["time"][11:-1], words.DIM),
            event["type"],
            words.visible(event["who"]),
            event["description"],
        ]
        for event in answer["events"]
    ]
    page.table(table, right="0")
    page.line((f"head {answer['log']['head']}", words.DIM))
