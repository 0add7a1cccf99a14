"""What a listing of runs is asked for: filters, order, page."""

from __future__ import annotations

from typing import Literal

import msgspec

from runnotary.core.permissions import Visible

OrderBy = Literal["created_at", "started_at", "ended_at", "label", "flow", "status"]


class RunQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Filters of a listing: AND between fields, OR inside one; what is empty filters nothing.

    `label` is a substring; every word of `q` is one of label, flow, a tag or the error's message, or begins
    the id; both whatever the case. Times are µs since 1970, both ends included; a run that has not started
    or ended is in no range. `tag` is any of these; `parent` is a run's id as text. `asset` matches nothing
    until there are assets. `visible` is what the caller may see; None is all of it.

    The order is that of `order_by`, then of the ids, both in the same direction. `created_at` is the order
    of the ids themselves, which hold that time to the microsecond. Without a time comes before any time.
    `after` is that value and the id of the last run already seen: the next page costs the same as the first,
    which `offset` cannot promise, and rows that are inserted meanwhile move nothing.
    """

    namespace: tuple[str, ...] = ()
    flow: tuple[str, ...] = ()
    status: tuple[str, ...] = ()
    kind: tuple[str, ...] = ()
    tag: tuple[str, ...] = ()
    created_by: tuple[str, ...] = ()
    owner: tuple[str, ...] = ()
    asset: tuple[str, ...] = ()
    label: str = ""
    parent: str = ""
    q: str = ""
    prefix: str = ""
    started_from: int | None = None
    started_to: int | None = None
    ended_from: int | None = None
    ended_to: int | None = None
    roots_only: bool = False
    include_archived: bool = False
    visible: Visible | None = None
    order_by: OrderBy = "created_at"
    descending: bool = True
    after: tuple[int | str | None, bytes] | None = None
    limit: int = 50
    offset: int = 0


class ContentQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Ended runs that `made` a content, or were given it: the newest that began before `before`, or the
    oldest that began after `after`. `visible` is what the caller may see; None is all of it.
    """

    blob: str
    made: bool
    before: bytes | None = None
    after: bytes | None = None
    visible: Visible | None = None
    limit: int = 50
