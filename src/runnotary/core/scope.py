"""What an expression can see: inputs, the steps it names, `each`, `run`, and how a task's needs ended.

A value that lies in a blob is asked for by raising `NeedsLoad`; the engine brings it and asks again.
"""

from __future__ import annotations

from typing import Any

from runnotary.core.events import File, Large
from runnotary.core.evidence import blobs_in_value
from runnotary.core.expressions import EvaluationError, is_path
from runnotary.core.flow import Condition, Expression, Scope, Step
from runnotary.core.run import Run, Task, key_of
from runnotary.core.states import State

Json = Any


class NeedsLoad(Exception):
    """The value of this blob is needed first."""

    def __init__(self, digest: str) -> None:
        super().__init__(digest)
        self.digest = digest


def file_value(file: File) -> Json:
    """Return the JSON form in which a file travels through expressions."""
    return {"$dir" if file.tree else "$file": file.blob, "name": file.name, "size": file.size}


def inputs(run: Run) -> dict[str, Json]:
    """Return the run's inputs."""
    created = run.created
    assert created is not None
    value: dict[str, Json] = _whole(run, created.inputs, created.inputs_large)
    return value


def items(run: Run, task: Task) -> list[Json]:
    """Return the list that a `for_each` step was expanded over."""
    assert task.group is not None
    value: list[Json] = _whole(run, task.group.items, task.group.large)
    return value


def outcome(run: Run) -> str:
    """Return how the main part of a run ended, or would end now: what `finally` steps are told."""
    if run.cancel is not None:
        return "cancelled"
    return "failed" if run.failed else "success"


def evaluate(run: Run, expression: Expression, task: Task) -> Json:
    """Evaluate for one task. What refers to a step that did not succeed is null, not an error.

    Raises:
        EvaluationError: it has no value although every step it names succeeded, or it makes up a file.
        NeedsLoad: a blob's value is needed first.
    """
    scope = _scope(run, expression.steps, task)
    try:
        value = expression.evaluate(scope)
    except EvaluationError:
        if any(_state(run, name) is not State.SUCCESS for name in expression.steps):
            return None
        raise
    if isinstance(value, dict | list) and not is_path(expression):
        _refuse_made_up(value, scope)
    return value


def _refuse_made_up(value: Json, scope: Scope) -> None:
    """Let an expression pass on files that it can see, and no others: the record vouches for what is one."""
    named = set(blobs_in_value(value))
    for part in ("each", "steps", "inputs"):
        if not named:
            return
        named.difference_update(blobs_in_value(scope.get(part)))
    if named:
        raise EvaluationError(f"{named.pop().digest} is no file of an input or a step that is named here")


def holds(run: Run, condition: Condition, task: Task, step: Step | None) -> bool:
    """Evaluate an `if`; `step` tells whose needs the status functions look at."""
    scope = _scope(run, condition.steps, task)
    states = [_state(run, name) for name in (step.needs if step else ())]
    scope["status"] = {
        "failed": State.FAILED in states,
        "cancelled": run.cancel is not None or State.CANCELLED in states,
        "skipped": State.SKIPPED in states,
    }
    return bool(condition.evaluate(scope))


def _state(run: Run, step: str) -> State:
    task = run.tasks.get(step)
    return task.state if task is not None else State.PENDING


def _scope(run: Run, steps: frozenset[str], task: Task) -> Scope:
    created = run.created
    assert created is not None
    scope: Scope = {
        "inputs": inputs(run),
        "steps": {name: _step(run, name) for name in steps},
        "run": {
            "id": run.text,
            "flow": created.flow,
            "namespace": created.namespace,
            "label": run.label,
            "created_by": created.by.principal,
            "status": outcome(run),
        },
    }
    if task.visit is not None:
        scope["each"] = {"value": items(run, run.tasks[task.step])[task.visit], "index": task.visit}
    return scope


def _step(run: Run, name: str) -> Json:
    task = run.tasks.get(name)
    if task is None:
        return {"status": "pending", "values": {}, "files": {}, "exit_code": None}
    if task.group is not None:
        return _group(run, task)
    return {
        "status": task.state.value,
        "values": _whole(run, task.values, task.large),
        "files": {file: file_value(content) for file, content in task.files.items()},
        "exit_code": task.exit_code,
    }


def _group(run: Run, task: Task) -> Json:
    """Show a `for_each` step: per declared value and file the list over its tasks, null where missing."""
    assert task.group is not None
    step = run.flow.steps[task.step]
    visits = [run.tasks.get(key_of(task.step, index)) for index in range(task.group.count)]
    values = [_whole(run, visit.values, visit.large) if visit else {} for visit in visits]
    names = list(dict.fromkeys(name for held in values for name in held)) or list(step.values or step.set)
    files: dict[str, list[Json]] = {}
    for name in (*step.files, *step.trees):
        held_files = [visit.files.get(name) if visit else None for visit in visits]
        files[name] = [file_value(file) if file else None for file in held_files]
    return {
        "status": task.state.value,
        "values": {name: [held.get(name) for held in values] for name in names},
        "files": files,
        "exit_code": None,
    }


def _whole(run: Run, inline: Json, large: Large | None) -> Json:
    if large is None:
        return inline
    if large.blob not in run.known:
        raise NeedsLoad(large.blob)
    return run.known[large.blob]
