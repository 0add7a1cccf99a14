"""What a route is: a row of the table in `routes.py`, and the parts that many rows share.

`needs` says what the caller must be granted: an action on the run, in the namespace of the call, or in
`somewhere`; `known` is anybody with credentials that count, `nothing` is everybody. It tells; the operations
decide.
"""

from __future__ import annotations

import re
from typing import Any, Final, Literal

import msgspec

from runnotary.api import results, wire
from runnotary.api.call import Handler
from runnotary.engine.requests import RunRequest

API: Final = "/api/v1"
JSON: Final = "application/json"
BYTES: Final = "application/octet-stream"
TEXT: Final = "text/plain"
EVENTS: Final = "text/event-stream"
ZIP: Final = "application/zip"
HTML: Final = "text/html"
NDJSON: Final = "application/x-ndjson"


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One row.

    `answers` are the statuses of success with the type of their document; `problems` the statuses that a
    refusal may have beside those of every route. `also` are the other types that `format` may choose. A
    handler that is no coroutine runs in a thread.
    """

    verb: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    handler: Handler
    summary: str
    needs: str
    query: type[msgspec.Struct] = wire.Query
    body: type[Any] | None = None
    answers: dict[int, Any]
    problems: tuple[int, ...] = ()
    media: str = JSON
    also: tuple[str, ...] = ()
    headers: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The operation's name, unlike any other's."""
        words = re.sub(r"[{}:/.-]+", "_", self.path.removeprefix(API)).strip("_")
        return f"{self.verb.lower()}_{words}"


def row(
    what: str, handler: Handler, summary: str, needs: str, answer: Any = results.RunDocument, **words: Any
) -> Route:
    """Return a row: `what` is verb and path below the API, `answer` the type of its 200, or all answers."""
    verb, _, path = what.partition(" ")
    words["answers"] = answer if isinstance(answer, dict) else {200: answer}
    words.setdefault("problems", (404,) if verb == "GET" else (404, 409))
    full = path if path in BESIDE else API + path
    return Route(verb=verb, path=full, handler=handler, summary=summary, needs=needs, **words)  # type: ignore[arg-type]


BESIDE: Final = ("/metrics",)
RUN: Final = results.RunDocument
STARTED: Final = {200: RUN, 201: RUN, 202: RUN}
PART: Final = {200: bytes, 206: bytes}
STARTING: Final[dict[str, Any]] = {
    "query": wire.InNamespace,
    "body": RunRequest,
    "headers": ("idempotency-key", "prefer", "traceparent"),
}
WHY: Final[dict[str, Any]] = {"body": wire.Why}
BYTES_OF: Final[dict[str, Any]] = {"problems": (404, 416), "headers": ("range",)}
FEED: Final[dict[str, Any]] = {"query": wire.After, "media": EVENTS, "headers": ("last-event-id",)}

READ: Final = "read on run"
READ_SOMEWHERE: Final = "read somewhere"
READ_HERE: Final = "read in namespace"
START_HERE: Final = "start in namespace"
ADMIN_HERE: Final = "administer in namespace"
ADMIN: Final = "administer everywhere"
KNOWN: Final = "known"
NOTHING: Final = "nothing"
