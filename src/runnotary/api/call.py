"""What a handler gets and gives: one call of one route, without the protocol it came over.

Rules of this file:

1. A handler knows words and the facade, nothing of HTTP but a status and a few headers; any transport that
   can fill a `Call` and read an answer may serve the route table.
2. What a handler returns says how it is sent: a document, bytes of the record, or frames of a feed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from runnotary.core.permissions import Who
from runnotary.engine.following import Frame
from runnotary.engine.operations import Operations

Json = Any


@dataclass(frozen=True)
class Call:
    """One call, its parts read and checked against the route's types.

    `query` and `body` are structs of the types that the route names; `headers` has lower-case names. A
    body of bytes that was too large for memory lies at `upload`.
    """

    operations: Operations
    who: Who
    path: Mapping[str, str] = field(default_factory=dict)
    query: Any = None
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    upload: Path | None = None


class Document(msgspec.Struct, frozen=True):
    """A JSON document."""

    value: Json
    status: int = 200
    headers: dict[str, str] = {}


class Content(msgspec.Struct, frozen=True):
    """Bytes of the record. `name` is what a browser would save them as."""

    data: bytes | Path
    name: str
    digest: str = ""
    media_type: str = "application/octet-stream"
    temporary: bool = False


@dataclass(frozen=True)
class Feed:
    """Frames that arrive as they happen."""

    frames: AsyncIterator[Frame]


Answer = Document | Content | Feed
Handler = Callable[[Call], Answer | Awaitable[Answer]]
