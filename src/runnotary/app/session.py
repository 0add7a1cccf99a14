"""Work on runs by whichever engine there is: a server's if one is set, else that of the home.

A home's engine is our own if the lock is free, else the one that holds it. All sessions offer the same calls,
so a command does not know which it got. If the other engine of a home dies while we follow a run, its lock
frees itself, and this process, or another that follows, takes the home over.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import msgspec

from runnotary.api.control import ControlClient, ControlServer
from runnotary.app.access import answered
from runnotary.app.exporting import Exporting
from runnotary.app.home import Embedded, engine_socket
from runnotary.app.intake import StartRequest, find, keep, nameless, taken_in
from runnotary.app.proving import answered as proven
from runnotary.app.system import new_key, operating_user
from runnotary.app.watching import Watching
from runnotary.config import Settings
from runnotary.core.errors import AlreadyEnded, HomeLocked, InvalidInput, Unreachable
from runnotary.core.ids import from_text, to_text

Json = Any
VERBS: Final = ("archive", "unarchive", "hold", "release-hold", "purge", "erase")
GONE: Final = {"purge": "purged", "erase": "erased"}
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

    async def update(self, run: str, changes: Mapping[str, Json], log: Mapping[str, Json]) -> Json:
        """Change what is said about a run whose `log` is still as seen; return its document.

        Raises:
            Changed: something happened to the run since.
        """

    async def act(self, run: str, verb: str, reason: str) -> Json:
        """Do one of `VERBS` with a run; asked twice it is done once. Returns what became of it."""

    async def answer(self, run: str, task: str, *, approve: bool, reason: str, seen: str) -> Json:
        """Approve or refuse what a task asks; `seen` is the digest of what was shown. Returns the request.

        The answer is durable on return. What waited for it starts where the run is held.
        """

    async def sweep(self, verb: str, words: Mapping[str, Json]) -> Json:
        """Archive or purge what the words of a sweep leave; returns the `runs`, their `count`, `dry_run`."""

    async def rerun(self, run: str, key: str) -> str:
        """Start the same definition on the same inputs again; returns the new run's id, durable on return."""

    async def export(self, run: str, form: str, target: Path) -> int:
        """Write a run in a form to a file that is not there yet; return its size in bytes.

        Raises:
            NotEnded: the form is for runs that are over.
        """

    async def access(self, verb: str, words: Mapping[str, Json]) -> Json:
        """Change who may do what: one of `app.access.CHANGES`, with its words."""

    async def evidence(self, verb: str, words: Mapping[str, Json]) -> Json:
        """Sign, prove, or change keys: one of `app.proving.CHANGES`, with its words."""

    async def adopt(self, run: str, *, renew: bool) -> None:
        """Go on with an interrupted run; nothing happens if it is under way."""

    def changes(self, run: str) -> AsyncIterator[None]:
        """Yield at once, and at every commit of the run; ends when the run is over."""

    def drain(self) -> None:
        """Start no new step in this process; what runs lives on."""


@asynccontextmanager
async def session(settings: Settings) -> AsyncIterator[Session]:
    """Open a session on the server, or on the home: with our own engine if nobody else's works there."""
    if settings.url:
        from runnotary.app.remote_session import ServerSession

        opened: ServerSession | LocalSession | NeighbourSession = ServerSession(settings)
    else:
        opened = await _opened(settings)
    try:
        yield opened
    finally:
        await opened.close()


async def _opened(settings: Settings) -> LocalSession | NeighbourSession:
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
            return NeighbourSession(settings, await ControlClient.connect(settings.home))
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
        self._watching = Watching(home)
        self._server = ControlServer(engine_socket(home.folder), self._handle, self._watch)

    @classmethod
    async def open(cls, settings: Settings, *, serves: bool = False) -> LocalSession:
        """Take the home, or become one of the servers of a shared database; `serves`: to last.

        Raises:
            HomeLocked: another engine holds it.
        """
        opened = cls(Embedded(settings, serves=serves))
        await opened._server.open(opened.home.folder)
        return opened

    async def start(self, request: StartRequest) -> str:
        submission = await taken_in(request, self.home.blobs, self.home.reader)
        run, _ = await self.home.service.submit(submission, operating_user(), key=request.key)
        return to_text(run)

    async def register(self, request: StartRequest) -> Json:
        source = await asyncio.to_thread(find, request, self.home.reader)
        words = source.words
        if not words.flow:
            raise nameless(request.target)
        await asyncio.to_thread(keep, source, self.home.blobs)
        by = operating_user()
        flow_id = await self.home.service.register(source.definition, words, by, request.namespace)
        return {"flow": words.flow, "flow_id": flow_id, "definition_hash": source.definition}

    async def cancel(self, run: str, *, reason: str, grace_ms: int, force: bool) -> None:
        by = operating_user()
        await self.home.service.cancel(from_text(run), by, reason=reason, grace_ms=grace_ms, force=force)

    async def update(self, run: str, changes: Mapping[str, Json], log: Mapping[str, Json]) -> Json:
        by, seq = operating_user(), log["events"]
        await self.home.service.update(from_text(run), by, dict(changes), if_seq=seq)
        return self._document(run)

    async def act(self, run: str, verb: str, reason: str) -> Json:
        if verb not in VERBS:
            raise InvalidInput(f"nothing can be done with a run called {verb}")
        act = getattr(self.home.service, verb.replace("-", "_"))
        await act(from_text(run), operating_user(), reason)
        return {"id": run, GONE[verb]: True} if verb in GONE else self._document(run)

    async def answer(self, run: str, task: str, *, approve: bool, reason: str, seen: str) -> Json:
        from runnotary.app.approvals import answering
        from runnotary.app.listing import owner

        requests = answering(self.home)
        return await requests.answer(owner(), run, task, approve=approve, reason=reason, seen=seen)

    async def sweep(self, verb: str, words: Mapping[str, Json]) -> Json:
        from runnotary.app.listing import sweep_of

        query, age, reason, dry_run = sweep_of(words)
        action: Literal["archive", "purge"] = "purge" if verb == "purge" else "archive"
        gone = await self.home.service.sweep(
            query, operating_user(), action=action, older_than=age, reason=reason, dry_run=dry_run
        )
        return {"runs": [to_text(run) for run in gone], "count": len(gone), "dry_run": dry_run}

    async def rerun(self, run: str, key: str) -> str:
        started, _ = await self.home.service.rerun(from_text(run), operating_user(), key=key)
        return to_text(started)

    async def export(self, run: str, form: str, target: Path) -> int:
        exporting = Exporting(self.home.store, self.home.reader)
        return await exporting.write(from_text(run), form, target)

    def _document(self, run: str) -> Json:
        return self.home.reader.document(self.home.reader.resolve(run))

    async def access(self, verb: str, words: Mapping[str, Json]) -> Json:
        return await answered(self.home.access, operating_user(), verb, words)

    async def evidence(self, verb: str, words: Mapping[str, Json]) -> Json:
        return await proven(self.home.proofs, self.home.access.who(operating_user()), verb, words)

    async def adopt(self, run: str, *, renew: bool) -> None:
        if not self.home.engine.holds(from_text(run)):
            await self.home.service.adopt(from_text(run), operating_user(), renew=renew)

    def changes(self, run: str) -> AsyncIterator[None]:
        return self._watching.changes(from_text(run))

    def drain(self) -> None:
        self.home.engine.drain()

    async def close(self) -> None:
        """Hang up and let go of the home."""
        await self._server.close()
        await self.home.close()

    async def _handle(self, request: dict[str, Json]) -> Json:
        run, key = str(request.get("run", "")), str(request.get("key", ""))
        match request:
            case {"op": "start", "request": dict(words)}:
                return await self.start(msgspec.convert(words, StartRequest))
            case {"op": "register", "request": dict(words)}:
                return await self.register(msgspec.convert(words, StartRequest))
            case {"op": "rerun"}:
                return await self.rerun(run, key)
            case {"op": "cancel", "reason": str(reason), "grace_ms": int(grace_ms), "force": bool(force)}:
                await self.cancel(run, reason=reason, grace_ms=grace_ms, force=force)
            case {"op": "adopt", "renew": bool(renew)}:
                await self.adopt(run, renew=renew)
            case {"op": "update", "changes": dict(changes), "log": dict(log)}:
                return await self.update(run, changes, log)
            case {"op": "access" | "evidence" as room, "verb": str(verb), "words": dict(words)}:
                return await getattr(self, room)(verb, words)
            case {"op": "sweep", "verb": "archive" | "purge" as verb, "words": dict(words)}:
                return await self.sweep(verb, words)
            case _:
                return await self._done(run, request)
        return None

    async def _done(self, run: str, request: dict[str, Json]) -> Json:
        match request:
            case {"op": "act", "verb": str(verb), "reason": str(reason)}:
                return await self.act(run, verb, reason)
            case {"op": "export", "form": str(form), "target": str(target)}:
                return await self.export(run, form, Path(target))
            case {"op": "answer", "task": str(task), "approve": bool(yes), "reason": str(reason)}:
                seen = str(request.get("seen", ""))
                return await self.answer(run, task, approve=yes, reason=reason, seen=seen)
            case _:
                raise InvalidInput(f"the engine knows no request {request.get('op')!r}")

    async def _watch(self, request: dict[str, Json]) -> AsyncIterator[None]:
        async for _ in self.changes(str(request.get("run", ""))):
            yield


class NeighbourSession:
    """A session with the engine of another process. If that one goes, the home is ours, or the next one's.

    What was asked when it went is asked again: a start and a rerun have a key, so they are one run whether or
    not the other engine had accepted them; everything else is done once however often it is asked for.
    """

    def __init__(self, settings: Settings, client: ControlClient) -> None:
        self._settings = settings
        self._client = client
        self._inherited: LocalSession | None = None

    @property
    def own(self) -> bool:
        return self._inherited is not None

    async def start(self, request: StartRequest) -> str:
        keyed = msgspec.structs.replace(request, key=request.key or new_key())
        words = msgspec.to_builtins(keyed)
        started: str = await self._ask("start", lambda engine: engine.start(keyed), request=words)
        return started

    async def register(self, request: StartRequest) -> Json:
        words = msgspec.to_builtins(request)
        return await self._ask("register", lambda engine: engine.register(request), request=words)

    async def rerun(self, run: str, key: str) -> str:
        key = key or new_key()
        started: str = await self._ask("rerun", lambda engine: engine.rerun(run, key), run=run, key=key)
        return started

    async def cancel(self, run: str, *, reason: str, grace_ms: int, force: bool) -> None:
        words: dict[str, Json] = {"reason": reason, "grace_ms": grace_ms, "force": force}
        await self._ask("cancel", lambda engine: engine.cancel(run, **words), run=run, **words)

    async def access(self, verb: str, words: Mapping[str, Json]) -> Json:
        said = dict(words)
        return await self._ask("access", lambda engine: engine.access(verb, said), verb=verb, words=said)

    async def evidence(self, verb: str, words: Mapping[str, Json]) -> Json:
        said = dict(words)
        return await self._ask("evidence", lambda engine: engine.evidence(verb, said), verb=verb, words=said)

    async def adopt(self, run: str, *, renew: bool) -> None:
        await self._ask("adopt", lambda engine: engine.adopt(run, renew=renew), run=run, renew=renew)

    async def update(self, run: str, changes: Mapping[str, Json], log: Mapping[str, Json]) -> Json:
        words = {"changes": dict(changes), "log": dict(log)}
        return await self._ask("update", lambda engine: engine.update(run, changes, log), run=run, **words)

    async def act(self, run: str, verb: str, reason: str) -> Json:
        return await self._ask(
            "act", lambda engine: engine.act(run, verb, reason), run=run, verb=verb, reason=reason
        )

    async def answer(self, run: str, task: str, *, approve: bool, reason: str, seen: str) -> Json:
        words: dict[str, Json] = {"approve": approve, "reason": reason, "seen": seen}
        return await self._ask(
            "answer", lambda engine: engine.answer(run, task, **words), run=run, task=task, **words
        )

    async def export(self, run: str, form: str, target: Path) -> int:
        def own(engine: LocalSession) -> Awaitable[int]:
            target.unlink(missing_ok=True)  # of the engine that went while it wrote
            return engine.export(run, form, target)

        said = {"form": form, "target": str(target.absolute())}
        size: int = await self._ask("export", own, run=run, **said)
        return size

    async def sweep(self, verb: str, words: Mapping[str, Json]) -> Json:
        said = dict(words)
        return await self._ask("sweep", lambda engine: engine.sweep(verb, said), verb=verb, words=said)

    async def _ask(self, op: str, own: Callable[[LocalSession], Awaitable[Json]], **words: Json) -> Json:
        """Ask the other engine, or whoever follows it, or do it with the engine that we took over."""
        while self._inherited is None:
            try:
                return await self._client.ask(op, **words)
            except Unreachable:
                await self._look_again()
        return await own(self._inherited)

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
