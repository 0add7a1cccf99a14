"""How tasks without an attempt of their own end, and how a run ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from runnotary.core import approvals, scope
from runnotary.core import events as ev
from runnotary.core.expressions import EvaluationError
from runnotary.core.flow import Approve, Step
from runnotary.core.fold import catches
from runnotary.core.run import Group, Run, Task, key_of, split_key
from runnotary.core.states import Reason, State

Json = Any
Packed = Callable[[Json], tuple[Json, ev.Large | None]]


def settled(task: Task, step: Step) -> ev.TaskSettled:
    """Settle a task that has begun and has nothing left to wait for: a group, a timer, a caught failure."""
    if task.group is not None:
        return _group_settled(task, task.group)
    if task.attempt and step.catch is not None:
        return _caught(task.key, step, task.error)
    if step.approve is not None:
        return _answered(task, step, step.approve)
    return ev.TaskSettled((task.key,), State.SUCCESS)


def unplannable(step: Step, key: str, message: str) -> ev.TaskSettled:
    """Settle a task whose expressions have no value."""
    failure = ev.Failure("expression_failed", message, step=step.name)
    if catches(step, Reason.ERROR):
        return _caught(key, step, failure)
    return ev.TaskSettled((key,), State.FAILED, Reason.ERROR, error=failure)


def _answered(task: Task, step: Step, request: Approve) -> ev.TaskSettled:
    """Settle a request: approved by enough people, refused by one, or out of time."""
    reason, failure = approvals.unapproved(task, request)
    if failure is None:
        return ev.TaskSettled((task.key,), State.SUCCESS, values={"approved": True})
    if catches(step, reason):
        return _caught(task.key, step, failure)
    return ev.TaskSettled((task.key,), State.FAILED, reason, error=failure)


def _caught(key: str, step: Step, error: ev.Failure | None) -> ev.TaskSettled:
    assert step.catch is not None
    values = {"approved": False} if step.approve is not None else step.catch.values
    return ev.TaskSettled((key,), State.SUCCESS, Reason.CAUGHT, values=values, error=error)


def _group_settled(task: Task, group: Group) -> ev.TaskSettled:
    failed = group.states.get(State.FAILED, 0)
    if failed:
        named = ", ".join(key_of(task.key, visit) for visit in group.failed)
        more = ", …" if failed > len(group.failed) else ""
        message = f"{failed} of {group.count} failed: {named}{more}"
        failure = ev.Failure("tasks_failed", message, step=task.step)
        return ev.TaskSettled((task.key,), State.FAILED, Reason.ERROR, error=failure)
    if group.states.get(State.CANCELLED):
        return ev.TaskSettled((task.key,), State.CANCELLED, Reason.CANCELLED)
    return ev.TaskSettled((task.key,), State.SUCCESS)


def finished(run: Run, packed: Packed) -> ev.RunFinished:
    """Seal the outcome of a run whose steps are all over.

    Raises:
        NeedsLoad: an output needs the value of a blob first.
    """
    status, reason, error = _outcome(run)
    outputs: dict[str, Json] = {}
    for name, expression in run.flow.outputs.items():
        try:
            outputs[name] = scope.evaluate(run, expression, Task(""))
        except EvaluationError as wrong:
            outputs[name] = None
            if status is State.SUCCESS:
                status, reason = State.FAILED, Reason.INVALID_OUTPUT
                error = ev.Failure("expression_failed", f"outputs.{name}: {wrong}")
    inline, large = packed(outputs)
    return ev.RunFinished(
        status=status,
        reason=reason,
        error=error,
        outputs=inline,
        outputs_large=large,
        artifacts=_artifacts(outputs),
        metrics=run.metrics,
        counts={state.value: count for state, count in sorted(run.counts.items()) if count},
    )


def _outcome(run: Run) -> tuple[State, str, ev.Failure | None]:
    if run.cancel is not None:
        message = run.cancel.reason or f"cancelled by {run.cancel.by.principal}"
        return State.CANCELLED, Reason.CANCELLED, ev.Failure(Reason.CANCELLED, message)
    if run.failed:
        task = run.tasks[run.failed]
        error = task.error or ev.Failure(task.reason or Reason.ERROR, f"{run.failed} failed")
        known = ev.Failure(error.code, error.message, step=split_key(run.failed)[0], attempt=task.attempt)
        return State.FAILED, task.reason or Reason.ERROR, known
    if run.started_at is None:
        return State.SKIPPED, Reason.CONDITION, None
    return State.SUCCESS, "", None


def _artifacts(outputs: dict[str, Json]) -> dict[str, ev.File]:
    found: dict[str, ev.File] = {}
    for name, value in outputs.items():
        if isinstance(value, dict) and ("$file" in value or "$dir" in value):
            tree = "$dir" in value
            found[name] = ev.File(value["$dir" if tree else "$file"], value["size"], value["name"], tree)
    return found
