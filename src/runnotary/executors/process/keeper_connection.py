"""One connection to the keeper: lines out, lines in, answers in the order of the requests (docs/keeper.md).

What is sent within one turn of the loop goes out together; what nobody waits for goes out with it, or a
little later. Everything belongs to the loop but `fire`: any thread may send a line that was made beforehand,
so the socket and the two queues are touched under a lock. A connection that ends fails every open request.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import msgspec

from runnotary.core.errors import RunnotaryError, Unreachable
from runnotary.executors.process.escaping import json_bytes

Json = Any
Answer = asyncio.Future[dict[str, Json]]

LONGEST_LINE: Final = 16 << 20
_SOON: Final = 0.05
_RECEIVE: Final = 1 << 18
_decode: Final = msgspec.json.Decoder(dict[str, Any]).decode


class KeeperRefused(RunnotaryError):
    """The keeper answered with an error; `answer` is all of it."""

    code = "keeper_refused"

    def __init__(self, answer: dict[str, Json]) -> None:
        super().__init__(f"the keeper refuses: {answer.get('error')} {answer.get('detail', '')}".rstrip())
        self.answer: Final = answer


async def answer_of(asked: Answer) -> dict[str, Json]:
    """Return the keeper's answer.

    Raises:
        Unreachable: it went away before it answered.
        KeeperRefused: it said no.
    """
    answer = await asked
    if answer.get("ok") is not True:
        raise KeeperRefused(answer)
    return answer


class Hearing(msgspec.Struct, frozen=True):
    """Who is told what arrives unasked: an exit, a refusal of a quiet request, the end of the connection."""

    exited: Callable[[str], None]
    refused: Callable[[str, dict[str, Json]], None]
    lost: Callable[[], None]


class Shot:
    """A quiet request that is ready to be sent, by `fire`, from whichever thread."""

    __slots__ = ("_connection", "_fired", "_line")

    def __init__(self, connection: Connection, line: bytes) -> None:
        self._connection: Final = connection
        self._line: Final = line
        self._fired = False

    def fire(self) -> None:
        """Send it, if it has not been sent; a connection that has ended forgets it."""
        if not self._fired:
            self._fired = True
            self._connection.fire(self._line)


class Connection:
    """Lines in, lines out."""

    def __init__(
        self,
        connected: socket.socket,
        hearing: Hearing,
        on_end: Callable[[Connection], None],
    ) -> None:
        self._socket = connected
        self._hearing = hearing
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()
        self._waiting: deque[Answer] = deque()
        self._unsent: list[bytes] = []
        self._idle_talk: list[bytes] = []
        self._talking: asyncio.TimerHandle | None = None
        self._blocked = False
        self._rest = b""
        self.gone: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(connected, self._readable)

    def ask(self, message: dict[str, Json]) -> Answer:
        """Send a request; the future is its answer, or fails with `Unreachable`."""
        answer: Answer = self._loop.create_future()
        line = json_bytes(message) + b"\n"
        if self.gone.done():
            answer.set_exception(Unreachable("the keeper went away"))
        elif len(line) > LONGEST_LINE:
            answer.set_result({"ok": False, "error": "line_too_long"})
        else:
            with self._lock:
                self._unsent.append(line)
                self._waiting.append(answer)
                first = len(self._unsent) == 1
            if first:
                self._loop.call_soon(self.flush)
        return answer

    def tell(self, message: dict[str, Json], *, now: bool = False) -> None:
        """Send a request some time soon, or now, that is answered only if it is refused."""
        self._idle_talk.append(_quiet(message))
        if now:
            self.flush()
        elif self._talking is None:
            self._talking = self._loop.call_later(_SOON, self._talk)

    def load(self, message: dict[str, Json]) -> Shot:
        """Make such a request, to be sent when it is fired."""
        return Shot(self, _quiet(message))

    def fire(self, line: bytes) -> None:
        """Send a line before this returns; in whichever thread."""
        with self._lock:
            self._unsent.append(line)
            self._write()

    def hang_up(self) -> None:
        """Send what is left and close."""
        self.flush()
        self._close()

    def flush(self) -> None:
        """Send now what waits to be sent."""
        with self._lock:
            self._unsent += self._idle_talk
            self._idle_talk.clear()
            self._write()

    # --- inside ------------------------------------------------------------------------------------

    def _talk(self) -> None:
        self._talking = None
        self.flush()

    def _write(self) -> None:
        """Send what the socket takes; the lock is held, the thread may be any."""
        if not self._unsent or self._blocked or self.gone.done():
            return
        data = b"".join(self._unsent)
        self._unsent.clear()
        try:
            sent = self._socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # reading will find that the connection has ended
        if sent < len(data):
            self._unsent.append(data[sent:])
            self._blocked = True
            self._loop.call_soon_threadsafe(self._wait_for_room)

    def _wait_for_room(self) -> None:
        if not self.gone.done():
            self._loop.add_writer(self._socket, self._writable)

    def _writable(self) -> None:
        self._loop.remove_writer(self._socket)
        with self._lock:
            self._blocked = False
            self._write()

    def _readable(self) -> None:
        try:
            data = self._socket.recv(_RECEIVE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._close()
            return
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            self._take(_decode(line))

    def _take(self, message: dict[str, Json]) -> None:
        if "notice" in message:
            if message["notice"] == "exited":
                self._hearing.exited(message["attempt"])
        elif message.get("quiet"):
            self._hearing.refused(message.get("id", ""), message)
        elif self._waiting:
            answer = self._waiting.popleft()
            if not answer.done():
                answer.set_result(message)

    def _close(self) -> None:
        with self._lock:
            if self.gone.done():
                return
            self._loop.remove_reader(self._socket)
            self._loop.remove_writer(self._socket)
            self._socket.close()
            self.gone.set_result(None)
            waiting = list(self._waiting)
            self._waiting.clear()
        for answer in waiting:
            if not answer.done():
                answer.set_exception(Unreachable("the keeper went away"))
        self._on_end(self)


def _quiet(message: dict[str, Json]) -> bytes:
    return json_bytes({**message, "id": message.get("attempt"), "quiet": True}) + b"\n"
