"""What a server answers, as types: the documents' own field names, and the whole document as `raw`.

A field that a document lacks has its default, and one that this release does not know is in `raw` only, so
a client goes on working with an older and with a newer server. Times are text as in the documents
(`2026-01-31T12:00:00.000000Z`), which sorts as time does.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import msgspec

from runnotary.core.errors import RunnotaryError, Unreachable
from runnotary.core.states import TERMINAL

Json = Any
Result = TypeVar("Result", bound="Document")


class Document(msgspec.Struct, kw_only=True):
    """Something a server described; `raw` is the document as it came."""

    raw: dict[str, Json] = {}


class Trigger(msgspec.Struct):
    """What caused a run."""

    kind: str = "api"
    id: str | None = None


class RunError(msgspec.Struct):
    """Why a run or a task did not succeed."""

    code: str = ""
    message: str = ""
    step: str | None = None
    attempt: int | None = None


class Log(msgspec.Struct):
    """How many events the run's record has, and the hash of the last, which commits to all of them.

    `sealed` is the size of the newest checkpoint, once that covers all of them.
    """

    events: int = 0
    head: str = ""
    sealed: int | None = None


class Items(msgspec.Struct):
    """How many items of a run are in each state."""

    total: int = 0
    pending: int = 0
    running: int = 0
    waiting: int = 0
    success: int = 0
    failed: int = 0
    cancelled: int = 0
    skipped: int = 0


class Run(Document, kw_only=True):
    """A run, as its document says."""

    id: str
    status: str
    namespace: str = "default"
    flow: str | None = None
    flow_id: str | None = None
    flow_title: str | None = None
    flow_description: str | None = None
    definition_hash: str = ""
    engine_version: str = ""
    durability: str = ""
    kind: str = "run"
    reason: str | None = None
    trigger: Trigger = msgspec.field(default_factory=Trigger)
    created_by: str = ""
    authenticated_by: str = ""
    owner: str = ""
    label: str | None = None
    tags: list[str] = []
    labels: dict[str, str] = {}
    monitors: list[str] = []
    managers: list[str] = []
    inputs: dict[str, Json] | None = None
    inputs_ref: str | None = None
    source: dict[str, Json] | None = None
    items: Items = msgspec.field(default_factory=Items)
    max_concurrency: int | None = None
    overrides: dict[str, Json] = {}
    parent: dict[str, Json] | None = None
    root_run: str | None = None
    previous_run: str | None = None
    links: list[dict[str, Json]] = []
    asset: Json = None
    flow_kind: str | None = None
    input_versions: dict[str, Json] = {}
    extension: dict[str, Json] = {}
    progress: dict[str, Json] | None = None
    tasks: dict[str, int] = {}
    metrics: dict[str, Json] = {}
    outputs: dict[str, Json] | None = None
    outputs_ref: str | None = None
    artifacts: dict[str, Json] = {}
    error: RunError | None = None
    external: dict[str, Json] | None = None
    created_at: str = ""
    started_at: str | None = None
    ended_at: str | None = None
    cancel_requested_at: str | None = None
    archived_at: str | None = None
    held: Json = None
    log: Log = msgspec.field(default_factory=Log)

    @property
    def over(self) -> bool:
        """Tell whether the run has ended, in whichever way: nothing moves out of its state any more."""
        return self.status in TERMINAL

    @property
    def etag(self) -> str:
        """Return what `If-Match` takes: it matches as long as nothing was added to the run's record."""
        return f'"{self.log.head}"'


class RunPage(Document, kw_only=True):
    """A page of a listing, newest first. `total` is there if it was asked for."""

    runs: list[Run] = []
    has_next: bool = False
    next_cursor: str | None = None
    total: int | None = None

    def __iter__(self) -> Iterator[Run]:
        return iter(self.runs)

    def __len__(self) -> int:
        return len(self.runs)


class LogEntry(Document, kw_only=True):
    """What happened in a run, for people: one line of its log."""

    time: str
    code: str
    description: str = ""
    details: Json = None


class LogPage(Document, kw_only=True):
    """A page of a run's log, from its beginning on."""

    entries: list[LogEntry] = []
    has_next: bool = False
    next_cursor: str | None = None

    def __iter__(self) -> Iterator[LogEntry]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)


class RunEvent(Document, kw_only=True):
    """One event of a run's record; `id` is where to go on from after it."""

    id: str = ""
    type: str = ""
    run: str = ""
    seq: int = 0
    time: str = ""
    details: Json = None


class Task(Document, kw_only=True):
    """A step carried out, with all its attempts and their evidence."""

    id: str
    step: str
    status: str
    run: str = ""
    item: int = 0
    key: str = ""
    index: int | None = None
    kind: str = ""
    reason: str | None = None
    error: RunError | None = None
    executor: str | None = None
    progress: dict[str, Json] | None = None
    variables: dict[str, Json] = {}
    started_at: str | None = None
    ended_at: str | None = None
    count: int = 1
    attempts: list[dict[str, Json]] = []
    approval: dict[str, Json] | None = None


class Approval(Document, kw_only=True):
    """A request to people: what they are asked and shown, who may answer, and who has."""

    id: str
    run: str
    task: str
    status: str
    prompt: str = ""
    shown: dict[str, Json] = {}
    shown_digest: str = ""
    by: list[str] = []
    approvals: int = 1
    reason_required: bool = False
    self_approval: bool = True
    asked_at: str = ""
    due_at: str | None = None
    decided_at: str | None = None
    decisions: list[dict[str, Json]] = []
    namespace: str = "default"
    flow: str | None = None
    definition_hash: str = ""
    label: str | None = None
    created_by: str = ""
    owner: str = ""
    may_answer: bool = False
    why_not: str | None = None


class ApprovalPage(Document, kw_only=True):
    """A page of requests, oldest first."""

    approvals: list[Approval]
    has_next: bool = False
    next_cursor: str | None = None


class RunFile(Document, kw_only=True):
    """A file of a run: an input, code, an output or a captured stream."""

    name: str
    blob: str
    size: int = 0
    role: str = ""
    task: str | None = None
    path: str = ""


class Flow(Document, kw_only=True):
    """What a flow's name means now."""

    flow: str | None = None
    flow_id: str | None = None
    namespace: str = "default"
    definition_hash: str = ""
    version: str | None = None
    title: str | None = None
    description: str | None = None


class BatchError(msgspec.Struct):
    """Why one entry of a batch was refused."""

    code: str = ""
    message: str = ""


class BatchResult(Document, kw_only=True):
    """What became of one entry of a batch: `run`, or `error`."""

    index: int = 0
    run_id: str | None = None
    run: Run | None = None
    error: BatchError | None = None


class BatchResponse(Document, kw_only=True):
    """The results of a batch, in the order asked."""

    results: list[BatchResult] = []

    def __iter__(self) -> Iterator[BatchResult]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)


class Sweep(Document, kw_only=True):
    """Which runs a sweep took, or would take."""

    runs: list[str] = []
    count: int = 0
    dry_run: bool = False


def json_of(body: bytes) -> Json:
    """Read an answer.

    Raises:
        Unreachable: it is no JSON, so whoever answered is not the server that we mean.
    """
    try:
        return msgspec.json.decode(body)
    except msgspec.DecodeError as wrong:
        raise Unreachable(f"what answers there is no Runnotary server: {wrong}") from None


def one_of(kind: type[Result], document: Json) -> Result:
    """Make a result of a document, and of the documents in it.

    Raises:
        RunnotaryError: the document is not of this kind.
    """
    try:
        result = msgspec.convert(document, kind)
    except msgspec.ValidationError as wrong:
        raise RunnotaryError(f"the server's answer is no {kind.__name__}: {wrong}") from None
    _keep(result, document)
    return result


def many_of(kind: type[Result], documents: Json) -> list[Result]:
    """Make results of a list of documents."""
    return [one_of(kind, document) for document in documents or []]


def _keep(result: Document, document: dict[str, Json]) -> None:
    """Give each result the document that it was made of."""
    result.raw = document
    for name, value in ((name, getattr(result, name)) for name in result.__struct_fields__):
        below = document.get(name)
        if isinstance(value, Document):
            _keep(value, below or {})
        elif isinstance(value, list) and value and isinstance(value[0], Document):
            for one, each in zip(value, below or [], strict=True):
                _keep(one, each)
