"""Every fact that may ever stand in a stream, as a closed family of frozen structs.

Rules of this file:

1. A `(code, version)` pair is frozen once released. Optional fields may be added; a new meaning is
   a new type. Old bytes are upcast on read, never rewritten.
2. The body of an event is the JSON of its struct without defaults; type, time and actor stand in the
   envelope (`core/chain.py`), so nothing is written twice.
3. Field values are what a reader needs to rebuild the state: no derived numbers, no floats of our own.
   Times are UTC in µs since 1970. Digests are `sha256:<hex>`.
4. A value over 16 KiB is kept as a blob and stands here as a `Large`.

Shapes are listed in `docs/format.md`; `CODES` is the one table of type codes.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

Json = Any
BODY_MAX: Final = 64 * 1024
VALUE_MAX: Final = 16 * 1024
KEYS_MAX: Final = 1000
ARCHIVED: Final = "archived"
UNARCHIVED: Final = "unarchived"


class File(msgspec.Struct, frozen=True, omit_defaults=True):
    """A file by its content: digest, size in bytes, the name it was produced or given under.

    `tree` marks a directory: the blob is then its manifest (`docs/format.md`, "Trees").
    """

    blob: str
    size: int
    name: str
    tree: bool = False


class Log(msgspec.Struct, frozen=True, omit_defaults=True):
    """A captured stream. `digest` and `size` are of all bytes; `blob` is what was kept of them."""

    digest: str
    size: int
    blob: str = ""
    truncated: bool = False


class Large(msgspec.Struct, frozen=True):
    """A JSON value kept as a blob of its canonical form."""

    blob: str
    size: int


class Failure(msgspec.Struct, frozen=True, omit_defaults=True):
    """What went wrong, in words a person can act on."""

    code: str
    message: str
    step: str = ""
    attempt: int = 0


class Trigger(msgspec.Struct, frozen=True, omit_defaults=True):
    kind: Literal["manual", "api", "schedule", "webhook", "asset", "parent", "agent"] = "manual"
    id: str = ""


class By(msgspec.Struct, frozen=True, omit_defaults=True):
    """Who acted and how that was established.

    `token` is the id of the access token, `groups` are those of the home's groups that the identity
    provider vouched for, `role` is what let them act: `owner`, `manager`, `operator@lab`, `admin@*`.
    """

    principal: str
    auth: Literal["os-user", "token", "oidc", "engine"] = "os-user"
    token: str = ""
    groups: tuple[str, ...] = ()
    role: str = ""


class Link(msgspec.Struct, frozen=True):
    rel: str
    run: str


class Event(msgspec.Struct, frozen=True, omit_defaults=True):
    """Base of the family; holds nothing."""


# --- run ---------------------------------------------------------------------------------------


class RunCreated(Event, frozen=True):
    """A run was accepted: what will be executed, on what, for whom.

    `key` is the client's own name for the request (`Idempotency-Key`), `key_body` the digest of the request.
    """

    definition: str
    engine: str
    durability: Literal["full", "normal"]
    by: By
    namespace: str = "default"
    flow: str = ""
    flow_id: str = ""
    title: str = ""
    description: str = ""
    inputs: dict[str, Json] = {}
    inputs_large: Large | None = None
    items: int = 1
    kind: str = "run"
    trigger: Trigger = Trigger()
    owner: str = ""
    label: str = ""
    tags: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    monitors: tuple[str, ...] = ()
    managers: tuple[str, ...] = ()
    links: tuple[Link, ...] = ()
    parent: str = ""
    parent_task: str = ""
    root: str = ""
    max_concurrency: int = 0
    on_failure: Literal["continue", "stop"] | None = None
    source: dict[str, Json] = {}
    key: str = ""
    key_body: str = ""


class RunUpdated(Event, frozen=True):
    """Words about the run changed: label, tags, labels, monitors, managers. Old and new stand here."""

    by: By
    was: dict[str, Json]
    set: dict[str, Json]


class RunHeld(Event, frozen=True):
    """The run must not be purged, or, if `released`, may be again."""

    by: By
    reason: str = ""
    released: bool = False


class RunCancelRequested(Event, frozen=True):
    """Someone asked for the end. `force` also stops the `finally` steps."""

    by: By
    reason: str = ""
    grace_ms: int = 10_000
    force: bool = False


class RunFinished(Event, frozen=True):
    """The outcome, once and for ever. `counts` is the number of tasks by state."""

    status: str
    reason: str = ""
    error: Failure | None = None
    outputs: dict[str, Json] = {}
    outputs_large: Large | None = None
    artifacts: dict[str, File] = {}
    metrics: dict[str, Json] = {}
    counts: dict[str, int] = {}


class RunAnnotated(Event, frozen=True):
    """Something learned after the end: a late report, an export, a signature. Changes no outcome.

    Of kind `ARCHIVED` the run leaves the lists; of kind `UNARCHIVED` it comes back.
    """

    kind: str
    data: dict[str, Json] = {}
    by: By | None = None
    reason: str = ""


# --- task --------------------------------------------------------------------------------------


class TaskExpanded(Event, frozen=True):
    """A `for_each` step became this many tasks: the evaluated list is part of the record."""

    key: str
    count: int
    items: list[Json] = []
    items_large: Large | None = None


class TaskStarted(Event, frozen=True):
    """Intent: this attempt will be started. Durable before anything happens outside.

    `variables` are the resolved `with` values, files among them by their content; `environment` are
    the public variables. Argv and declarations follow from the definition.
    """

    key: str
    attempt: int
    ready_at: int
    executor: str
    fingerprint: str
    deadline: int = 0
    variables: dict[str, Json] = {}
    variables_large: Large | None = None
    environment: dict[str, str] = {}
    staged: dict[str, Json] = {}
    place: str = ""


class TaskBound(Event, frozen=True):
    """A remote executor gave the attempt an identity of its own."""

    key: str
    attempt: int
    external: dict[str, Json]


class TaskReported(Event, frozen=True):
    """What a running step said about itself, coalesced."""

    key: str
    attempt: int
    progress: int | None = None
    message: str = ""
    metrics: dict[str, Json] = {}


class TaskWaiting(Event, frozen=True):
    """The task waits: for a timer or a child (stays `running`), for a person or a signal (`waiting`)."""

    key: str
    waits_for: Literal["timer", "child", "approval", "signal", "consent"]
    due: int = 0
    request: dict[str, Json] = {}
    shown_large: Large | None = None


class TaskSignalled(Event, frozen=True):
    """An answer from outside arrived."""

    key: str
    by: By
    payload: Json = None
    rule: str = ""


class TaskStopping(Event, frozen=True):
    """Intent: this attempt will be stopped, and why. Durable before the first signal is sent."""

    key: str
    attempt: int
    why: Literal["cancelled", "timeout", "stopped"]
    grace_ms: int = 10_000


class TaskEnded(Event, frozen=True):
    """Receipt: how one attempt ended, with its evidence. `retry` leaves the task open."""

    key: str
    attempt: int
    verdict: Literal["success", "failed", "cancelled", "lost", "retry"]
    reason: str = ""
    retry_at: int = 0
    error: Failure | None = None
    exit_code: int | None = None
    signal: int | None = None
    values: dict[str, Json] = {}
    values_large: Large | None = None
    files: dict[str, File] = {}
    stdout: Log | None = None
    stderr: Log | None = None
    started_at: int = 0
    exited_at: int = 0
    cpu_ms: int | None = None
    max_rss_bytes: int | None = None
    host: str = ""
    pid: int = 0
    environment: str = ""
    runtime: str = ""
    containment: str = ""
    metrics: dict[str, Json] = {}
    tries: list[Json] = []


class TaskSettled(Event, frozen=True):
    """Tasks that ended with no effect of their own: set, waited, skipped, expanded, caught."""

    keys: tuple[str, ...]
    status: str
    reason: str = ""
    values: dict[str, Json] = {}
    values_large: Large | None = None
    error: Failure | None = None
    because: str = ""


# --- ledger ------------------------------------------------------------------------------------


class DefinitionChanged(Event, frozen=True):
    """A flow's name now means this definition."""

    flow: str
    flow_id: str
    definition: str
    by: By
    namespace: str = "default"
    version: str = ""
    title: str = ""
    description: str = ""
    source: dict[str, Json] = {}


class AccessChanged(Event, frozen=True):
    """Who may do what has changed: a namespace, a principal's roles in it, a group, a token.

    `subject` is whose state `was` and is now `set`: a namespace, a principal, a group, a token's id.
    A token is here by the hash of its secret only.
    """

    kind: Literal["namespace", "roles", "group", "token"]
    namespace: str
    subject: str
    by: By
    reason: str = ""
    was: dict[str, Json] = {}
    set: dict[str, Json] = {}


class EngineNoted(Event, frozen=True):
    """Something about the engine or its host that a reader of the record should know."""

    kind: str
    data: dict[str, Json] = {}


class StreamErased(Event, frozen=True):
    """Bodies or a whole stream were taken away on purpose. The only licence for a missing body.

    With `seqs` these bodies; with `bodies` those of all `length` events; else everything, envelopes as well.
    """

    stream: str
    by: By
    reason: str = ""
    length: int = 0
    head: str = ""
    seqs: tuple[int, ...] = ()
    bodies: bool = False


class KeyChanged(Event, frozen=True):
    """A key that signs checkpoints came into use, went out of it, or must not be trusted any more.

    `key` is its public half (`core/notes.py`). `endorsed` is the signature of the key before it, in base64:
    whoever trusts that one can trust this one.
    """

    key: str
    state: Literal["active", "retired", "revoked"]
    by: By
    reason: str = ""
    endorsed: str = ""


CODES: Final[dict[type[Event], tuple[int, int]]] = {
    RunCreated: (1, 1),
    RunUpdated: (2, 1),
    RunHeld: (3, 1),
    RunCancelRequested: (4, 1),
    RunFinished: (7, 1),
    RunAnnotated: (8, 1),
    TaskStarted: (16, 1),
    TaskBound: (17, 1),
    TaskReported: (18, 1),
    TaskWaiting: (19, 1),
    TaskSignalled: (20, 1),
    TaskStopping: (21, 1),
    TaskEnded: (22, 1),
    TaskSettled: (23, 1),
    TaskExpanded: (24, 1),
    DefinitionChanged: (32, 1),
    AccessChanged: (33, 1),
    StreamErased: (37, 1),
    EngineNoted: (38, 1),
    KeyChanged: (39, 1),
}
"""Type code and version of every event. 5, 6 (items) and 34-36 (triggers, assets) are reserved."""

NAMES: Final[dict[type[Event], str]] = {
    RunCreated: "run.created",
    RunUpdated: "run.updated",
    RunHeld: "run.held",
    RunCancelRequested: "run.cancel_requested",
    RunFinished: "run.finished",
    RunAnnotated: "run.annotated",
    TaskStarted: "task.started",
    TaskBound: "task.bound",
    TaskReported: "task.reported",
    TaskWaiting: "task.waiting",
    TaskSignalled: "task.signalled",
    TaskStopping: "task.stopping",
    TaskEnded: "task.ended",
    TaskSettled: "task.settled",
    TaskExpanded: "task.expanded",
    DefinitionChanged: "definition.changed",
    AccessChanged: "access.changed",
    StreamErased: "stream.erased",
    EngineNoted: "engine.noted",
    KeyChanged: "key.changed",
}

_encoder: Final = msgspec.json.Encoder()
_decoders: Final = {pair: msgspec.json.Decoder(kind) for kind, pair in CODES.items()}
_names: Final = {pair: NAMES[kind] for kind, pair in CODES.items()}


class UnknownEvent(ValueError):
    """A type or version this release has never heard of, or a body that is not of its type."""


def encode(event: Event) -> bytes:
    """Write the body once; these bytes are what is hashed and stored."""
    return _encoder.encode(event)


def decode(code: int, version: int, body: bytes) -> Event:
    """Read a body by the type in its envelope.

    Raises:
        UnknownEvent: the pair is not in `CODES`, or the body does not fit it.
    """
    decoder = _decoders.get((code, version))
    if decoder is None:
        raise UnknownEvent(f"event type {code} version {version} is unknown to this release")
    try:
        return decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
        raise UnknownEvent(f"body of {_names[code, version]} does not fit its type: {wrong}") from None


def name(code: int, version: int) -> str:
    """Return the dotted name of a type code."""
    return _names.get((code, version), f"type {code}.{version}")
