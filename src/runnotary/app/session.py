"""Work on a home by whichever engine there is: our own if the lock is free, else the one that holds it.

Both sessions offer the same calls, so a command does not know which it got. If the other engine dies while
we follow a run, its lock frees itself, and this process takes the home and the run over.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Protocol

import msgspec

from runnotary.api.control import ControlClient, ControlServer
from runnotary.app.home import Embedded, engine_socket
from runnotary.app.intake import StartRequest, taken_in
from runnotary.app.system import operating_user
from runnotary.config import Settings
from runnotary.core.errors import AlreadyEnded, Conflict, HomeLocked, InvalidInput, Unreachable
from runnotary.core.events import By
from runnotary.core.ids import from_text, to_text

Json = Any


class Session(Protocol):
    """What a command may ask of an engine. Runs are named by their full ids as text."""

    async def start(self, request: StartRequest) -> str:
        """Accept a run; durable on return."""

    async def cancel(self, run: str, *, reason: str, grace_ms: int, force: bool) -> None:
        """Ask for the end of a run; durable on return."""

    async def adopt(self, run: str, *, renew: bool) -> None:
        """Go on with an interrupted run; nothing happens if it is under way."""

    def changes(self, run: str) -> AsyncIterator[None]:
        """Yield at every commit of the run; ends when the run is over."""

    def drain(self) -> None:
        """Start no new step in this process; what runs lives on."""


@asynccontextmanager
async def session(settings: Settings) -> AsyncIterator[Session]:
    """Open a session on the home: with our own engine if nobody else's works there."""
    try:
        local = await LocalSession.open(settings)
    except HomeLocked:
        remote = await RemoteSession.open(settings)
        try:
            yield remote
        finally:
            await remote.close()
        return
    try:
        yield local
    finally:
        await local.close()


class LocalSession:
    """A session whose engine is in this process; other processes reach it over its socket."""

    def __init__(self, home: Embedded) -> None:
        self.home = home
        self._server = ControlServer(engine_socket(home.settings.home), self._handle, self._watch)

    @classmethod
    async def open(cls, settings: Settings) -> LocalSession:
        """Take the home.

        Raises:
            HomeLocked: another engine holds it.
        """
        opened = cls(Embedded(settings))
        await opened._server.open(settings.home)
        return opened

    async def start(self, request: StartRequest) -> str:
        return await self._start(request, operating_user())

    async def _start(self, request: StartRequest, by: By) -> str:
        submission = await taken_in(request, self.home.blobs, self.home.reader)
        return to_text(await self.home.service.submit(submission, by))

    async def cancel(self, run: str, *, reason: str, grace_ms: int, force: bool) -> None:
        by = operating_user()
        await self.home.service.cancel(from_text(run), by, reason=reason, grace_ms=grace_ms, force=force)

    async def adopt(self, run: str, *, renew: bool) -> None:
        if not self.home.engine.holds(from_text(run)):
            await self.home.service.adopt(from_text(run), renew=renew)

    async def changes(self, run: str) -> AsyncIterator[None]:
        changed = asyncio.Event()
        self.home.engine.watch(from_text(run), changed.set)
        ended = self.home.engine.ended(from_text(run))
        ended.add_done_callback(lambda _: changed.set())
        while not ended.done():
            await changed.wait()
            changed.clear()
            yield
        ended.result()

    def drain(self) -> None:
        self.home.engine.drain()

    async def close(self) -> None:
        """Hang up and let go of the home."""
        await self._server.close()
        await self.home.close()

    async def _handle(self, request: dict[str, Json]) -> Json:
        by = operating_user()
        match request:
            case {"op": "start", "request": dict(words)}:
                return await self._start(msgspec.convert(words, StartRequest), by)
            case {"op": "cancel", "run": str(run)}:
                await self.cancel(
                    run,
                    reason=str(request.get("reason", "")),
                    grace_ms=int(request.get("grace_ms", 10_000)),
                    force=bool(request.get("force", False)),
                )
            case {"op": "adopt", "run": str(run)}:
                await self.adopt(run, renew=bool(request.get("renew", False)))
            case _:
                raise InvalidInput(f"the engine knows no request {request.get('op')!r}")
        return None

    async def _watch(self, request: dict[str, Json]) -> AsyncIterator[None]:
        async for _ in self.changes(str(request.get("run", ""))):
            yield


class RemoteSession:
    """A session with the engine of another process; becomes local if that engine dies."""

    def __init__(self, settings: Settings, client: ControlClient) -> None:
        self._settings = settings
        self._client: ControlClient | None = client
        self._local: LocalSession | None = None

    @classmethod
    async def open(cls, settings: Settings) -> RemoteSession:
        """Connect to the engine that holds the home.

        Raises:
            Unreachable: it holds the lock and does not answer.
        """
        return cls(settings, await _connected(settings))

    async def start(self, request: StartRequest) -> str:
        started: str = await self._other().ask("start", request=msgspec.to_builtins(request))
        return started

    async def cancel(self, run: str, *, reason: str, grace_ms: int, force: bool) -> None:
        await self._other().ask("cancel", run=run, reason=reason, grace_ms=grace_ms, force=force)

    async def adopt(self, run: str, *, renew: bool) -> None:
        await self._other().ask("adopt", run=run, renew=renew)

    async def changes(self, run: str) -> AsyncIterator[None]:
        try:
            async for _ in self._other().watch(run):
                yield
        except Unreachable:
            self._local = await LocalSession.open(self._settings)
            try:
                await self._local.adopt(run, renew=False)
            except AlreadyEnded:
                return
            async for _ in self._local.changes(run):
                yield

    def drain(self) -> None:
        """Leave the other engine alone: only its own terminal stops it."""
        if self._local is not None:
            self._local.drain()

    async def close(self) -> None:
        """Hang up."""
        if self._client is not None:
            self._client.close()
        if self._local is not None:
            await self._local.close()

    def _other(self) -> ControlClient:
        if self._client is None:
            raise Conflict("this session is closed")
        return self._client


async def _connected(settings: Settings) -> ControlClient:
    """Connect; an engine that has just taken the lock needs a moment until it listens."""
    for _ in range(50):
        try:
            return await ControlClient.connect(settings.home)
        except Unreachable:
            await asyncio.sleep(0.02)
    return await ControlClient.connect(settings.home)
