"""An ASGI application asked in this process: a loop in a thread of its own, and transports to it.

The application lives in its own thread, so nothing that the caller does, or does not do, holds it up; many
threads and loops may ask at once. Answers arrive as they are sent, so a feed of events works as over a wire.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, MutableMapping
from typing import Any, Final, TypeVar

import httpx2

T = TypeVar("T")
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]
CALLER: Final = ("127.0.0.1", 0)
UNREAD: Final = 64
"""Parts of an answer that may lie here before whoever sends more has to wait for the reader."""


class LoopThread:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self.loop: Final = asyncio.new_event_loop()
        self._thread: Final = threading.Thread(target=self.loop.run_forever, name="runnotary", daemon=True)
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine there and return its result here."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result()

    def close(self) -> None:
        """Let what still runs there end, and the loop with it."""
        self.run(self._wound_up())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    async def _wound_up(self) -> None:
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await self.loop.shutdown_asyncgens()
        await self.loop.shutdown_default_executor()


class Exchange:
    """One request and its answer.

    `tell` gets, in the application's thread, the parts of the answer, and None after the last; the other
    thread calls `taken` for each part that it has read, and `leave` when it wants no more.
    """

    def __init__(self, app: App, request: httpx2.Request, tell: Callable[[Message | None], None]) -> None:
        self._app: Final = app
        self._scope: Final = scope_of(request)
        self._body: bytes | None = request.content
        self._tell: Final = tell
        self._unread = 0
        self._gone = asyncio.Event()
        self._moved = asyncio.Event()

    async def run(self) -> None:
        """Ask the application; whatever goes wrong there is an answer that breaks off here."""
        try:
            await self._app(self._scope, self._receive, self._send)
        finally:
            self._tell(None)

    def taken(self) -> None:
        """Note that a part was read."""
        self._unread -= 1
        self._moved.set()

    def leave(self) -> None:
        """Note that nobody reads any more."""
        self._gone.set()
        self._moved.set()

    async def _receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        while self._unread >= UNREAD and not self._gone.is_set():
            self._moved.clear()
            await self._moved.wait()
        if self._gone.is_set():
            raise OSError("whoever asked has left")
        self._unread += 1
        self._tell(message)


def scope_of(request: httpx2.Request) -> Message:
    """Return what ASGI says about a request."""
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": request.method,
        "headers": [(name.lower(), value) for name, value in request.headers.raw],
        "scheme": request.url.scheme,
        "path": request.url.path,
        "raw_path": request.url.raw_path.split(b"?")[0],
        "query_string": request.url.query,
        "server": (request.url.host, request.url.port),
        "client": CALLER,
        "root_path": "",
    }


def seconds(request: httpx2.Request) -> float | None:
    """Return how long to wait for the next part of an answer."""
    limits: dict[str, float | None] = request.extensions.get("timeout", {})
    return limits.get("read")


class InProcessTransport(httpx2.BaseTransport):
    """Asks an application that lives in another thread, from any thread."""

    def __init__(self, thread: LoopThread, app: App) -> None:
        self._thread = thread
        self._app = app

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request; the answer may still be arriving on return.

        Raises:
            ReadTimeout: nothing arrived in time.
            RemoteProtocolError: the application broke off.
        """
        request.read()
        stream = AnswerStream(self._thread, self._app, request)
        try:
            start = stream.next_part()
        except BaseException:  # nobody has the answer yet, so nobody else closes it
            stream.close()
            raise
        return httpx2.Response(start["status"], headers=start["headers"], stream=stream)


class AnswerStream(httpx2.SyncByteStream):
    """The parts of an answer, as they arrive."""

    def __init__(self, thread: LoopThread, app: App, request: httpx2.Request) -> None:
        self._loop = thread.loop
        self._arrived: queue.SimpleQueue[Message | None] = queue.SimpleQueue()
        self._limit = seconds(request)
        self._exchange = Exchange(app, request, self._arrived.put)
        self._asked = asyncio.run_coroutine_threadsafe(self._exchange.run(), self._loop)

    def next_part(self) -> Message:
        """Wait for what the application sends next."""
        try:
            message = self._arrived.get(timeout=self._limit)
        except queue.Empty:
            raise httpx2.ReadTimeout(f"no answer within {self._limit:g} s") from None
        if message is None:
            raise broken_off(self._asked.exception())
        self._loop.call_soon_threadsafe(self._exchange.taken)
        return message

    def __iter__(self) -> Iterator[bytes]:
        more = True
        while more:
            part = self.next_part()
            more = part.get("more_body", False)
            yield part.get("body", b"")

    def close(self) -> None:
        """Read no more."""
        if not self._asked.done():
            self._loop.call_soon_threadsafe(self._exchange.leave)


class AsyncInProcessTransport(httpx2.AsyncBaseTransport):
    """Asks an application that lives in another thread, from any event loop."""

    def __init__(self, thread: LoopThread, app: App) -> None:
        self._thread = thread
        self._app = app

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Send a request; the answer may still be arriving on return.

        Raises:
            ReadTimeout: nothing arrived in time.
            RemoteProtocolError: the application broke off.
        """
        await request.aread()
        stream = AsyncAnswerStream(self._thread, self._app, request)
        try:
            start = await stream.next_part()
        except BaseException:  # nobody has the answer yet, so nobody else closes it
            await stream.aclose()
            raise
        return httpx2.Response(start["status"], headers=start["headers"], stream=stream)


class AsyncAnswerStream(httpx2.AsyncByteStream):
    """The parts of an answer, as they arrive."""

    def __init__(self, thread: LoopThread, app: App, request: httpx2.Request) -> None:
        self._loop = thread.loop
        self._arrived: asyncio.Queue[Message | None] = asyncio.Queue()
        self._limit = seconds(request)
        here = asyncio.get_running_loop()

        def tell(message: Message | None) -> None:
            if not here.is_closed():
                here.call_soon_threadsafe(self._arrived.put_nowait, message)

        self._exchange = Exchange(app, request, tell)
        self._asked = asyncio.run_coroutine_threadsafe(self._exchange.run(), self._loop)

    async def next_part(self) -> Message:
        """Wait for what the application sends next."""
        try:
            message = await asyncio.wait_for(self._arrived.get(), self._limit)
        except TimeoutError:
            raise httpx2.ReadTimeout(f"no answer within {self._limit:g} s") from None
        if message is None:
            raise broken_off(await asyncio.to_thread(self._asked.exception))
        self._loop.call_soon_threadsafe(self._exchange.taken)
        return message

    async def __aiter__(self) -> AsyncIterator[bytes]:
        more = True
        while more:
            part = await self.next_part()
            more = part.get("more_body", False)
            yield part.get("body", b"")

    async def aclose(self) -> None:
        """Read no more."""
        if not self._asked.done():
            self._loop.call_soon_threadsafe(self._exchange.leave)


def broken_off(wrong: BaseException | None) -> httpx2.RemoteProtocolError:
    """Return the error for an answer that ends before it should."""
    error = httpx2.RemoteProtocolError(f"the application broke off: {wrong!r}")
    error.__cause__ = wrong
    return error
