"""A client that does not read, over a real socket: it holds little, delays nobody, and is hung up on."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
import uvloop
from starlette.types import ASGIApp, Receive, Scope, Send

from runnotary.engine.following import Frame
from runnotary.server.connections import Connection
from runnotary.server.feeds import TOGETHER, FeedResponse

Json = Any
PATIENCE_S = 60.0
BUFFER = 64 * 1024
"""Bytes of a transport's buffer from which on uvicorn lets an answer wait."""


class Impatient(Connection):
    """A connection that is cut soon, and remembers how much ever waited in it."""

    stall_s = 0.2
    most = 0
    cut = 0

    def pause_writing(self) -> None:
        Impatient.most = max(Impatient.most, self.transport.get_write_buffer_size())
        super().pause_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        Impatient.cut += 1
        super().connection_lost(exc)


class Endless:
    """A feed that always has more."""

    def __init__(self) -> None:
        self.sent = 0
        self.ended = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def known() -> bool:
            return True

        feed = FeedResponse(self._frames(), {}, closing=asyncio.Event(), still=known)
        await feed(scope, receive, send)
        self.ended.set()

    async def _frames(self) -> AsyncGenerator[list[Frame], None]:
        while True:
            self.sent += 1
            yield [Frame(str(self.sent), "task.ended", b'"%s"' % (b"x" * 10_000))] * 10


@asynccontextmanager
async def serving(app: ASGIApp) -> AsyncIterator[int]:
    """Serve an application as `up` does; yield the port."""
    Impatient.most = Impatient.cut = 0
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        server = uvicorn.Server(
            uvicorn.Config(app, http=Impatient, ws="none", lifespan="off", log_config=None)
        )
        server.capture_signals = contextlib.nullcontext  # type: ignore[assignment,method-assign]
        task = asyncio.create_task(server.serve(sockets=[listening]))
        while not server.started:
            await asyncio.sleep(0.005)
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            await asyncio.wait_for(task, PATIENCE_S)


async def connected(port: int) -> socket.socket:
    """Ask for the feed over a socket that takes as little as a socket can."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(client, ("127.0.0.1", port))
    await loop.sock_sendall(client, b"GET /events HTTP/1.1\r\nhost: localhost\r\n\r\n")
    return client


def run(scene: Any) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(scene, PATIENCE_S))


def test_who_reads_nothing_is_hung_up_on_and_held_little() -> None:
    async def scene() -> None:
        feed = Endless()
        async with serving(feed) as port:
            with await connected(port):
                await feed.ended.wait()
                while not Impatient.cut:
                    await asyncio.sleep(0.01)
        assert BUFFER < Impatient.most < BUFFER + TOGETHER + 16_384

    run(scene())


def test_who_reads_slowly_is_served() -> None:
    """A little at a time, and more than `stall_s` until the buffer is empty enough for more."""

    async def scene() -> None:
        feed = Endless()
        async with serving(feed) as port:
            with await connected(port) as client:
                loop = asyncio.get_running_loop()
                while not Impatient.most:
                    await asyncio.sleep(0.01)
                before = feed.sent
                while feed.sent < before + 3:
                    assert await loop.sock_recv(client, 65_536)
                    assert not feed.ended.is_set()
                assert not Impatient.cut

    run(scene())


@pytest.mark.parametrize("size", [1024, 8 * 1024 * 1024])
def test_an_answer_that_nobody_takes_is_dropped(size: int) -> None:
    """Also one that was sent whole: what is left of it does not wait for its reader for ever."""

    async def scene() -> None:
        async def large(scope: Scope, receive: Receive, send: Send) -> None:
            await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
            await send({"type": "http.response.body", "body": b"x" * size})

        async with serving(large) as port:
            with await connected(port):
                while not Impatient.cut:
                    await asyncio.sleep(0.01)

    run(scene())
