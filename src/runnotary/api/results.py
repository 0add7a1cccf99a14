"""What routes answer, as types. They describe documents made elsewhere; the OpenAPI schemas come from them.

A field with a default may be absent. `Json` stands where the content is the user's own.
"""

from __future__ import annotations

from typing import Any

import msgspec

Json = Any


class Result(msgspec.Struct, frozen=True, kw_only=True):
    """A JSON document."""


class Trigger(Result, frozen=True):
    kind: str
    id: str | None


class Log(Result, frozen=True):
    """The run's stream: how many events, and the hash that commits to all of them.

    `sealed` is the size of the newest checkpoint, if that covers all of them; it changes without the run,
    and without its etag.
    """

    events: int
    head: str
    sealed: int | None


class Failure(Result, frozen=True):
    code: str
    message: str
    step: str | None = None
    attempt: int | None = None


class Items(Result, frozen=True):
    total: int
    pending: int
    running: int
    waiting: int
    success: int
    failed: int
    cancelled: int
    skipped: int


class RunDocument(Result, frozen=True):
    """A run. `etag` of the answer is `log.head`."""

    id: str
    namespace: str
    flow: str | None
    flow_id: str | None
    flow_title: str | None
    flow_description: str | None
    definition_hash: str
    engine_version: str
    durability: str
    kind: str
    status: str
    reason: str | None
    trigger: Trigger
    created_by: str
    authenticated_by: str
    owner: str
    label: str | None
    tags: list[str]
    labels: dict[str, str]
    monitors: list[str]
    managers: list[str]
    inputs: dict[str, Json] | None
    inputs_ref: str | None
    items: Items
    max_concurrency: int | None
    parent: dict[str, str] | None
    root_run: str
    previous_run: str | None
    progress: dict[str, Json] | None
    tasks: dict[str, int]
    metrics: dict[str, Json]
    outputs: dict[str, Json] | None
    artifacts: dict[str, Json]
    error: Failure | None
    created_at: str
    started_at: str | None
    ended_at: str | None
    cancel_requested_at: str | None
    log: Log


class RunPage(Result, frozen=True):
    runs: list[RunDocument]
    has_next: bool
    next_cursor: str | None
    total: int | None = None


class FlowDocument(Result, frozen=True):
    flow: str
    flow_id: str
    namespace: str
    definition_hash: str
    version: str | None
    title: str | None
    description: str | None
    versions: int
    changed_at: str


class FlowList(Result, frozen=True):
    flows: list[FlowDocument]


class VersionList(Result, frozen=True):
    versions: list[dict[str, Json]]


class FlowDiff(Result, frozen=True):
    """What changed from one definition to another: `path`, `change`, `was` and `now` of each place."""

    flow: str
    namespace: str
    from_: str = msgspec.field(name="from")
    to: str
    changes: list[dict[str, Json]]


class Entry(Result, frozen=True):
    time: str
    code: str
    description: str
    details: dict[str, Json]


class EntryPage(Result, frozen=True):
    entries: list[Entry]
    has_next: bool
    next_cursor: str | None


class TaskDocument(Result, frozen=True):
    id: str
    run: str
    item: int
    step: str
    key: str
    index: int | None
    kind: str
    status: str
    reason: str | None
    error: Failure | None
    executor: str | None
    attempts: list[dict[str, Json]]
    count: int | None = None
    approval: ApprovalOfTask | None = None


class TaskList(Result, frozen=True):
    tasks: list[TaskDocument]


class FileDocument(Result, frozen=True):
    role: str
    task: str | None
    name: str
    path: str
    blob: str
    size: int


class FileList(Result, frozen=True):
    files: list[FileDocument]


class Lineage(Result, frozen=True):
    run: str
    nodes: list[dict[str, Json]]
    edges: list[dict[str, Json]]
    words: list[str]


class LineageAcross(Result, frozen=True):
    """Runs and files around a content. `truncated`: there is more than was followed."""

    blob: str
    direction: str
    depth: int
    truncated: bool
    nodes: list[dict[str, Json]]
    edges: list[dict[str, Json]]


class AuditEvent(Result, frozen=True):
    seq: int
    time: str
    type: str
    actor: str
    details: dict[str, Json]


class Audit(Result, frozen=True):
    events: list[AuditEvent]


class BatchError(Result, frozen=True):
    code: str
    message: str


class BatchResult(Result, frozen=True):
    """What became of one entry: `run`, or `error`."""

    index: int
    run_id: str | None
    run: RunDocument | None = None
    error: BatchError | None = None


class BatchResults(Result, frozen=True):
    results: list[BatchResult]


class Swept(Result, frozen=True):
    runs: list[str]
    count: int
    dry_run: bool


class Decision(Result, frozen=True):
    """One answer: who gave it, as what, how they were known, and what they had been shown."""

    decision: str
    by: str
    authenticated_by: str
    role: str | None
    token: str | None
    rule: str | None
    reason: str | None
    shown_digest: str | None
    at: str


class ApprovalOfTask(Result, frozen=True):
    """A request to people; `shown_digest` is that of the prompt and of what is shown."""

    id: str
    run: str
    task: str
    status: str
    prompt: str
    shown: dict[str, Json]
    shown_digest: str
    by: list[str]
    approvals: int
    reason_required: bool
    self_approval: bool
    asked_at: str
    due_at: str | None
    decided_at: str | None
    decisions: list[Decision]


class Approval(ApprovalOfTask, frozen=True):
    """A request, what it is about, and whether the caller may answer it."""

    namespace: str
    flow: str | None
    definition_hash: str
    label: str | None
    created_by: str
    owner: str
    may_answer: bool
    why_not: str | None


class ApprovalPage(Result, frozen=True):
    approvals: list[Approval]
    has_next: bool
    next_cursor: str | None


class Purged(Result, frozen=True):
    id: str
    purged: bool


class Emptied(Result, frozen=True):
    id: str
    erased: bool


class BlobDocument(Result, frozen=True):
    digest: str
    size: int


class Health(Result, frozen=True):
    status: str


class Definition(Result, frozen=True):
    """A definition in its canonical form: the bytes of this JSON, written canonically, have its hash."""

    steps: dict[str, dict[str, Json]]
