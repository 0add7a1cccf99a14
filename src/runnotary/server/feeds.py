"""Server-sent events: frames written as they come, a comment when nothing came, an end when it is time.

Rules of this file:

1. Nothing is buffered for a client but what the connection itself holds; the follower pulls. A client that
   takes nothing is hung up on (connections.py): it goes on by its Last-Event-ID when it comes back.
2. At every heartbeat it is asked again who the client is: what was revoked ends here too.
3. When the server shuts down every feed ends, and the clients come back to the next server.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager, aclosing, nullcontext
from typing import Final

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from runnotary.engine.following import Frame

HEARTBEAT_S: Final = 15.0
TOGETHER: Final = 32 * 1024
"""Bytes of events that are sent at a time."""

RETRY: Final = b"retry: 1000\n\n"
HEARTBEAT: Final = b": \n\n"
_HEADERS: Final = {"cache-control": "no-store", "x-accel-buffering": "no"}


def written(frame: Frame) -> bytes:
    """Write a frame as an event; its data is JSON, which has no line breaks."""
    mark = f"id: {frame.id}\n" if frame.id else ""
    return b"%sevent: %s\ndata: %s\n\n" % (mark.encode(), frame.type.encode(), frame.data)


class FeedResponse(Response):
    """A response that goes on until the frames, the client or the server end."""

    media_type = "text/event-stream"

    def __init__(
        self,
        frames: AsyncGenerator[list[Frame], None],
        headers: Mapping[str, str],
        *,
        closing: asyncio.Event,
        still: Callable[[], Awaitable[bool]],
        counted: Callable[[], AbstractContextManager[object]] = nullcontext,
        heartbeat_s: float = HEARTBEAT_S,
    ) -> None:
        self._frames: Final = frames
        self._closing: Final = closing
        self._still: Final = still
        self._counted: Final = counted
        self._heartbeat_s: Final = heartbeat_s
        self._quiet = True
        self.status_code = 200
        self.background = None
        self.init_headers({**_HEADERS, **headers})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._send: Send = send
        await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
        frames = asyncio.ensure_future(self._frames_out())
        ends = [frames, *map(asyncio.ensure_future, (self._beats(), self._closing.wait(), _gone(receive)))]
        try:
            with self._counted():
                await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in ends:
                task.cancel()
            results = await asyncio.gather(*ends, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _frames_out(self) -> None:
        await self._put(RETRY)
        async with aclosing(self._frames) as arriving:
            async for frames in arriving:
                waiting = b""
                for frame in frames:
                    waiting += written(frame)
                    if len(waiting) >= TOGETHER:
                        await self._put(waiting)
                        waiting = b""
                if waiting:
                    await self._put(waiting)
                await asyncio.sleep(0)  # a long past must not keep others waiting

    async def _beats(self) -> None:
        """Say something when nobody else does, as long as the client is who it was."""
        while True:
            self._quiet = True
            await asyncio.sleep(self._heartbeat_s)
            if not await self._still():
                return
            if self._quiet:
                await self._put(HEARTBEAT)

    async def _put(self, data: bytes) -> None:
        self._quiet = False
        await self._send({"type": "http.response.body", "body": data, "more_body": True})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
