"""`run list`, `run tasks` and `run audit`: tables of runs, tasks and events."""

from __future__ import annotations

from argparse import Namespace
from datetime import UTC, datetime
from typing import Any

from runnotary.app.records import INTERRUPTED, Reader, reading, shown_status
from runnotary.cli import words
from runnotary.cli.asked import settings_of
from runnotary.cli.output import Page, Part, emit
from runnotary.cli.steps import chosen_tasks, states_of, task_rows
from runnotary.cli.wording import told
from runnotary.core.errors import InvalidInput
from runnotary.core.ids import to_text
from runnotary.core.rows import RunRow
from runnotary.core.states import OPEN, State
from runnotary.ports import RunQuery

Json = Any
DEFAULT_LIMIT = 20


def runs(args: Namespace) -> int:
    """List runs, newest first."""
    settings = settings_of(args)
    allowed = [*State, INTERRUPTED]
    if wrong := [status for status in args.status if status not in allowed]:
        raise InvalidInput(f"--status {wrong[0]}: there are {', '.join(allowed)}")
    limit = args.limit or DEFAULT_LIMIT
    with reading(settings) as reader:
        query = RunQuery(
            namespace=() if args.namespace == "*" else (args.namespace or "default",),
            flow=(args.flow,) if args.flow else (),
            status=tuple(OPEN if INTERRUPTED in args.status else ()) + tuple(args.status),
            label=args.label or "",
            tag=(args.tag,) if args.tag else (),
            after=(None, reader.resolve(args.cursor).id) if args.cursor else None,
            limit=limit + 1,
        )
        rows = reader.store.runs(query)
        statuses = {row.id: shown_status(row.status, settings) for row in rows}
        if args.status:
            rows = [row for row in rows if statuses[row.id] in args.status]
        page, more = rows[:limit], len(rows) > limit
        documents = (
            []
            if args.format in (None, "table", "name")
            else [{**reader.document(row), "status": statuses[row.id]} for row in page]
        )
    answer = {"runs": documents, "has_next": more, "next_cursor": to_text(page[-1].id) if more else None}
    names = [{"id": to_text(row.id)} for row in page]
    each = names if args.format == "name" else documents
    emit(args.format, answer, lambda: _write_runs(page, statuses, more), each=each)
    return 0


def _write_runs(rows: list[RunRow], statuses: dict[bytes, str], more: bool) -> None:
    page = Page()
    if not rows:
        page.line(("no runs", words.DIM))
    table: list[list[Part]] = []
    for row in rows:
        status = statuses[row.id]
        table.append(
            [
                words.short(to_text(row.id)),
                words.visible(row.flow) or "–",
                (status, words.STYLES[status]),
                moment(row.created_at),
                words.took(row.started_at, row.ended_at),
                words.visible(row.label),
            ]
        )
    page.table(table, ("RUN", "FLOW", "STATUS", "STARTED", "TOOK", "LABEL"), right="4")
    if more:
        page.line(("more: ", words.DIM), f"runnotary run list --cursor {words.short(to_text(rows[-1].id))}")


def moment(at: int) -> str:
    """Write a time as this machine's date and time of day."""
    return datetime.fromtimestamp(at / 1_000_000, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


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
