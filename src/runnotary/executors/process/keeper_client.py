"""The engine's end of the keeper's socket: finds the keeper or starts it, asks, and passes notices on.

A connection that ends fails every open request with `Unreachable`; the next request connects again. Nothing
here knows what an attempt means.
"""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from runnotary.core.errors import RunnotaryError, Unreachable
from runnotary.executors.process.keeper_connection import Connection, Hearing, Shot, answer_of

Json = Any

_SCRIPT: Final = str(Path(__file__).parents[1] / "keeper.py")
_ANOTHER_KEEPER: Final = 75
_PATIENCE: Final = 10.0
_GLANCE: Final = 0.002


class KeeperClient:
    """Talks to the keeper of one home, whichever process that is."""

    def __init__(
        self,
        attempts: str,
        socket: Callable[[], str],
        log: str,
        *,
        environment: Mapping[str, str],
        options: Sequence[str] = (),
        hearing: Hearing,
    ) -> None:
        self._attempts = attempts
        self._socket = socket
        self._log = log
        self._environment = dict(environment)
        self._options = tuple(options)
        self._hearing = hearing
        self._connecting = asyncio.Lock()
        self._connection: Connection | None = None
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

    def load(self, operation: str, **fields: Json) -> Shot | None:
        """Make such a request, which any thread may send by firing it; None while not connected."""
        return self._connection.load({"op": operation, **fields}) if self._connection else None

    def tell(self, operation: str, *, now: bool = False, **fields: Json) -> None:
        """Send a request that is answered only if it is refused; nothing happens while not connected."""
        if self._connection is not None:
            self._connection.tell({"op": operation, **fields}, now=now)

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
        connected = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connected.setblocking(False)
        try:
            await asyncio.get_running_loop().sock_connect(connected, path)
        except OSError as error:
            connected.close()
            if isinstance(error, FileNotFoundError | ConnectionRefusedError):
                return False
            raise Unreachable(f"the keeper's socket {path}: {error.strerror}") from None
        connection = Connection(connected, self._hearing, self._ended)
        try:
            async with asyncio.timeout(_PATIENCE):
                answer = await connection.ask({"op": "hello", "versions": [1], "env": self._environment})
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

    def _ended(self, connection: Connection) -> None:
        if self._connection is connection:
            self._connection, self.pid = None, 0
            self._hearing.lost()

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
