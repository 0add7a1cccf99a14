"""The engine's end of the keeper's socket: finds the keeper or starts it, asks, and passes notices on.

One connection, one JSON object per line, answers in the order of the requests (docs/keeper.md). What is sent
within one turn of the loop goes out together; what nobody waits for goes out with it, or a little later.
A connection that ends fails every open request with `Unreachable`; the next request connects again. Nothing
here knows what an attempt means.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from runnotary.core.errors import RunnotaryError, Unreachable
from runnotary.executors.process.escaping import json_bytes

Json = Any
Answer = asyncio.Future[dict[str, Json]]

LONGEST_LINE: Final = 16 << 20
_SCRIPT: Final = str(Path(__file__).parents[1] / "keeper.py")
_ANOTHER_KEEPER: Final = 75
_PATIENCE: Final = 10.0
_GLANCE: Final = 0.002
_SOON: Final = 0.05
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


class KeeperClient:
    """Talks to the keeper of one home, whichever process that is."""

    def __init__(
        self,
        attempts: str,
        socket: Callable[[], str],
        log: str,
        *,
        options: Sequence[str] = (),
        on_exited: Callable[[str], None],
        on_lost: Callable[[], None],
    ) -> None:
        self._attempts = attempts
        self._socket = socket
        self._log = log
        self._options = tuple(options)
        self._on_exited = on_exited
        self._on_lost = on_lost
        self._connecting = asyncio.Lock()
        self._connection: _Connection | None = None
        self._closed = False
        self._child = 0
        self._child_status = 0
        self._pidfd = -1
        self.pid = 0
        """Process id of the keeper, 0 while not connected."""

    async def request(self, operation: str, **fields: Json) -> dict[str, Json]:
        """Ask and return the answer; starts a keeper if there is none.

        Raises:
            Unreachable: there is no keeper and none can be started, or it went away before it answered.
            KeeperRefused: it said no.
        """
        connection = self._connection
        if connection is None:
            await self.connect(start=True)
            connection = self._connection
            if connection is None:
                raise Unreachable("the keeper went away")
        return await answer_of(connection.ask({"op": operation, **fields}))

    def request_now(self, operation: str, **fields: Json) -> Answer | None:
        """Send a request before this returns (`answer_of` waits for the answer); None while not connected."""
        if self._connection is None:
            return None
        return self._connection.ask({"op": operation, **fields}, now=True)

    def tell(self, operation: str, **fields: Json) -> None:
        """Send a request whose answer does not matter; nothing happens while not connected."""
        if self._connection is not None:
            self._connection.tell({"op": operation, **fields})

    async def connect(self, *, start: bool) -> bool:
        """Connect if not connected; return whether there is a keeper. Starts one only if `start`.

        Raises:
            Unreachable: none could be started in time.
        """
        async with self._connecting:
            if self._connection is not None:
                return True
            if self._closed:
                raise Unreachable("this engine is closing")
            loop = asyncio.get_running_loop()
            deadline = loop.time() + _PATIENCE
            try:
                path = self._socket()
            except (OSError, RunnotaryError) as error:
                raise Unreachable(f"no place for the keeper's socket: {error}") from None
            while not await self._greeted(path):
                if not start:
                    return False
                if loop.time() > deadline:
                    raise Unreachable(f"no keeper answers at {path}; {self._log} may say why")
                if self._child_status not in (0, _ANOTHER_KEEPER):
                    status, self._child_status = self._child_status, 0
                    raise Unreachable(f"the keeper ended with status {status}; {self._log} may say why")
                if not self._child:
                    self._spawn(path)
                await asyncio.sleep(_GLANCE)
            return True

    async def close(self) -> None:
        """Hang up for good; attempts and keeper go on."""
        self._closed = True
        connection, self._connection, self.pid = self._connection, None, 0
        if connection is not None:
            connection.hang_up()
            await connection.gone
        self._unwatch()

    # --- connecting --------------------------------------------------------------------------------

    async def _greeted(self, path: str) -> bool:
        loop = asyncio.get_running_loop()
        connection = _Connection(self._on_exited, self._ended)
        try:
            await loop.create_unix_connection(lambda: connection, path)
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        except OSError as error:
            raise Unreachable(f"the keeper's socket {path}: {error.strerror}") from None
        try:
            async with asyncio.timeout(_PATIENCE):
                answer = await connection.ask({"op": "hello", "versions": [1]})
        except Unreachable:
            return False  # it was just leaving
        except TimeoutError:
            connection.hang_up()
            raise Unreachable(f"the keeper at {path} is there and does not answer") from None
        if answer.get("ok") is not True:
            connection.hang_up()
            raise Unreachable(f"the keeper at {path} speaks another version: {answer.get('versions')}")
        self.pid = int(answer["pid"])
        self._connection = connection
        return True

    def _ended(self, connection: _Connection) -> None:
        if self._connection is connection:
            self._connection, self.pid = None, 0
            self._on_lost()

    def _spawn(self, path: str) -> None:
        """Start a keeper. Its own lock sees to it that there is only one."""
        log = (os.POSIX_SPAWN_OPEN, 2, self._log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        null = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1)]
        arguments = [sys.executable, "-I", "-S", _SCRIPT, self._attempts, path, *self._options]
        # Hardly anything of our environment: it may hold secrets, and the keeper outlives us.
        env = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
        self._child = os.posix_spawn(
            sys.executable, arguments, env, file_actions=[*null, log], setsid=True, setsigmask=()
        )
        self._pidfd = os.pidfd_open(self._child)
        asyncio.get_running_loop().add_reader(self._pidfd, self._reap)

    def _reap(self) -> None:
        self._child_status = os.waitstatus_to_exitcode(os.waitpid(self._child, 0)[1])
        self._child = 0
        self._unwatch()

    def _unwatch(self) -> None:
        if self._pidfd >= 0:
            asyncio.get_running_loop().remove_reader(self._pidfd)
            os.close(self._pidfd)
            self._pidfd = -1


class _Connection(asyncio.Protocol):
    """Lines in, lines out."""

    def __init__(self, on_exited: Callable[[str], None], on_end: Callable[[_Connection], None]) -> None:
        self._on_exited = on_exited
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.WriteTransport | None = None
        self._waiting: deque[asyncio.Future[dict[str, Json]] | None] = deque()
        self._unsent: list[bytes] = []
        self._idle_talk: list[bytes] = []
        self._talking: asyncio.TimerHandle | None = None
        self._rest = b""
        self.gone: asyncio.Future[None] = self._loop.create_future()

    def ask(self, message: dict[str, Json], *, now: bool = False) -> asyncio.Future[dict[str, Json]]:
        """Send a request; the future is its answer, or fails with `Unreachable`."""
        answer: asyncio.Future[dict[str, Json]] = self._loop.create_future()
        line = json_bytes(message) + b"\n"
        if self.gone.done() or self._transport is None:
            answer.set_exception(Unreachable("the keeper went away"))
        elif len(line) > LONGEST_LINE:
            answer.set_result({"ok": False, "error": "line_too_long"})
        else:
            self._send(line, answer, now=now)
        return answer

    def tell(self, message: dict[str, Json]) -> None:
        """Send a request some time soon, and drop its answer."""
        self._idle_talk.append(json_bytes(message) + b"\n")
        if self._talking is None:
            self._talking = self._loop.call_later(_SOON, self._talk)

    def hang_up(self) -> None:
        """Send what is left and close."""
        self.flush()
        if self._transport is not None:
            self._transport.close()

    def _talk(self) -> None:
        self._talking = None
        self.flush()

    def _send(self, line: bytes, answer: asyncio.Future[dict[str, Json]], *, now: bool) -> None:
        self._unsent.append(line)
        self._waiting.append(answer)
        if now:
            self.flush()
        elif len(self._unsent) == 1:
            self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Send now what waits to be sent."""
        self._unsent += self._idle_talk
        self._waiting.extend([None] * len(self._idle_talk))
        self._idle_talk.clear()
        if self._unsent and self._transport is not None and not self._transport.is_closing():
            self._transport.write(b"".join(self._unsent))
            self._unsent.clear()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Another loop's transports need not inherit from asyncio's, only behave like them.
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            message = _decode(line)
            if "notice" in message:
                if message["notice"] == "exited":
                    self._on_exited(message["attempt"])
            elif self._waiting:
                answer = self._waiting.popleft()
                if answer is not None and not answer.done():
                    answer.set_result(message)

    def connection_lost(self, error: Exception | None) -> None:
        for answer in self._waiting:
            if answer is not None and not answer.done():
                answer.set_exception(Unreachable("the keeper went away"))
        self._waiting.clear()
        if not self.gone.done():
            self.gone.set_result(None)
        self._on_end(self)
