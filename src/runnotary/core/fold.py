"""How each event changes a run: `fold` is the only function that does.

Rules of this file:

1. `fold(run, event, at)` is total, deterministic, without IO, and costs O(what the event names).
2. Folding the whole stream again gives the live state (`replay`).
3. An end pushes what it makes ready into the frontier; nobody searches the graph for it.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable
from typing import Any, Final, Literal

from runnotary.core import events as ev
from runnotary.core.chain import Recorded
from runnotary.core.flow import Flow, Step
from runnotary.core.run import Answered, Group, Run, Task, key_of, split_key
from runnotary.core.states import TERMINAL, Reason, State, moved

WINDOW: Final = 1024
"""Tasks of one `for_each` step that stand in the frontier at once when it sets no limit itself."""

APPROVED: Final = "approved"
REJECTED: Final = "rejected"
"""What an answer to a request comes to."""

TO_BE_SEEN: Final = ("prompt", "shown")
"""What of a request only people need: of a thousand that wait, it would be megabytes in memory."""

HELD_UNSAID: Final = "no reason given"
"""What stands for the reason of a hold for which none was said."""


def replay(run_id: bytes, recorded: Iterable[Recorded], flow_of: Callable[[str], Flow]) -> Run:
    """Fold a run's whole stream; the first event says by which definition.

    Raises:
        ValueError: the stream is empty or does not begin with `run.created`.
    """
    run: Run | None = None
    for record in recorded:
        if run is None:
            if not isinstance(record.event, ev.RunCreated):
                raise ValueError("the stream does not begin with run.created")
            run = Run(run_id, flow_of(record.event.definition))
        fold(run, record.event, record.at)
    if run is None:
        raise ValueError("the stream is empty")
    return run


def wake(run: Run, now: int) -> None:
    """Move what time has made due into the frontier. Holds no fact: replay does the same again."""
    while run.dues and run.dues[0][0] <= now:
        due, key, attempt = heapq.heappop(run.dues)
        task = run.tasks[key]
        if task.ended:
            continue
        if task.open:
            if attempt == task.attempt and not task.stopping:
                run.overdue[key] = due
        elif task.retry_at == due:
            run.queued[key] = due
        elif task.due == due:
            run.free[key] = due


def fold(run: Run, event: ev.Event, at: int) -> None:
    """Apply one event. The only function that records a fact in a run."""
    run.seq += 1
    run.at = at
    _FOLD[type(event)](run, event, at)


# --- run ---------------------------------------------------------------------------------------


def _created(run: Run, event: ev.RunCreated, at: int) -> None:
    run.created, run.created_at = event, at
    run.label, run.tags, run.labels = event.label, event.tags, event.labels
    run.monitors, run.managers = event.monitors, event.managers
    for name, step in run.flow.steps.items():
        run.left[step.cleanup] += 1
        run.blockers[name] = len(step.before)
        if not step.before and not step.cleanup:
            _push(run, name, at)
    if not run.left[False]:
        _begin_cleanup(run, at)


def _updated(run: Run, event: ev.RunUpdated, at: int) -> None:
    for name, value in event.set.items():
        if name in ("tags", "monitors", "managers"):
            value = tuple(value)
        setattr(run, name, value)


def _cancel_requested(run: Run, event: ev.RunCancelRequested, at: int) -> None:
    if run.cancel is None:
        run.cancel_at = at
    run.cancel, run.sweep = event, True


def _finished(run: Run, event: ev.RunFinished, at: int) -> None:
    moved(run.state, State(event.status))
    run.finished, run.ended_at = event, at
    run.free.clear()
    run.queued.clear()
    run.dues.clear()
    run.overdue.clear()


def _held(run: Run, event: ev.RunHeld, at: int) -> None:
    run.held = "" if event.released else event.reason or HELD_UNSAID


def _annotated(run: Run, event: ev.RunAnnotated, at: int) -> None:
    if event.kind == ev.ARCHIVED:
        run.archived_at = at
    elif event.kind == ev.UNARCHIVED:
        run.archived_at = None


def _noted(run: Run, event: ev.Event, at: int) -> None:
    """Fold an event that is part of the record but changes no state."""


# --- task --------------------------------------------------------------------------------------


def _task(run: Run, key: str) -> Task:
    task = run.tasks.get(key)
    if task is None:
        task = run.tasks[key] = Task(key)
        run.counts[State.PENDING] = run.counts.get(State.PENDING, 0) + 1
    run.touched.add(key)
    return task


def _move(run: Run, task: Task, to: State, at: int) -> None:
    if task.state is to:
        return
    if task.state is State.PENDING and to is State.SUCCESS:
        _move(run, task, State.RUNNING, at)
    run.counts[task.state] -= 1
    task.state = moved(task.state, to)
    run.counts[to] = run.counts.get(to, 0) + 1
    if to is State.RUNNING and task.started_at is None:
        task.started_at = at
        if run.started_at is None:
            run.started_at = at
    if to in TERMINAL:
        task.ended_at = at


def _expanded(run: Run, event: ev.TaskExpanded, at: int) -> None:
    task = _task(run, event.key)
    run.free.pop(event.key, None)
    _move(run, task, State.RUNNING, at)
    group = task.group = Group(event)
    run.groups += 1
    limit = run.flow.steps[task.step].max_concurrency or WINDOW
    while group.next < min(group.count, limit):
        _push_visit(run, task.step, group, at)
    if not group.count:
        run.free[event.key] = at


def _started(run: Run, event: ev.TaskStarted, at: int) -> None:
    task = _task(run, event.key)
    run.queued.pop(event.key, None)
    _move(run, task, State.RUNNING, at)
    task.attempt, task.open, task.stopping = event.attempt, True, ""
    task.ready_at, task.retry_at, task.executor = event.ready_at, 0, event.executor
    task.deadline = event.deadline
    task.progress, task.message = None, ""
    run.open[event.key] = event.attempt
    if event.deadline:
        heapq.heappush(run.dues, (event.deadline, event.key, event.attempt))


def _reported(run: Run, event: ev.TaskReported, at: int) -> None:
    task = _task(run, event.key)
    if event.progress is not None:
        task.progress = event.progress
    task.message = event.message or task.message
    run.metrics.update(event.metrics)


def _waiting(run: Run, event: ev.TaskWaiting, at: int) -> None:
    task = _task(run, event.key)
    run.free.pop(event.key, None)
    _move(run, task, State.RUNNING, at)
    task.due = event.due
    task.request = {name: said for name, said in event.request.items() if name not in TO_BE_SEEN}
    if event.waits_for not in ("timer", "child"):
        _move(run, task, State.WAITING, at)
    if event.due:
        heapq.heappush(run.dues, (event.due, event.key, 0))


def _signalled(run: Run, event: ev.TaskSignalled, at: int) -> None:
    task = _task(run, event.key)
    said = event.payload if isinstance(event.payload, dict) else {}
    answer = Answered(event.by.principal, at, str(said.get("decision", "")), str(said.get("reason", "")))
    task.answers = (*task.answers, answer)
    if outstanding(task):
        return
    _move(run, task, State.RUNNING, at)
    run.free[event.key] = at


def outstanding(task: Task) -> int:
    """Return how many more people must approve before a request is answered; one refusal answers it too."""
    if any(answer.decision != APPROVED for answer in task.answers):
        return 0
    return max(0, int(task.request.get("approvals", 1)) - len(task.answers))


def _stopping(run: Run, event: ev.TaskStopping, at: int) -> None:
    task = _task(run, event.key)
    run.overdue.pop(event.key, None)
    task.stopping = event.why


_VERDICT_STATE: Final = {
    "success": State.SUCCESS,
    "failed": State.FAILED,
    "lost": State.FAILED,
    "cancelled": State.CANCELLED,
}


def _ended(run: Run, event: ev.TaskEnded, at: int) -> None:
    task = _task(run, event.key)
    task.open, task.deadline = False, 0
    run.open.pop(event.key, None)
    run.overdue.pop(event.key, None)
    task.exit_code, task.signal = event.exit_code, event.signal
    task.reason, task.error = event.reason, event.error
    task.values, task.large, task.files = event.values, event.values_large, event.files
    run.metrics.update(event.metrics)
    if event.verdict == "retry":
        task.retry_at = event.retry_at
        if event.retry_at <= at:
            run.queued[event.key] = at
        else:
            heapq.heappush(run.dues, (event.retry_at, event.key, 0))
    elif event.verdict != "success" and catches(run.flow.steps[task.step], event.reason):
        run.free[event.key] = at
    else:
        _move(run, task, _VERDICT_STATE[event.verdict], at)
        _over(run, task, at)


def catches(step: Step, reason: str) -> bool:
    """Tell whether a step's `catch` turns this failure into a success."""
    if step.catch is None or reason == Reason.CANCELLED:
        return False
    return not step.catch.on or reason in step.catch.on


def _settled(run: Run, event: ev.TaskSettled, at: int) -> None:
    to = State(event.status)
    for key in event.keys:
        task = _task(run, key)
        run.free.pop(key, None)
        run.queued.pop(key, None)
        _move(run, task, to, at)
        task.reason = event.reason
        if event.reason != Reason.CAUGHT:
            task.error = event.error
        if event.values or event.values_large or event.reason == Reason.CAUGHT:
            task.values, task.large = event.values, event.values_large
        _over(run, task, at)


# --- what an end makes ready -------------------------------------------------------------------


def _over(run: Run, task: Task, at: int) -> None:
    """Tell whoever waited for this task: its group, its followers, the `finally` steps."""
    step = run.flow.steps[task.step]
    if task.state is State.FAILED:
        if not run.failed or run.flow.steps[split_key(run.failed)[0]].cleanup > step.cleanup:
            run.failed = task.key
        if _on_failure(run) == "stop" and not step.cleanup and not run.halted:
            run.halted = run.sweep = True
    if task.visit is not None:
        _visit_over(run, task, at)
        return
    if task.group is not None:
        run.groups -= 1
    run.left[step.cleanup] -= 1
    for name in run.flow.followers.get(task.step, ()):
        run.blockers[name] -= 1
        if not run.blockers[name] and name not in run.tasks:
            _push(run, name, at)
    if not step.cleanup and not run.left[False]:
        _begin_cleanup(run, at)


def _visit_over(run: Run, task: Task, at: int) -> None:
    parent = run.tasks[task.step]
    run.touched.add(task.step)
    group = parent.group
    assert group is not None and task.visit is not None
    group.left -= 1
    group.states[task.state] = group.states.get(task.state, 0) + 1
    if task.state is State.FAILED and len(group.failed) < 10:
        group.failed.append(task.visit)
    if group.next < group.count:
        _push_visit(run, task.step, group, at)
    if not group.left:
        run.free[task.step] = at


def _begin_cleanup(run: Run, at: int) -> None:
    for name, step in run.flow.steps.items():
        if step.cleanup and not run.blockers[name] and name not in run.tasks:
            _push(run, name, at)


def _on_failure(run: Run) -> Literal["continue", "stop"]:
    assert run.created is not None
    return run.created.on_failure or run.flow.on_failure


def _push_visit(run: Run, step: str, group: Group, at: int) -> None:
    key = key_of(step, group.next)
    group.next += 1
    if key not in run.tasks:
        (run.queued if run.flow.steps[step].needs_slot else run.free)[key] = at


def _push(run: Run, name: str, at: int) -> None:
    step = run.flow.steps[name]
    queue = run.queued if step.needs_slot and step.for_each is None else run.free
    queue[name] = at


_FOLD: Final[dict[type[ev.Event], Callable[[Run, Any, int], None]]] = {
    ev.RunCreated: _created,
    ev.RunUpdated: _updated,
    ev.RunHeld: _held,
    ev.RunCancelRequested: _cancel_requested,
    ev.RunFinished: _finished,
    ev.RunAnnotated: _annotated,
    ev.TaskExpanded: _expanded,
    ev.TaskStarted: _started,
    ev.TaskBound: _noted,
    ev.TaskReported: _reported,
    ev.TaskWaiting: _waiting,
    ev.TaskSignalled: _signalled,
    ev.TaskStopping: _stopping,
    ev.TaskEnded: _ended,
    ev.TaskSettled: _settled,
}
