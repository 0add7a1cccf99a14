"""What callers send: the parameters of each route's query, and the bodies.

Any word that stands in no struct here is refused. Times in a query are RFC 3339 or a date.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from runnotary.core.lineage import DEPTH, DEPTH_MAX, Direction
from runnotary.core.states import State
from runnotary.engine.requests import Changes, Word

Json = Any
Namespace = Annotated[str, Meta(max_length=64, description="namespace; `default` if absent")]
Namespaces = Annotated[tuple[str, ...], Meta(description="any of these namespaces; `*` is every")]
RunName = Annotated[str, Meta(min_length=1, max_length=200)]
Digest = Annotated[str, Meta(pattern="^sha256:[0-9a-f]{64}$", description="sha256:… of a file")]
Reason = Annotated[str, Meta(max_length=1000, description="why, for the record")]
Time = Annotated[str, Meta(description="RFC 3339, or a date: its first moment in UTC")]
Some = tuple[str, ...]
Size = Annotated[int, Meta(ge=1, le=1000)]
Offset = Annotated[int, Meta(ge=0, le=1_000_000)]
Cursor = Annotated[str, Meta(max_length=1000, description="`next_cursor` of the page before")]
Days = Annotated[str, Meta(max_length=20, description="a duration: 30d, 12h, 90m")]
SomeOrOne = str | tuple[str, ...]
OrderBy = Literal["created_at", "started_at", "ended_at", "label", "flow", "status"]


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """Parameters of a query; this one has none."""


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A JSON body; this one is empty."""


class InNamespace(Query, frozen=True):
    namespace: Namespace = ""


class Versions(InNamespace, frozen=True):
    from_: Annotated[str, Meta(max_length=200, description="version or hash; the one before if absent")] = (
        msgspec.field(default="", name="from")
    )
    to: Annotated[str, Meta(max_length=200, description="version or hash; the newest if absent")] = ""


class ListFlows(Query, frozen=True):
    namespace: Namespaces = ()


class ListRuns(Query, frozen=True):
    """Filters: AND between words, OR between the values of one word."""

    flow: Some = ()
    status: tuple[State, ...] = ()
    kind: Some = ()
    tag: Some = ()
    label: Annotated[str, Meta(description="a part of the label, whatever the case")] = ""
    created_by: Some = ()
    owner: Some = ()
    parent: str = ""
    asset: Some = ()
    q: Annotated[str, Meta(description="text in label, flow, tags or error, or the start of an id")] = ""
    namespace: Namespaces = ()
    started_from: Time | None = None
    started_to: Time | None = None
    ended_from: Time | None = None
    ended_to: Time | None = None
    order_by: OrderBy = "created_at"
    order: Literal["asc", "desc"] = "desc"
    limit: Size = 50
    offset: Offset = 0
    cursor: Cursor = ""
    total: bool = False
    include_archived: bool = False


class Page(Query, frozen=True):
    limit: Size = 100
    offset: Offset = 0
    cursor: Cursor = ""


class AsGraph(Query, frozen=True):
    format: Annotated[
        Literal["json", "text", "mermaid", "dot"], Meta(description="how the graph is written")
    ] = "json"


class OfContent(AsGraph, frozen=True, kw_only=True):
    blob: Digest
    direction: Annotated[Direction, Meta(description="`up`: who made it; `down`: who used it")] = "both"
    depth: Annotated[int, Meta(ge=1, le=DEPTH_MAX, description="runs in a row that are followed")] = DEPTH


class ListApprovals(Query, frozen=True):
    namespace: Namespaces = ()
    flow: Some = ()
    run: Annotated[str, Meta(max_length=200, description="of this run, those that are over too")] = ""
    status: tuple[Literal["waiting", "approved", "rejected", "timeout", "cancelled"], ...] = ()
    mine: Annotated[bool, Meta(description="only what the caller may answer now")] = False
    limit: Size = 50
    cursor: Cursor = ""


class AsFile(Query, frozen=True):
    format: Annotated[
        Literal["bundle", "ro-crate", "openlineage", "html"], Meta(description="what kind of file")
    ] = "bundle"


class OfTask(Query, frozen=True):
    item: (
        Annotated[int, Meta(ge=0, le=10_000_000, description="task of a `for_each` step, from 0")] | None
    ) = None


class OfStream(OfTask, frozen=True):
    attempt: Annotated[int, Meta(ge=1, le=100_000, description="this attempt, not the last")] | None = None


class AfterSeq(Query, frozen=True):
    after: Annotated[int, Meta(ge=0, le=2**53, description="only events after this one, by `seq`")] = 0


class After(Query, frozen=True):
    """Where to begin if the header Last-Event-ID says nothing: after this id; `latest` is now."""

    after: Annotated[str, Meta(max_length=20, pattern="^(latest|[0-9]*)$")] = ""


class Because(Query, frozen=True):
    reason: Reason = ""


class ByRole(Because, frozen=True):
    role: Annotated[str, Meta(max_length=32, description="this role; every one if absent")] = ""


LogSize = Annotated[int, Meta(ge=0, le=2**62)]


class OfSize(Query, frozen=True):
    size: Annotated[LogSize, Meta(description="the checkpoint of so many entries; 0 is the newest")] = 0


class OfEntry(Query, frozen=True):
    """One of the two."""

    run: Annotated[str, Meta(max_length=200, description="a run: the last entry of its stream")] = ""
    entry: Annotated[LogSize, Meta(description="an entry of the log, from 1")] = 0


class TwoSizes(Query, frozen=True):
    old: Annotated[LogSize, Meta(description="entries of the smaller log")] = 0
    new: Annotated[LogSize, Meta(description="entries of the larger log; 0 is all there are")] = 0


class AuditQuery(msgspec.Struct, frozen=True, kw_only=True, rename={"since": "from", "until": "to"}):
    """Who did what, when and why; what is left out counts for nothing."""

    who: Annotated[str, Meta(max_length=256, description="a principal, or `engine`")] = ""
    what: Annotated[tuple[str, ...], Meta(description="types of events, or their first word")] = ()
    run: Annotated[str, Meta(max_length=200)] = ""
    namespace: Annotated[str, Meta(max_length=64)] = ""
    since: Time | None = None
    until: Time | None = None
    why: Annotated[str, Meta(max_length=200, description="part of a reason")] = ""
    order: Literal["desc", "asc"] = "desc"
    limit: Annotated[int, Meta(ge=1, le=500)] = 50
    cursor: Annotated[str, Meta(max_length=2000)] = ""
    format: Literal["json", "csv"] | None = None


class WhatToVerify(InNamespace, frozen=True):
    """A run, or a flow; everything if neither is named."""

    run: Annotated[str, Meta(max_length=200)] = ""
    task: Annotated[str, Meta(max_length=200, description="a task of the run, by id, key or step")] = ""
    flow: Annotated[str, Meta(max_length=128)] = ""
    deep: Annotated[bool, Meta(description="read every blob too")] = False


# --- bodies --------------------------------------------------------------------------------------


class FlowBody(Body, frozen=True):
    """A definition to register; the words beside it win over those in the document.

    `test`, `order`, `inputs` and `steps` are words too, which are not kept.
    """

    definition: dict[str, Json]
    namespace: Namespace = ""
    flow: Annotated[str, Meta(max_length=128)] = ""
    version: Word = ""
    title: Word = ""
    description: Annotated[str, Meta(max_length=4000)] = ""
    test: Json = None
    order: tuple[str, ...] = ()
    inputs: dict[str, dict[str, str]] = msgspec.field(default_factory=dict)
    steps: dict[str, dict[str, str]] = msgspec.field(default_factory=dict)


class Why(Body, frozen=True):
    reason: Reason = ""


class KeyBody(Why, frozen=True):
    name: Annotated[str, Meta(max_length=200, description="what it is called; like the log if absent")] = ""


class CancelBody(Why, frozen=True):
    grace_ms: Annotated[int, Meta(ge=0, le=86_400_000, description="ms between asking and killing")] = 10_000
    force: Annotated[bool, Meta(description="leave out the `finally` steps")] = False


class AnswerBody(Body, frozen=True):
    """An answer. With `shown_digest` it counts only if that is what the request shows."""

    reason: Reason = ""
    shown_digest: Annotated[str, Meta(pattern="^(sha256:[0-9a-f]{64})?$")] = ""


Runs = Annotated[tuple[RunName, ...], Meta(min_length=1, max_length=1000)]


AtOnce = Annotated[int, Meta(le=1000, description="at a time; 10 if absent or not positive")]
Entries = Annotated[
    tuple[Json, ...],
    Meta(
        min_length=1,
        max_length=1000,
        description="what is wrong with one entry is said in its own result",
        extra_json_schema={"items": {"$ref": "#/components/schemas/RunRequest"}},
    ),
]


class BatchStart(Body, frozen=True):
    runs: Entries
    concurrency: AtOnce = 0


class BatchGet(Body, frozen=True):
    ids: Runs


class BatchCancel(Body, frozen=True):
    ids: Runs
    reason: Reason = ""
    grace_ms: Annotated[int, Meta(ge=0, le=86_400_000)] = 10_000
    concurrency: AtOnce = 0


class Update(Changes, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """Changes of one run, by its id."""

    id: RunName
    if_match: Annotated[str, Meta(max_length=100)] = ""


class BatchUpdate(Body, frozen=True):
    updates: Annotated[
        tuple[Json, ...],
        Meta(
            min_length=1,
            max_length=1000,
            extra_json_schema={"items": {"$ref": "#/components/schemas/Update"}},
        ),
    ]
    concurrency: AtOnce = 0


class Sweep(Body, frozen=True):
    """Which ended runs to put away: older than this, and as every filter says."""

    older_than: Days
    flow: SomeOrOne = ()
    status: State | tuple[State, ...] = ()
    kind: SomeOrOne = ()
    tag: SomeOrOne = ()
    label: Word = ""
    created_by: SomeOrOne = ()
    owner: SomeOrOne = ()
    parent: Annotated[str, Meta(max_length=26)] = ""
    asset: SomeOrOne = ()
    q: Word = ""
    namespace: SomeOrOne = ()
    started_from: Time | None = None
    started_to: Time | None = None
    ended_from: Time | None = None
    ended_to: Time | None = None
    include_archived: bool = False
    reason: Reason = ""
    dry_run: bool = False


class NamespaceBody(Body, frozen=True):
    name: Annotated[str, Meta(min_length=1, max_length=64)]
    title: Word = ""
    reason: Reason = ""


class RoleBody(Body, frozen=True):
    role: Annotated[str, Meta(min_length=1, max_length=32)]
    reason: Reason = ""


class TokenBody(Body, frozen=True):
    """A token for a principal; one's own if none is named. `scopes` are actions and `namespace:NAME`."""

    name: Annotated[str, Meta(max_length=100)] = ""
    principal: Annotated[str, Meta(max_length=256)] = ""
    scopes: Annotated[tuple[str, ...], Meta(max_length=64)] = ()
    expires_at: Time | None = None
    reason: Reason = ""


class GroupBody(Body, frozen=True):
    members: Annotated[tuple[str, ...], Meta(max_length=200)]
    reason: Reason = ""
