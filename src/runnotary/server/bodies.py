"""The body of a request: read no further than it may be long, and then of the type that its route names."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec
from starlette.requests import ClientDisconnect, Request

from runnotary.core.errors import InvalidInput

IN_MEMORY: Final = 64 * 1024
"""A body of bytes longer than this waits in a file."""

JSON_TYPES: Final = ("application/json",)


class BodyTooLarge(InvalidInput):
    """More bytes than this server takes."""

    code = "body_too_large"
    http_status = 413


class WrongMediaType(InvalidInput):
    """A body that says it is no JSON."""

    code = "unsupported_media_type"
    http_status = 415


class InvalidJson(InvalidInput):
    """A body that is no JSON at all."""

    code = "invalid_json"
    http_status = 400


class ClientGone(InvalidInput):
    """Nobody is there any more to hear this."""

    code = "client_gone"
    http_status = 400


@cache
def _decoder(kind: Any) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(kind)


async def document(request: Request, kind: Any, limit: int) -> Any:
    """Read a JSON body of a type. No body at all is an empty object.

    Raises:
        BodyTooLarge, WrongMediaType, InvalidJson: it cannot be read.
        InvalidInput: it is not of the type; the message says where.
    """
    data = b"".join([piece async for piece in pieces(request, limit)])
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if data and media not in JSON_TYPES:
        raise WrongMediaType(
            f"a body is JSON, not {media[:80] or 'of no type'}", hint="send Content-Type: application/json"
        )
    try:
        return _decoder(kind).decode(data or b"{}")
    except msgspec.ValidationError as wrong:
        raise InvalidInput(f"the body does not fit: {wrong}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as wrong:
        raise InvalidJson(f"the body is not JSON: {wrong}") from None


async def pieces(request: Request, limit: int) -> AsyncIterator[bytes]:
    """Yield the body as it arrives.

    Raises:
        BodyTooLarge: it says that it is longer than `limit` bytes, or turns out to be.
        ClientGone: the connection broke off.
    """
    said = request.headers.get("content-length", "")
    if said.isdecimal() and int(said) > limit:
        raise _too_large(limit)
    size = 0
    try:
        async for piece in request.stream():
            size += len(piece)
            if size > limit:
                raise _too_large(limit)
            yield piece
    except ClientDisconnect:
        raise ClientGone("the connection broke off") from None


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(
        f"a body has at most {limit:,} bytes here", hint="the server's settings: body_limit, blob_limit"
    )


@asynccontextmanager
async def upload(request: Request, limit: int, folder: Path) -> AsyncIterator[bytes | Path]:
    """Yield a body of bytes: in memory, or in a file in `folder` that is gone afterwards.

    Raises:
        BodyTooLarge, ClientGone: nothing is kept of it.
    """
    arriving = pieces(request, limit)
    first = bytearray()
    async for piece in arriving:
        first += piece
        if len(first) > IN_MEMORY:
            break
    else:
        yield bytes(first)
        return
    with tempfile.NamedTemporaryFile(prefix="upload-", dir=folder) as file:
        file.write(first)
        async for piece in arriving:
            file.write(piece)
        file.flush()
        yield Path(file.name)
