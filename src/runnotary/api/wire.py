"""What callers send: the parameters of each route's query, and the bodies.

Any word that stands in no struct here is refused. Times in a query are RFC 3339 or a date.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from runnotary.core.states import State
from runnotary.engine.requests import Changes, RunRequest, Word

Json = Any
Namespace = Annotated[str, Meta(max_length=64, description="namespace; `default` if absent")]
Namespaces = Annotated[tuple[str, ...], Meta(description="any of these namespaces; `*` is every")]
RunName = Annotated[str, Meta(min_length=1, max_length=200)]
Reason = Annotated[str, Meta(max_length=1000, description="why, for the record")]
Time = Annotated[str, Meta(description="RFC 3339, or a date: its first moment in UTC")]
Any_ = tuple[str, ...]
Size = Annotated[int, Meta(ge=1, le=1000)]
Offset = Annotated[int, Meta(ge=0, le=1_000_000)]
Cursor = Annotated[str, Meta(max_length=1000, description="`next_cursor` of the page before")]
Days = Annotated[str, Meta(max_length=20, description="a duration: 30d, 12h, 90m")]
OrderBy = Literal["created_at", "started_at", "ended_at", "label", "flow", "status"]


class Query(msgspec.Struct, frozen=True, kw_only=True):
    """Parameters of a query; this one has none."""


class Body(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A JSON body; this one is empty."""


class InNamespace(Query, frozen=True):
    namespace: Namespace = ""


class ListFlows(Query, frozen=True):
    namespace: Namespaces = ()


class ListRuns(Query, frozen=True):
    """Filters: AND between words, OR between the values of one word."""

    flow: Any_ = ()
    status: tuple[State, ...] = ()
    kind: Any_ = ()
    tag: Any_ = ()
    label: Annotated[str, Meta(description="a part of the label, whatever the case")] = ""
    created_by: Any_ = ()
    owner: Any_ = ()
    parent: str = ""
    asset: Any_ = ()
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


class OfTask(Query, frozen=True):
    item: Annotated[int, Meta(ge=0, description="which task of a `for_each` step, from 0")] | None = None


class OfStream(OfTask, frozen=True):
    attempt: Annotated[int, Meta(ge=1, description="this attempt, not the last")] | None = None


class After(Query, frozen=True):
    after: Annotated[str, Meta(max_length=64, description="as the header Last-Event-ID")] = ""


# --- bodies --------------------------------------------------------------------------------------


class FlowBody(Body, frozen=True):
    """A definition to register; the words beside it win over those in the document."""

    definition: dict[str, Json]
    namespace: Namespace = ""
    flow: Annotated[str, Meta(max_length=128)] = ""
    version: Word = ""
    title: Word = ""
    description: Annotated[str, Meta(max_length=4000)] = ""


class Why(Body, frozen=True):
    reason: Reason = ""


class CancelBody(Why, frozen=True):
    grace_ms: Annotated[int, Meta(ge=0, le=86_400_000, description="ms between asking and killing")] = 10_000
    force: Annotated[bool, Meta(description="leave out the `finally` steps")] = False


Runs = Annotated[tuple[RunName, ...], Meta(min_length=1, max_length=1000)]


class BatchStart(Body, frozen=True):
    runs: Annotated[tuple[RunRequest, ...], Meta(min_length=1, max_length=1000)]
    concurrency: Annotated[int, Meta(le=1000, description="at a time; 10 if absent or not positive")] = 0


class BatchGet(Body, frozen=True):
    ids: Runs


class BatchCancel(Body, frozen=True):
    ids: Runs
    reason: Reason = ""
    grace_ms: Annotated[int, Meta(ge=0, le=86_400_000)] = 10_000
    concurrency: Annotated[int, Meta(le=1000)] = 0


class Update(Changes, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    id: RunName
    if_match: Annotated[str, Meta(max_length=100)] = ""


class BatchUpdate(Body, frozen=True):
    updates: Annotated[tuple[Update, ...], Meta(min_length=1, max_length=1000)]
    concurrency: Annotated[int, Meta(le=1000)] = 0


class Sweep(Body, frozen=True):
    """Which ended runs to put away: all filters must hold."""

    older_than: Days
    flow: Any_ = ()
    status: tuple[State, ...] = ()
    kind: Any_ = ()
    tag: Any_ = ()
    label: Word = ""
    created_by: Any_ = ()
    owner: Any_ = ()
    namespace: tuple[str, ...] = ()
    include_archived: bool = False
    reason: Reason = ""
    dry_run: bool = False
