"""Work on the runs of a server: the calls of a `Session`, as requests.

Rules of this file:

1. A command that a broken connection may have swallowed is sent again, and does no more the second time: a
   start has a key, everything else is done once however often it is asked for.
2. Flow files, code and inputs are read and checked here, where they are; the server gets blobs.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from runnotary.app.intake import Source, StartRequest, checked, find, keep, nameless, with_files
from runnotary.app.remote import RemoteReader, connection, decoded, evidence_request, place_of
from runnotary.app.remote_access import access_request
from runnotary.app.system import new_key
from runnotary.client import approvals as ask_approvals
from runnotary.client import flows as ask_flows
from runnotary.client import records, runs, streams
from runnotary.client.async_connection import AsyncConnection
from runnotary.client.request import Request, key_header, segment, send
from runnotary.client.words import RunChanges
from runnotary.config import Settings
from runnotary.engine.service import Wishes

Json = Any
TIMEOUT_SECONDS: Final = 60.0
WISHES: Final = frozenset(Wishes.__struct_fields__)


class ServerSession:
    """A session whose engine is a server. It is asked in threads; only events arrive in this loop."""

    own = False

    def __init__(self, settings: Settings) -> None:
        self._there: Final = connection(settings, timeout=TIMEOUT_SECONDS)
        self._reader: Final = RemoteReader(self._there)
        self._live: Final = AsyncConnection(place_of(settings), timeout=TIMEOUT_SECONDS)

    async def start(self, request: StartRequest) -> str:
        return await asyncio.to_thread(self._start, request)

    def _start(self, request: StartRequest) -> str:
        source = find(request, self._reader)
        given = checked(request, source)
        self._keep(source, request.namespace)
        body = {
            **{name: value for name, value in msgspec.to_builtins(request).items() if name in WISHES},
            "flow": source.words.flow or None,
            "definition": source.definition,
            "inputs": with_files(given, self._reader.blobs),
            "source": source.origin,
        }
        started: str = self._there.ask(_post("/runs", _said(body), request.key or new_key()))["id"]
        return started

    async def register(self, request: StartRequest) -> Json:
        return await asyncio.to_thread(self._register, request)

    def _register(self, request: StartRequest) -> Json:
        source = find(request, self._reader)
        if not source.words.flow:
            raise nameless(request.target)
        return self._keep(source, request.namespace)

    def _keep(self, source: Source, namespace: str) -> Json:
        """Let the server have a definition and its code, under its name if it has one."""
        if not source.canonical:
            return None
        if not source.words.flow:
            keep(source, self._reader.blobs)
            return None
        keep(msgspec.structs.replace(source, canonical=b""), self._reader.blobs)
        document = msgspec.json.decode(source.canonical)
        words = msgspec.to_builtins(source.words)
        flow = self._there.ask(ask_flows.register(document, namespace, words))
        return {"flow": flow.flow, "flow_id": flow.flow_id, "definition_hash": flow.definition_hash}

    async def cancel(self, run: str, *, reason: str, grace_ms: int, force: bool) -> None:
        await self._ask(runs.cancel(run, reason=reason, grace_ms=grace_ms, force=force))

    async def adopt(self, run: str, *, renew: bool) -> None:
        """Go on with a run: a server does so by itself, so only what was lost is left to ask for."""
        if renew:
            await self._ask(runs.act(run, "resume", {}))

    async def update(self, run: str, changes: Mapping[str, Json], log: Mapping[str, Json]) -> Json:
        head = f'"{log["head"]}"'
        asked = runs.update(run, cast(RunChanges, dict(changes)), head)
        return (await self._ask(asked)).raw

    async def act(self, run: str, verb: str, reason: str) -> Json:
        return await self._ask(_post(f"/runs/{segment(run)}/{verb}", {"reason": reason}))

    async def answer(self, run: str, task: str, *, approve: bool, reason: str, seen: str) -> Json:
        verb = "approve" if approve else "reject"
        return (await self._ask(ask_approvals.answer(run, task, verb, reason, seen))).raw

    async def sweep(self, verb: str, words: Mapping[str, Json]) -> Json:
        return await self._ask(_post(f"/runs:{verb}", words))

    async def rerun(self, run: str, key: str) -> str:
        asked = _post(f"/runs/{segment(run)}/rerun", {}, key or new_key())
        started: str = (await self._ask(asked))["id"]
        return started

    async def export(self, run: str, form: str, target: Path) -> int:
        def written() -> int:
            with target.open("xb") as file:
                self._there.save(records.export(run, form), file)
                return file.tell()

        return await asyncio.to_thread(written)

    async def access(self, verb: str, words: Mapping[str, Json]) -> Json:
        return await self._ask(access_request(verb, words))

    async def evidence(self, verb: str, words: Mapping[str, Json]) -> Json:
        return await self._ask(evidence_request(verb, words))

    async def _ask(self, request: Any) -> Any:
        return await asyncio.to_thread(self._there.ask, request)

    async def changes(self, run: str) -> AsyncIterator[None]:
        following = streams.Following(streams.of_run(run), 0)
        async with aclosing(self._live.events(following)) as arriving:
            async for _ in arriving:
                yield

    def drain(self) -> None:
        """Leave the server alone."""

    async def close(self) -> None:
        """Hang up."""
        self._there.close()
        await self._live.close()


def _post(path: str, document: Mapping[str, Json], key: str = "") -> Request[Json]:
    """Make a command that leaves nothing more behind when it arrives twice."""
    return send("POST", path, decoded, document, headers=key_header(key), repeatable=True)


def _said(words: Mapping[str, Json]) -> dict[str, Json]:
    """Leave out what says nothing."""
    return {name: value for name, value in words.items() if value not in (None, "", {}, (), 0)}
