"""Tasks of a run: which are meant, and one row for each."""

from __future__ import annotations

from typing import Any

from runnotary.cli import words
from runnotary.cli.output import Part
from runnotary.core.errors import TaskNotFound
from runnotary.core.findings import did_you_mean
from runnotary.core.flow import Flow, Step

Json = Any
BECAUSE = {"upstream_failed": ("failed", "cancelled", "skipped"), "upstream_skipped": ("skipped",)}


def chosen_tasks(tasks: list[Json], name: str | None) -> list[Json]:
    """Return the tasks that a step's name, a task's key or its id stands for; all without a name.

    Raises:
        TaskNotFound: none.
    """
    if name is None:
        return tasks
    found = [task for task in tasks if name in (task["key"], task["id"])]
    if not found or any(task["count"] for task in found if "count" in task):
        found = [task for task in tasks if task["step"] == name] or found
    if not found:
        steps = {task["step"] for task in tasks}
        near = did_you_mean(name, steps)
        raise TaskNotFound(
            f"no step {words.visible(name)} in this run{near}", hint=f"there are: {', '.join(sorted(steps))}"
        )
    return found


def task_rows(tasks: list[Json], flow: Flow, states: dict[str, str]) -> list[list[Part]]:
    """Return tasks as rows: key, state, time, tries, and what is worth saying. `states` are of all tasks."""
    return [_row(task, flow.steps[task["step"]], states) for task in tasks]


def states_of(tasks: list[Json]) -> dict[str, str]:
    """Return the state of every task by its key."""
    return {task["key"]: task["status"] for task in tasks}


def _row(task: Json, step: Step, states: dict[str, str]) -> list[Part]:
    status = task["status"]
    # One attempt took what its process took; several took all the time from the first to the last.
    timed = task["attempts"][0] if len(task["attempts"]) == 1 and task["ended_at"] else task
    started, ended = (words.microseconds(timed.get(at)) for at in ("started_at", "ended_at"))
    time = words.took(started, ended) if task["attempts"] or task["kind"] == "wait" else ""
    attempts = words.tries(len(task["attempts"]), step.retry.attempts) if task["attempts"] else ""
    style = "" if status == "success" else words.STYLES[status]
    return [task["key"], (status, words.STYLES[status]), time, attempts, (_remark(task, step, states), style)]


def _remark(task: Json, step: Step, states: dict[str, str]) -> str:
    """Return what a task has to say besides its state: values, or why it did not succeed."""
    status, reason = task["status"], task["reason"]
    if status == "success":
        count = words.plural(task["count"], "task") if task.get("count") is not None else ""
        return " ".join(part for part in (count, words.values(task["variables"]), reason or "") if part)
    if status == "failed":
        attempt = task["attempts"][-1] if task["attempts"] else {}
        if reason == "error" and attempt.get("exit_code") is not None:
            return f"exit {attempt['exit_code']}"
        if reason == "error" and attempt.get("signal") is not None:
            return f"signal {attempt['signal']}"
        message = words.visible((task["error"] or {}).get("message", ""))
        return message or reason or ""
    if status == "skipped" and reason in BECAUSE:
        return f"{reason}: {', '.join(name for name in step.needs if states.get(name) in BECAUSE[reason])}"
    if status == "waiting" and task.get("approval"):
        return words.visible(task["approval"]["prompt"])
    if status == "running" and task["progress"]:
        pct = task["progress"]["pct"]
        return f"{'' if pct is None else f'{pct}% '}{words.visible(task['progress']['message'])}".strip()
    return (reason or "") if reason != status else ""
