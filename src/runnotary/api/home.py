"""Routes about the server itself."""

from __future__ import annotations

from runnotary.api.call import Call, Document, Written
from runnotary.core.errors import NotFound


async def health(call: Call) -> Document:
    return Document({"status": "ok"})


async def openapi(call: Call) -> Document:
    return Document(call.description())


async def metrics(call: Call) -> Written:
    if call.exposition is None:
        raise NotFound("nothing is measured here")
    return Written(*call.exposition(call.headers.get("accept", "")))
