"""Work on a home by whichever engine there is: our own if the lock is free, else the one that holds it.

Both sessions offer the same calls, so a command does not know which it got. If the other engine dies while
we follow a run, its lock frees itself, and this process, or another that follows, takes the home over.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, Protocol

import msgspec

from runnotary.api.control import ControlClient, ControlServer
from runnotary.app.home import Embedded, engine_socket
from runnotary.app.intake import StartRequest, find, keep, taken_in
from runnotary.app.system import operating_user
from runnotary.config import Settings
from runnotary.core.errors import AlreadyEnded, HomeLocked, InvalidInput, Unreachable
from runnotary.core.events import By
from runnotary.core.ids import from_text, to_text

Json = Any
TRIES: Final = 500
PAUSE_SECONDS: Final = 0.02


class Session(Protocol):
    """What a command may ask of an engine. Runs are named by their full ids as text."""

    @property
    def own(self) -> bool:
        """Tell whether the engine is in this process."""

    async def start(self, request: StartRequest) -> str:
        """Accept a run; durable on return."""

    async def register(self, request: StartRequest) -> Json:
        """Let the name of a flow mean its file from now on; returns name, id and definition hash."""

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
    opened = await _opened(settings)
    try:
        yield opened
    finally:
        await opened.close()


async def _opened(settings: Settings) -> LocalSession | RemoteSession:
    """Take the home, or reach whoever holds it; one that comes or goes just now needs a moment.

    Raises:
        Unreachable: someone holds the lock and does not answer.
    """
    for _ in range(TRIES):
        try:
            return await LocalSession.open(settings)
        except HomeLocked:
            pass
        try:
            return RemoteSession(settings, await ControlClient.connect(settings.home))
        except Unreachable:
            await asyncio.sleep(PAUSE_SECONDS)
    raise Unreachable(
        f"the engine that works in {settings.home} does not answer",
        hint="see which process holds its file `lock`",
    )


class LocalSession:
    """A session whose engine is in this process; other processes reach it over its socket."""

    own = True

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

    async def register(self, request: StartRequest) -> Json:
        return await self._register(request, operating_user())

    async def _register(self, request: StartRequest, by: By) -> Json:
        source = await asyncio.to_thread(find, request, self.home.reader)
        words = source.words
        if not words.flow:
            raise InvalidInput(f"{request.target} has no name to register", hint="write `flow: NAME` into it")
        await asyncio.to_thread(keep, source, self.home.blobs)
        flow_id = await self.home.service.register(source.definition, words, by, request.namespace)
        return {"flow": words.flow, "flow_id": flow_id, "definition_hash": source.definition}

    async def cancel(self, run: str, *, reason: str, grace_ms: int, force: bool) -> None:
        by = operating_user()
        await self.home.service.cancel(from_text(run), by, reason=reason, grace_ms=grace_ms, force=force)

    async def adopt(self, run: str, *, renew: bool) -> None:
        if not self.home.engine.holds(from_text(run)):
            await self.home.service.adopt(from_text(run), operating_user(), renew=renew)

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
            case {"op": "register", "request": dict(words)}:
                return await self._register(msgspec.convert(words, StartRequest), by)
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
    """A session with the engine of another process. If that one goes, the home is ours, or the next one's."""

    def __init__(self, settings: Settings, client: ControlClient) -> None:
        self._settings = settings
        self._client = client
        self._inherited: LocalSession | None = None

    @property
    def own(self) -> bool:
        return self._inherited is not None

    async def start(self, request: StartRequest) -> str:
        started: str = await self._client.ask("start", request=msgspec.to_builtins(request))
        return started

    async def register(self, request: StartRequest) -> Json:
        return await self._client.ask("register", request=msgspec.to_builtins(request))

    async def cancel(self, run: str, *, reason: str, grace_ms: int, force: bool) -> None:
        while self._inherited is None:
            try:
                await self._client.ask("cancel", run=run, reason=reason, grace_ms=grace_ms, force=force)
                return
            except Unreachable:
                await self._look_again()
        await self._inherited.cancel(run, reason=reason, grace_ms=grace_ms, force=force)

    async def adopt(self, run: str, *, renew: bool) -> None:
        while self._inherited is None:
            try:
                await self._client.ask("adopt", run=run, renew=renew)
                return
            except Unreachable:
                await self._look_again()
        await self._inherited.adopt(run, renew=renew)

    async def changes(self, run: str) -> AsyncIterator[None]:
        while self._inherited is None:
            try:
                async for _ in self._client.watch(run):
                    yield
                return
            except Unreachable:
                await self._look_again()
            try:
                await self.adopt(run, renew=False)
            except AlreadyEnded:
                return
        async for _ in self._inherited.changes(run):
            yield

    def drain(self) -> None:
        """Leave the other engine alone: only its own terminal stops it."""
        if self._inherited is not None:
            self._inherited.drain()

    async def close(self) -> None:
        """Hang up."""
        self._client.close()
        if self._inherited is not None:
            await self._inherited.close()

    async def _look_again(self) -> None:
        """The engine has gone: take the home, or reach whoever was faster."""
        self._client.close()
        opened = await _opened(self._settings)
        if isinstance(opened, LocalSession):
            self._inherited = opened
        else:
            self._client = opened._client
