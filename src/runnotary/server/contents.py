"""Bytes of the record as a response: whole, or the range that was asked for (RFC 9110 §14).

What a step wrote is foreign: it is sent as an attachment or as plain text, never as a page of ours, and no
browser may guess another type.
"""

from __future__ import annotations

import asyncio
import os
import re
import stat
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final
from urllib.parse import quote

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from runnotary.api.call import Content
from runnotary.core.errors import NotFound
from runnotary.engine.questions import Bytes
from runnotary.ports import Blobs, Export

PIECE: Final = 256 * 1024
_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


class NothingThere(NotFound):
    """A range that begins behind the last byte."""

    http_status = 416


class Source:
    """Bytes that are read in pieces, from memory or from a file."""

    def __init__(self, source: Bytes, blobs: Blobs) -> None:
        self._data = b""
        self._handle = -1
        if source.path is None:
            self._data = blobs.get(source.digest) if source.digest else b""
            self.size = len(self._data)
            return
        try:
            # A step may have put anything in place of its output: no link is followed, no pipe waited for.
            flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            self._handle = os.open(source.path, flags)
        except OSError:
            self.size = 0  # it has not begun, or has just ended
            return
        state = os.fstat(self._handle)
        self.size = state.st_size if stat.S_ISREG(state.st_mode) else 0

    def pieces(self, begin: int, end: int) -> Iterator[bytes]:
        """Yield the bytes from `begin` to before `end`, then let go of the file."""
        try:
            while begin < end:
                most = min(PIECE, end - begin)
                piece = self._data[begin : begin + most] or os.pread(self._handle, most, begin)
                if not piece:
                    return  # a file that was cut meanwhile: the length told breaks the connection
                yield piece
                begin += len(piece)
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the file, if there is one."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1


async def response(content: Content, blobs: Blobs, wanted: str, *, head: bool) -> Response:
    """Return the response to a request for bytes; `wanted` is its header Range.

    Raises:
        NothingThere: the range begins behind the last byte.
    """
    source = await asyncio.to_thread(Source, content.bytes, blobs)
    try:
        part = span(wanted, source.size)
    except NothingThere:
        source.close()
        raise
    begin, end = part or (0, source.size)
    headers = headers_of(content) | {"content-length": str(end - begin)}
    status = 200
    if part is not None:
        status, headers["content-range"] = 206, f"bytes {begin}-{end - 1}/{source.size}"
    if head:
        source.close()
        return Response(b"", status, headers, content.media_type)
    if end - begin <= PIECE:
        return Response(b"".join(source.pieces(begin, end)), status, headers, content.media_type)
    return _Streamed(source, source.pieces(begin, end), status, headers, content.media_type)


class _Streamed(StreamingResponse):
    """A response in pieces of a source, which is let go of also if nobody takes the first of them."""

    def __init__(self, source: Source, pieces: Iterator[bytes], *words: Any) -> None:
        super().__init__(pieces, *words)
        self._source: Final = source

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._source.close()


def span(wanted: str, size: int) -> tuple[int, int] | None:
    """Return the one range that a header asks for; None if it asks for none that we know.

    Raises:
        NothingThere: it begins behind the last byte.
    """
    found = _RANGE.fullmatch(wanted.strip())
    if found is None or found[0] == "bytes=-":
        return None
    first, last = found[1], found[2]
    if not first:
        begin, end = max(0, size - int(last)), size
    else:
        begin, end = int(first), min(size, int(last) + 1 if last else size)
        if last and int(last) < begin:
            return None
    if begin >= size or begin >= end:
        raise NothingThere(f"there are {size:,} bytes; none from {begin:,} on")
    return begin, end


def made(export: Export, *, head: bool) -> Response:
    """Return the response that is a file made for this request: to be kept, whatever a browser could show."""
    headers = {"content-disposition": _named("attachment", export.name)}
    if head:
        return Response(b"", 200, headers, export.media_type)
    return StreamingResponse(_arriving(export.pieces), 200, headers, export.media_type)


async def _arriving(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    """Yield pieces that are read in threads: in those of the home, which waits for them before it closes."""
    while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
        yield piece


def _named(kind: str, name: str) -> str:
    plain = re.sub(r"[^A-Za-z0-9._ -]", "_", name)[:200] or "file"
    return f"{kind}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def headers_of(content: Content) -> dict[str, str]:
    """Return the headers that say what the bytes are, whatever their name may hold."""
    kind = "inline" if content.media_type.startswith("text/plain") else "attachment"
    found = {"content-disposition": _named(kind, content.bytes.name), "accept-ranges": "bytes"}
    if content.bytes.digest:
        found["etag"] = f'"{content.bytes.digest}"'
    if content.bytes.cut:
        found["runnotary-cut"] = "true"
    return found
