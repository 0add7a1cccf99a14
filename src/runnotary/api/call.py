"""What a handler gets and gives: one call of one route, without the protocol it came over.

Rules of this file:

1. A handler knows words and the facade, nothing of HTTP but a status and a few headers; any transport that
   can fill a `Call` and read an answer may serve the route table.
2. What a handler returns says how it is sent: a document, bytes of the record, or frames of a feed.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from runnotary.core.permissions import Who
from runnotary.engine.following import Frame
from runnotary.engine.operations import Operations
from runnotary.engine.questions import Bytes
from runnotary.ports import Export

Json = Any


@dataclass(frozen=True)
class Call:
    """One call, its parts read and checked against the route's types.

    `query` and `body` are structs of the types that the route names; a body of bytes is `bytes`, or the path
    of a file if it is long. `headers` has lower-case names. On routes for everybody nobody is known.
    """

    operations: Operations
    who: Who
    path: Mapping[str, str] = field(default_factory=dict)
    query: Any = None
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    description: Callable[[], Json] = dict
    exposition: Callable[[str], tuple[bytes, str]] | None = None


class Document(msgspec.Struct, frozen=True):
    """A JSON document."""

    value: Json
    status: int = 200
    headers: dict[str, str] = {}


class Content(msgspec.Struct, frozen=True):
    """Bytes of the record."""

    bytes: Bytes
    media_type: str = "application/octet-stream"


class Written(msgspec.Struct, frozen=True):
    """Text that was written already."""

    data: bytes
    media_type: str
    headers: dict[str, str] = {}


class Made(msgspec.Struct, frozen=True):
    """A file that was made for this call."""

    export: Export


@dataclass(frozen=True)
class Feed:
    """Frames that arrive as they happen."""

    frames: AsyncGenerator[list[Frame], None]
    headers: Mapping[str, str] = field(default_factory=dict)


Answer = Document | Content | Written | Made | Feed
Handler = Callable[[Call], Answer | Awaitable[Answer]]
