"""What to do next: given a run and its frontier, the events that follow and the actions they order.

Rules of this file:

1. `plan` reads a run and writes nothing. It looks only at the frontier, so a step costs what its own
   edges cost, however large the flow. Planning again after folding its events gives nothing.
2. An action is data; only the engine performs it, and only after the events are durable.
3. No recursion over the graph: skips spread by a work list.

`advance` repeats plan and fold until nothing follows: one turn, one commit.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from runnotary.core import approvals, finish, scope
from runnotary.core import events as ev
from runnotary.core.attempts import Attempt
from runnotary.core.expressions import EvaluationError
from runnotary.core.flow import Step
from runnotary.core.fold import fold, wake
from runnotary.core.hashing import canonical, digest
from runnotary.core.ids import attempt_id
from runnotary.core.run import Run, Task
from runnotary.core.scope import NeedsLoad
from runnotary.core.skips import Skips, settled
from runnotary.core.states import Reason, State

Json = Any


class Room(msgspec.Struct, frozen=True):
    """How many attempts may be started now; leases stand behind it, never counters in a run."""

    slots: int
    place: str = ""
    """Where they would run; their intents name it."""


class Start(msgspec.Struct, frozen=True):
    """Start the open attempt of this task (`attempt_of` tells how)."""

    key: str


class Stop(msgspec.Struct, frozen=True):
    """Stop the open attempt of this task."""

    key: str
    grace_ms: int


Action = Start | Stop


class Turn:
    """The result of planning: events in order, actions to perform after the commit, blobs to keep.

    `loads` are digests of JSON values without which some key cannot be planned; `visited` counts keys.
    """

    __slots__ = ("actions", "blobs", "events", "loads", "place", "started", "visited")

    def __init__(self, place: str = "") -> None:
        self.place = place
        self.events: list[ev.Event] = []
        self.actions: list[Action] = []
        self.blobs: list[bytes] = []
        self.loads: set[str] = set()
        self.started = 0
        self.visited = 0

    def packed(self, value: Json) -> tuple[Json, ev.Large | None]:
        """Return a value as it may stand in an event: itself, or empty and a reference to a blob."""
        data = canonical(value)
        if len(data) <= ev.VALUE_MAX:
            return value, None
        self.blobs.append(data)
        return type(value)(), ev.Large(digest(data), len(data))


def advance(run: Run, *, room: Room, now: int) -> Turn:
    """Plan and fold until nothing follows. The caller commits `events` at once, then acts."""
    wake(run, now)
    whole = Turn()
    while True:
        turn = plan(run, room=Room(room.slots - whole.started, room.place), now=now)
        whole.visited += turn.visited
        whole.loads = turn.loads
        run.sweep = False
        if not turn.events:
            return whole
        for event in turn.events:
            fold(run, event, now)
        whole.events += turn.events
        whole.actions += turn.actions
        whole.blobs += turn.blobs
        whole.started += turn.started


def plan(run: Run, *, room: Room, now: int) -> Turn:
    """Return what follows from the run as it stands."""
    turn = Turn(room.place)
    if run.created is None or run.finished is not None:
        return turn
    if not run.tasks and not _admitted(run, turn):
        return turn
    if run.sweep:
        _sweep(run, turn)
    _stop_overdue(run, turn)
    if turn.events:
        return turn
    _settle_free(run, turn, now)
    _start_queued(run, turn, room, now)
    if not turn.events and not turn.loads and not run.left[False] and not run.left[True]:
        _finish(run, turn)
    return turn


def _admitted(run: Run, turn: Turn) -> bool:
    """Evaluate the flow's own `if` before anything else has happened."""
    condition = run.flow.condition
    if condition is None or run.cancel is not None:
        return True
    try:
        if scope.holds(run, condition, Task(""), None):
            return True
        turn.events.append(ev.RunFinished(status=State.SKIPPED, reason=Reason.CONDITION))
    except NeedsLoad as needed:
        turn.loads.add(needed.digest)
    except EvaluationError as wrong:
        failure = ev.Failure("expression_failed", f"if: {wrong}")
        turn.events.append(ev.RunFinished(status=State.FAILED, reason=Reason.ERROR, error=failure))
    return False


def _finish(run: Run, turn: Turn) -> None:
    try:
        turn.events.append(finish.finished(run, turn.packed))
    except NeedsLoad as needed:
        turn.loads.add(needed.digest)


# --- ends that nobody waits for ------------------------------------------------------------------


def _sweep(run: Run, turn: Turn) -> None:
    """After a cancel, or a failure under `on_failure: stop`: settle what has not started, stop the rest."""
    cancel = run.cancel
    unstarted: list[str] = []
    parked: list[Task] = []
    for key in _swept(run, force=cancel is not None and cancel.force):
        task = run.tasks.get(key)
        if task is None or task.state is State.PENDING:
            unstarted.append(key)
        elif task.open:
            if cancel is not None and not task.stopping:
                _stop(turn, task, "cancelled", cancel.grace_ms)
        elif not task.ended and task.group is None:
            parked.append(task)
    if cancel is not None:
        keys = [*unstarted, *(task.key for task in parked)]
        turn.events += settled(keys, State.CANCELLED, Reason.CANCELLED)
        return
    turn.events += settled(unstarted, State.SKIPPED, Reason.STOPPED, because=run.failed)
    for task in parked:
        if task.retry_at:
            turn.events += settled([task.key], State.FAILED, task.reason, error=task.error)
        elif task.state is State.WAITING:  # an answer would change nothing any more
            turn.events += settled([task.key], State.CANCELLED, Reason.STOPPED, because=run.failed)


def _swept(run: Run, *, force: bool) -> Iterator[str]:
    """Yield the keys of all steps, tasks of a `for_each` step before it; `finally` steps by force only."""
    for name, step in run.flow.steps.items():
        if force or not step.cleanup:
            yield from _keys(run, name)


def _keys(run: Run, name: str) -> list[str]:
    """Return the step's key, and before it those of its tasks that are not over."""
    task = run.tasks.get(name)
    if task is None or task.group is None or task.ended:
        return [name]
    visits = (f"{name}[{index}]" for index in range(task.group.count))
    return [*(key for key in visits if key not in run.tasks or not run.tasks[key].ended), name]


def _stop_overdue(run: Run, turn: Turn) -> None:
    for key in run.overdue:
        turn.visited += 1
        task = run.tasks[key]
        if task.open and not task.stopping:
            _stop(turn, task, "timeout", run.step_of(key).grace_ms)


def _stop(turn: Turn, task: Task, why: Any, grace_ms: int) -> None:
    turn.events.append(ev.TaskStopping(task.key, task.attempt, why, grace_ms))
    turn.actions.append(Stop(task.key, grace_ms))


# --- keys that need no slot ----------------------------------------------------------------------


def _settle_free(run: Run, turn: Turn, now: int) -> None:
    """Decide every key in `free`: skip, expand, compute, wait, or close a group."""
    skips = Skips(run)
    for key in run.free:
        turn.visited += 1
        if key in skips.reasons:
            continue
        try:
            _decide_free(run, turn, key, skips, now)
        except NeedsLoad as needed:
            turn.loads.add(needed.digest)
        except EvaluationError as wrong:
            turn.events.append(finish.unplannable(run.step_of(key), key, str(wrong)))
    turn.events += skips.events()


def _decide_free(run: Run, turn: Turn, key: str, skips: Skips, now: int) -> None:
    step, task = run.step_of(key), run.tasks.get(key)
    if task is not None and not task.ended and task.state is not State.PENDING:
        turn.events.append(finish.settled(task, step))
        return
    task = task or Task(key)
    if task.visit is None and not _due(run, turn, step, task, skips):
        return
    if step.for_each is not None and task.visit is None:
        _expand(run, turn, step, task)
    elif step.action == "set":
        values = {name: scope.evaluate(run, value, task) for name, value in step.set.items()}
        inline, large = turn.packed(values)
        turn.events.append(ev.TaskSettled((key,), State.SUCCESS, values=inline, values_large=large))
    elif step.approve is not None:
        turn.events.append(approvals.requested(run, step.approve, task, now, turn.packed))
    else:
        assert step.wait_ms is not None
        pause = scope.evaluate(run, step.wait_ms, task)
        if not isinstance(pause, int) or isinstance(pause, bool) or pause < 0:
            raise EvaluationError(f"wait is {pause!r}, not a number of milliseconds")
        turn.events.append(ev.TaskWaiting(key, "timer", due=now + pause * 1000))


def _expand(run: Run, turn: Turn, step: Step, task: Task) -> None:
    assert step.for_each is not None
    items = scope.evaluate(run, step.for_each, task)
    if not isinstance(items, list):
        raise EvaluationError(f"for_each takes a list, {step.for_each.text} is {_kind(items)}")
    inline, large = turn.packed(items)
    turn.events.append(ev.TaskExpanded(task.key, len(items), inline, large))


def _kind(value: Json) -> str:
    names = {dict: "an object", str: "text", bool: "a boolean", int: "a number", float: "a number"}
    return names.get(type(value), "null")


def _due(run: Run, turn: Turn, step: Step, task: Task, skips: Skips) -> bool:
    """Tell whether a step that is due will run; otherwise note its skip."""
    reason = skips.inherited(step)
    if reason is not None:
        skips.spread(task.key, reason)
        return False
    if step.condition is not None and not scope.holds(run, step.condition, task, step):
        skips.spread(task.key, (Reason.CONDITION, ""))
        return False
    return True


# --- keys that need a slot -----------------------------------------------------------------------


def _start_queued(run: Run, turn: Turn, room: Room, now: int) -> None:
    """Start as many queued keys as there is room for."""
    created = run.created
    assert created is not None
    slots = room.slots
    limit = created.max_concurrency or run.flow.max_concurrency
    if limit:
        slots = min(slots, limit - len(run.open))
    skips = Skips(run)
    for key, ready_at in run.queued.items():
        if turn.started >= slots:
            break
        turn.visited += 1
        if key in skips.reasons:
            continue
        try:
            _start(run, turn, key, ready_at, skips, now)
        except NeedsLoad as needed:
            turn.loads.add(needed.digest)
        except EvaluationError as wrong:
            turn.events.append(finish.unplannable(run.step_of(key), key, str(wrong)))
    turn.events += skips.events()


def _start(run: Run, turn: Turn, key: str, ready_at: int, skips: Skips, now: int) -> None:
    step, task = run.step_of(key), run.tasks.get(key) or Task(key)
    if task.attempt == 0 and task.visit is None and not _due(run, turn, step, task, skips):
        return
    variables = {name: scope.evaluate(run, value, task) for name, value in step.with_.items()}
    environment = {name: _text(scope.evaluate(run, value, task)) for name, value in step.env.items()}
    staged = {path: scope.evaluate(run, value, task) for path, value in step.stage.items()}
    if step.cleanup:
        environment["RUNNOTARY_STATUS"] = scope.outcome(run)
    for what, held in (("env", environment), ("stage", staged)):
        if held and len(canonical(held)) > ev.VALUE_MAX:
            raise EvaluationError(f"{what} holds more than {ev.VALUE_MAX} bytes; pass large values as files")
    prints = {
        "step": run.flow.digests.get(step.name, ""),
        "with": variables,
        "env": environment,
        "stage": staged,
    }
    inline, large = turn.packed(variables)
    turn.events.append(
        ev.TaskStarted(
            key=key,
            attempt=task.attempt + 1,
            ready_at=ready_at,
            executor=step.executor,
            fingerprint=digest(canonical(prints)),
            deadline=now + step.timeout_ms * 1000 if step.timeout_ms else 0,
            variables=inline,
            variables_large=large,
            environment=environment,
            staged=staged,
            place=turn.place,
        )
    )
    turn.actions.append(Start(key))
    turn.started += 1


def _text(value: Json) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def attempt_of(run: Run, started: ev.TaskStarted) -> Attempt:
    """Return the open attempt as an executor needs it: the same one however often it is asked for.

    Raises:
        NeedsLoad: the variables lie in a blob that is not known yet.
    """
    step = run.step_of(started.key)
    variables: dict[str, Json] = started.variables
    if started.variables_large is not None:
        if started.variables_large.blob not in run.known:
            raise NeedsLoad(started.variables_large.blob)
        variables = run.known[started.variables_large.blob]
    return Attempt(
        id=attempt_id(run.id, started.key, started.attempt),
        run=run.text,
        key=started.key,
        number=started.attempt,
        argv=step.argv,
        variables=variables,
        environment=started.environment,
        secrets=step.secrets,
        inherit=step.inherit,
        code=run.flow.code,
        executables=run.flow.executables,
        staged=started.staged,
        files=step.files,
        trees=step.trees,
        values=step.values,
        grace_ms=step.grace_ms,
        place=started.place,
    )
