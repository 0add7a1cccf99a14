"""The door between two processes of one user on one home: JSON lines over the engine's socket.

A client sends one request per line, `{"op": …, …}`, and gets one answer per line: `{"ok": …}` or
`{"error": {code, message, hint}}`. `watch` answers with `{"changed": true}` after every commit of
the run and `{"ok": null}` once it is over. The socket lies in a directory that only its user can enter.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from runnotary.core import errors

Json = Any
LINE_MAX: Final = 8 * 1024 * 1024
Handler = Callable[[dict[str, Json]], Awaitable[Json]]
Watcher = Callable[[dict[str, Json]], AsyncIterator[None]]

_encode = msgspec.json.Encoder().encode
_ERRORS: Final = {
    kind.code: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.RunnotaryError)
}


class ControlServer:
    """Answers requests until closed; `handle` does the work, `watch` streams changes."""

    def __init__(self, path: Path, handle: Handler, watch: Watcher) -> None:
        self._path: Final = path
        self._handle: Final = handle
        self._watch: Final = watch
        self._server: asyncio.Server | None = None
        self._clients: set[asyncio.Task[None]] = set()

    async def open(self, home: Path) -> None:
        """Listen, and let the home name the socket."""
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, self._path, limit=LINE_MAX)
        os.chmod(self._path, 0o600)
        fresh = home / "engine.new"
        fresh.write_text(f"{self._path}\n")
        fresh.replace(home / "engine")

    async def close(self) -> None:
        """Stop listening and hang up."""
        if self._server is not None:
            self._server.close()
        for client in self._clients:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        self._path.unlink(missing_ok=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        try:
            while line := await reader.readline():
                await self._answer(line, writer)
        except (ConnectionError, ValueError, asyncio.CancelledError):
            return  # the client hung up, sent an endless line, or we are closing
        finally:
            self._clients.discard(task)
            writer.close()

    async def _answer(self, line: bytes, writer: asyncio.StreamWriter) -> None:
        try:
            request = msgspec.json.decode(line, type=dict[str, Any])
            if request.get("op") == "watch":
                async for _ in self._watch(request):
                    writer.write(b'{"changed":true}\n')
                    await writer.drain()
                answer: Json = {"ok": None}
            else:
                answer = {"ok": await self._handle(request)}
        except errors.RunnotaryError as error:
            answer = {"error": {"code": error.code, "message": error.message, "hint": error.hint}}
        except msgspec.DecodeError as wrong:
            answer = {"error": {"code": "invalid_input", "message": f"not a request: {wrong}", "hint": ""}}
        writer.write(_encode(answer) + b"\n")
        await writer.drain()


class ControlClient:
    """One connection to the engine that works in a home."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    @classmethod
    async def connect(cls, home: Path) -> ControlClient:
        """Connect by the name in the home.

        Raises:
            Unreachable: no engine answers there.
        """
        try:
            path = (home / "engine").read_text().strip()
            return cls(*await asyncio.open_unix_connection(path, limit=LINE_MAX))
        except OSError as wrong:
            raise errors.Unreachable(f"the engine of {home} does not answer: {wrong}") from None

    async def ask(self, op: str, **words: Json) -> Json:
        """Send one request and return its answer.

        Raises:
            RunnotaryError: the engine's refusal, as it was raised there.
            Unreachable: the engine went away.
        """
        self._writer.write(_encode({"op": op, **words}) + b"\n")
        return (await self._line())["ok"]

    async def watch(self, run: str) -> AsyncIterator[None]:
        """Yield at every change of a run until it is over."""
        self._writer.write(_encode({"op": "watch", "run": run}) + b"\n")
        while "changed" in await self._line():
            yield

    async def _line(self) -> dict[str, Json]:
        try:
            await self._writer.drain()
            line = await self._reader.readline()
        except ConnectionError:
            line = b""
        if not line:
            raise errors.Unreachable("the engine went away")
        answer: dict[str, Json] = msgspec.json.decode(line)
        if "error" in answer:
            told = answer["error"]
            raise remade(told["code"], told["message"], told["hint"])
        return answer

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


def remade(code: str, message: str, hint: str) -> errors.RunnotaryError:
    """Return an error as the other side raised it: same code, same exit status, same words."""
    kind = _ERRORS.get(code, errors.RunnotaryError)
    error = kind.__new__(kind)
    errors.RunnotaryError.__init__(error, message, hint=hint)
    return error
