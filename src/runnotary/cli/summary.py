"""A run in a few lines: how it went, what it gave, what went wrong where, and what to do next."""

from __future__ import annotations

import sys
from typing import Any, Final

from runnotary.app.records import Reader
from runnotary.cli import words
from runnotary.cli.output import Page, Part
from runnotary.config import Settings
from runnotary.core.errors import RunnotaryError
from runnotary.core.states import TERMINAL

Json = Any
TAIL_LINES: Final = 5
TAIL_WIDTH: Final = 300
NEXT_WIDTH: Final = 74
OUTCOMES: Final = {"success": 0, "skipped": 0, "failed": 1, "cancelled": 8}


def exit_status(document: Json) -> int:
    """Return the exit status that stands for a run's end."""
    return OUTCOMES.get(document["status"], 1)


def outcome(document: Json) -> str:
    """Return `success`, `failed (timeout)`, `interrupted`."""
    status, reason = document["status"], document["reason"]
    return f"{status} ({reason})" if reason and reason != status else status


def duration(document: Json, now: int | None = None) -> str:
    """Return how long the run took, or has taken until now."""
    started = words.microseconds(document["started_at"] or document["created_at"])
    ended = words.microseconds(document["ended_at"]) or now
    return words.brief(max(0, ended - started)) if started and ended else ""


def conclude(page: Page, settings: Settings, reader: Reader, document: Json) -> None:
    """Write what a followed run came to."""
    status = document["status"]
    page.line(
        (outcome(document), words.STYLES.get(status, "")),
        f" {duration(document)}   run {document['id']}",
    )
    write_outputs(page, document)
    write_failures(page, reader, document)
    write_next(page, settings, reader, document)


def write_accepted(page: Page, document: Json) -> None:
    """Write that a run was accepted, and how to look at it."""
    run = words.short(document["id"])
    page.line(("accepted", words.STYLES["running"]), f"   run {document['id']}")
    page.line(("next: ", words.DIM), f"runnotary run watch {run} · runnotary run show {run}")


def write_outputs(page: Page, document: Json) -> None:
    """Write the outputs that there are, one per line."""
    outputs = {name: value for name, value in (document["outputs"] or {}).items() if value is not None}
    page.table([value_row(name, value) for name, value in outputs.items()])


def value_row(name: str, value: Json) -> list[Part]:
    """Return an input or an output as a row: name, value, and what else a file has."""
    named = (words.visible(name), words.DIM)
    if not words.is_file(value):
        return [named, words.value(value), "", ""]
    digest = (words.short_digest(words.blob_of(value)), words.DIM)
    return [named, words.visible(value["name"]), words.size(value["size"]), digest]


def write_failures(page: Page, reader: Reader, document: Json) -> None:
    """Write every failed step with the last lines it printed to stderr."""
    if document["status"] not in ("failed", "cancelled"):
        return
    failed = [task for task in failed_tasks(reader, document) if task["reason"] != "upstream_failed"]
    for task in failed[:3]:
        error = task["error"] or {}
        tail = last_lines(reader, task)
        message = words.visible(error.get("message") or task["reason"] or "failed")
        page.line((f"{task['key']}: ", words.BOLD), (message, "red"))
        for line in tail:
            page.line(("  | ", words.DIM), line)
    if len(failed) > 3:
        page.line(f"… and {len(failed) - 3} more failed")
    if not failed and document["error"]:
        page.line(("why: ", words.DIM), words.visible(document["error"]["message"]))


def failed_tasks(reader: Reader, document: Json) -> list[Json]:
    """Return the tasks that failed by themselves: of a `for_each` step its tasks, not the step."""
    tasks = [task for task in reader.tasks(reader.resolve(document["id"])) if task["status"] == "failed"]
    steps = {task["step"] for task in tasks if task["index"] is not None}
    return [task for task in tasks if task["index"] is not None or task["step"] not in steps]


def last_lines(reader: Reader, task: Json) -> list[str]:
    """Return the last lines of a task's stderr, or of its stdout if it has none."""
    for attempt in task["attempts"][-1:]:
        for kind in ("stderr", "stdout"):
            log = attempt.get(kind)
            if not log or not log.get("blob"):
                continue
            try:
                data = reader.blobs.get(log["blob"])
            except RunnotaryError as wrong:
                return [f"({kind} cannot be shown: {wrong.message})"]
            lines = data[-65536:].decode(errors="replace").rstrip().split("\n")
            return [_cut(words.visible_lines(line)) for line in lines[-TAIL_LINES:] if line.strip()]
    return []


def _cut(line: str) -> str:
    return line if len(line) <= TAIL_WIDTH else line[: TAIL_WIDTH - 1] + "…"


def write_next(page: Page, settings: Settings, reader: Reader, document: Json) -> None:
    """Write which commands make sense now. Each of them works here: `run shell` needs the files of a home."""
    commands = next_commands(reader, document)
    if settings.url:
        commands = [command for command in commands if not command.startswith("shell ")]
    line = " · ".join(f"runnotary run {command}" for command in commands)
    if commands and len(line) <= NEXT_WIDTH:
        page.line(("next: ", words.DIM), line)
        return
    for number, command in enumerate(commands):
        page.line(("      " if number else "next: ", words.DIM), f"runnotary run {command}")


def next_commands(reader: Reader, document: Json) -> list[str]:
    """Return the commands about a run that make sense as things stand, without `runnotary run`."""
    run, status = words.short(document["id"]), document["status"]
    if status not in TERMINAL:
        asks = asking(reader, document)
        return [*(f"approve {run} {key}" for key in asks[:2]), f"watch {run}", f"cancel {run}"]
    if status == "failed":
        failed = [task for task in failed_tasks(reader, document) if task["attempts"]]
        began = [task for task in failed if task["attempts"][-1].get("started_at")]
        if not began:
            return [f"show {run}"]
        key, last = began[0]["key"], began[0]["attempts"][-1]
        spoke = last.get("stdout") or last.get("stderr")
        return [*([f"logs {run} {key}"] if spoke else []), f"shell {run} {key}"]
    if any(words.is_file(value) for value in (document["outputs"] or {}).values()):
        return [f"files {run} --to DIR", f"lineage {run}"]
    return []


def asking(reader: Reader, document: Json) -> list[str]:
    """Return the tasks of a run that ask people something now."""
    if not document["tasks"].get("waiting"):
        return []
    tasks = reader.tasks(reader.resolve(document["id"]))
    return [task["key"] for task in tasks if task["approval"] and task["status"] == "waiting"]


def stderr_page() -> Page:
    """Return a page on stderr, for what is no data."""
    return Page(sys.stderr)
