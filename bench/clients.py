"""Clients that cost less than the server they measure: HTTP/1.1 as bytes, over connections that stay open."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Sequence
from typing import cast

import uvloop

HEAD_END = b"\r\n\r\n"
LENGTH = b"content-length: "
OK = b"HTTP/1.1 200 "


class Asking(asyncio.Protocol):
    """Sends the next request when the answer to the last one is whole; notes how long each took."""

    def __init__(self, requests: itertools.cycle[bytes], number: int) -> None:
        self._requests = requests
        self._left = number
        self._held = b""
        self._sent = 0.0
        self.took: list[float] = []
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._held += data
        head = self._held.find(HEAD_END)
        if head < 0:
            return
        at = self._held.find(LENGTH, 0, head) + len(LENGTH)
        length = int(self._held[at : self._held.index(b"\r\n", at)])
        if len(self._held) < head + len(HEAD_END) + length:
            return
        if not self._held.startswith(OK):
            self._end(RuntimeError(self._held[:500].decode()))
            return
        self.took.append(time.perf_counter() - self._sent)
        self._held = b""
        self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        self._end(error or ConnectionResetError("the server closed the connection"))

    def _ask(self) -> None:
        if self._left == 0:
            self._end(None)
            return
        self._left -= 1
        self._sent = time.perf_counter()
        self._transport.write(next(self._requests))

    def _end(self, error: Exception | None) -> None:
        if not self.done.done():
            self._transport.close()
            self.done.set_result(None) if error is None else self.done.set_exception(error)


def asked(port: int, requests: Sequence[bytes], number: int, connections: int) -> tuple[float, list[float]]:
    """Ask so often in all over so many connections; return seconds in all, and of each answer.

    Raises:
        RuntimeError: an answer was not 200.
    """

    async def whole() -> tuple[float, list[float]]:
        loop, cycle = asyncio.get_running_loop(), itertools.cycle(requests)
        started = time.perf_counter()
        asking = [
            (await loop.create_connection(lambda: Asking(cycle, number // connections), "127.0.0.1", port))[1]
            for _ in range(connections)
        ]
        await asyncio.gather(*[one.done for one in asking])
        return time.perf_counter() - started, [took for one in asking for took in one.took]

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(whole())


class Follower(asyncio.Protocol):
    """Follows an event stream to its end, and keeps the ids it was given, in order."""

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._rest = b""
        self.ids: list[int] = []
        self.begun: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        lines = (self._rest + data).split(b"\n")
        self._rest = lines.pop()
        for line in lines:
            if line.startswith(b"id: "):
                self.ids.append(int(line[4:]))
            elif line.startswith(b"event: end"):
                self._end(None)
            elif line.startswith(b"HTTP/1.1 ") and not line.startswith(OK):
                self._end(RuntimeError(line.decode()))
        if self.ids and not self.begun.done():
            self.begun.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        self._end(error or ConnectionResetError("the server closed the connection"))

    def _end(self, error: Exception | None) -> None:
        for future in (self.begun, self.ended):
            if not future.done():
                future.set_result(None) if error is None else future.set_exception(error)
        self._transport.close()
