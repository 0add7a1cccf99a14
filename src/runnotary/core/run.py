"""The working state of a run: what `core/fold.py` builds and `core/plan.py` reads.

Rules of this file:

1. Only `fold` writes here; nothing is known that the events do not say. The one exception is marked:
   `known` (values of blobs, loaded on demand) holds no facts.
2. What may be ready is kept, never searched for: `free` holds keys that need no slot, `queued` those
   that do, `dues` what time will make ready, `overdue` what ran out of time.

A key names a task: `clean` for a step, `by_region[3]` for the fourth task of a `for_each` step.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from runnotary.core import events as ev
from runnotary.core.flow import Flow, Step
from runnotary.core.ids import to_text
from runnotary.core.states import TERMINAL, State

Json = Any


def key_of(step: str, visit: int) -> str:
    """Return the key of one task of a `for_each` step."""
    return f"{step}[{visit}]"


def split_key(key: str) -> tuple[str, int | None]:
    """Return step name and visit of a key."""
    if key.endswith("]"):
        step, _, visit = key[:-1].partition("[")
        return step, int(visit)
    return key, None


class Group:
    """The tasks that a `for_each` step became."""

    __slots__ = ("count", "failed", "items", "large", "left", "next", "states")

    def __init__(self, event: ev.TaskExpanded) -> None:
        self.count = event.count
        self.items = event.items
        self.large = event.items_large
        self.next = 0
        self.left = event.count
        self.states: dict[State, int] = {}
        self.failed: list[int] = []


class Answered(NamedTuple):
    """One answer to the request of a task: who gave it, when, and what it was."""

    by: str
    at: int
    decision: str
    reason: str


class Task:
    """One task: state, the attempt that is open if any, and what it produced."""

    __slots__ = (
        "answers",
        "attempt",
        "deadline",
        "due",
        "ended_at",
        "error",
        "executor",
        "exit_code",
        "files",
        "group",
        "key",
        "large",
        "message",
        "open",
        "progress",
        "ready_at",
        "reason",
        "request",
        "retry_at",
        "signal",
        "started_at",
        "state",
        "step",
        "stopping",
        "values",
        "visit",
    )

    def __init__(self, key: str) -> None:
        self.key = key
        self.step, self.visit = split_key(key)
        self.state = State.PENDING
        self.reason = ""
        self.attempt = 0
        self.open = False
        self.stopping = ""
        self.executor = ""
        self.ready_at = 0
        self.retry_at = 0
        self.due = 0
        self.deadline = 0
        self.started_at: int | None = None
        self.ended_at: int | None = None
        self.exit_code: int | None = None
        self.signal: int | None = None
        self.error: ev.Failure | None = None
        self.values: dict[str, Json] = {}
        self.large: ev.Large | None = None
        self.files: dict[str, ev.File] = {}
        self.progress: int | None = None
        self.message = ""
        self.group: Group | None = None
        self.request: dict[str, Json] = {}  # without what it shows
        self.answers: tuple[Answered, ...] = ()

    @property
    def ended(self) -> bool:
        return self.state in TERMINAL


class Run:
    """The working state of one run; private to whoever folds it."""

    def __init__(self, run_id: bytes, flow: Flow) -> None:
        self.id: Final = run_id
        self.text: Final = to_text(run_id)
        self.flow: Final = flow
        self.seq = 0
        self.at = 0
        self.created: ev.RunCreated | None = None
        self.created_at = 0
        self.started_at: int | None = None
        self.finished: ev.RunFinished | None = None
        self.ended_at: int | None = None
        self.archived_at: int | None = None
        self.held = ""
        self.cancel: ev.RunCancelRequested | None = None
        self.cancel_at: int | None = None
        self.label = ""
        self.tags: tuple[str, ...] = ()
        self.labels: dict[str, str] = {}
        self.monitors: tuple[str, ...] = ()
        self.managers: tuple[str, ...] = ()
        self.metrics: dict[str, Json] = {}
        self.tasks: dict[str, Task] = {}
        self.counts: dict[State, int] = {}
        self.failed: str = ""
        self.halted = False
        self.groups = 0
        self.sweep = False
        self.blockers: dict[str, int] = {}
        self.left: dict[bool, int] = {False: 0, True: 0}
        self.free: dict[str, int] = {}
        self.queued: dict[str, int] = {}
        self.overdue: dict[str, int] = {}
        self.dues: list[tuple[int, str, int]] = []
        self.open: dict[str, int] = {}
        self.touched: set[str] = set()
        self.known: dict[str, Json] = {}

    @property
    def state(self) -> State:
        """The run's state: running and waiting are derived from its tasks."""
        if self.finished is not None:
            return State(self.finished.status)
        if self.started_at is None:
            return State.PENDING
        waits = self.counts.get(State.WAITING, 0)
        # A `for_each` step runs as long as its tasks do: of itself it does nothing.
        runs = self.counts.get(State.RUNNING, 0) > self.groups or self.free or self.queued
        return State.WAITING if waits and not runs else State.RUNNING

    def step_of(self, key: str) -> Step:
        return self.flow.steps[split_key(key)[0]]

    def ended(self, step: str) -> bool:
        """Tell whether a step, with all its tasks, is over."""
        task = self.tasks.get(step)
        return task is not None and task.ended
