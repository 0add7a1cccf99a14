"""Everything a caller may do with a home, whichever door it comes through: the one facade of the doors.

Rules of this file:

1. Nothing is done for a caller before `require` let them pass; the service asks again where it writes.
2. Documents out; what goes in are words and the structs of `engine/requests.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from runnotary.core import events as ev
from runnotary.core.chain import run_stream
from runnotary.core.definition import Words, define
from runnotary.core.errors import Changed, Conflict, FlowNotFound, InvalidInput, InvalidRunInput, RunErased
from runnotary.core.hashing import canonical, digest, digest_text, is_digest
from runnotary.core.ids import from_text, to_text
from runnotary.core.permissions import EVERYWHERE, Action, People, Who, granted, require
from runnotary.core.profile import Change
from runnotary.core.queries import RunQuery
from runnotary.core.states import TERMINAL
from runnotary.engine.access import Access
from runnotary.engine.approvals import Answering
from runnotary.engine.following import WHOLE, Following, Frame, mark
from runnotary.engine.proofs import Proofs
from runnotary.engine.questions import Places, Questions
from runnotary.engine.reader import Reader
from runnotary.engine.requests import Changes, RunRequest
from runnotary.engine.service import Service
from runnotary.engine.submission import Submission, Wishes
from runnotary.ports import Export, Exporter

Json = Any
DEFAULT: Final = "default"
SAID: Final = ("flow", "version", "title", "description")
PUT_FIRST: Final = "put its bytes first: POST /api/v1/blobs"
_WISHES: Final = frozenset(Wishes.__struct_fields__) - {"namespace"}


class Operations(Questions):
    """The operations of one home: its questions, and what changes something."""

    def __init__(
        self,
        service: Service,
        access: Access,
        reader: Reader,
        places: Places,
        exporter: Exporter,
        proofs: Proofs,
    ) -> None:
        super().__init__(reader, places)
        self._exporter: Final = exporter
        self.access: Final = access
        self.approvals: Final = Answering(self, service.answers)
        self.proofs: Final = proofs
        self._service: Final = service
        self._following: Final = Following(reader.store)

    # --- flows ---------------------------------------------------------------------------------

    def flows_of(self, who: Who, namespaces: Sequence[str]) -> Json:
        """Return the flows of some namespaces; `*` stands for every one that the caller may read."""
        if EVERYWHERE in namespaces:
            known = [one["namespace"] for one in self.access.namespaces(who)]
            namespaces = [name for name in known if Action.READ in granted(who.caller, People(name))]
        return {"flows": [flow for name in namespaces for flow in self.flows(who, name)["flows"]]}

    async def register(self, who: Who, document: Json, namespace: str, words: Words) -> Json:
        """Let the name of a flow mean this definition; the words win over those in the document.

        Raises:
            InvalidDefinition: with everything that is wrong with it.
            InvalidInput: it has no name, or code that is not here.
        """
        require(who.caller, Action.REGISTER, People(namespace))
        named = {name: value for name in SAID if (value := getattr(words, name))}
        made = define({**document, **named})
        if not made.words.flow:
            raise InvalidInput("the definition has no name to register", hint="add `flow: NAME`")
        code = made.document.get("code", {})
        missing = [path for path, file in code.items() if not self.reader.blobs.has(file["blob"])]
        if missing:
            raise InvalidInput(f"code is not here: {', '.join(missing[:10])}", hint=PUT_FIRST)
        self.reader.blobs.put(made.canonical)
        await self._service.register(made.hash, made.words, who.by, namespace)
        return self.flow(who, made.words.flow, namespace)

    # --- runs ----------------------------------------------------------------------------------

    async def start(
        self,
        who: Who,
        request: RunRequest,
        key: str = "",
        trigger: ev.Trigger | None = None,
        source: dict[str, Json] | None = None,
    ) -> tuple[Json, bool]:
        """Start a run; return its document, and whether it had been started with this key before.

        `source` says where the request came from; it is no part of what the key stands for.

        Raises:
            FlowNotFound: there is no such flow or definition.
            InvalidRunInput: inputs do not fit; no run was created.
            KeyReused: the key stands for another request.
        """
        # The very object that is the default of an event's field: msgspec leaves out what is that object.
        namespace = DEFAULT if request.namespace in ("", DEFAULT) else request.namespace
        request = msgspec.structs.replace(request, namespace=namespace)
        require(who.caller, Action.START, People(namespace))
        key = key or request.idempotency_key
        body = _body_of(request)
        known = self._service.replayed(who.by, key, body)
        if known is not None:
            return self.run(who, to_text(known)), True
        definition, words, flow_id = self._definition_of(who, request, namespace)
        wishes = {name: getattr(request, name) for name in _WISHES}
        submission = Submission(
            definition=definition,
            words=words,
            flow_id=flow_id,
            inputs=self._with_files(request.inputs),
            trigger=trigger or ev.Trigger("api"),
            source={**request.source, **(source or {})},
            namespace=namespace,
            **wishes,
        )
        run, replayed = await self._service.submit(submission, who.by, key=key, body=body)
        return self.run(who, to_text(run)), replayed

    async def rerun(
        self, who: Who, name: str, key: str = "", trigger: ev.Trigger | None = None
    ) -> tuple[Json, bool]:
        """Start a run like this one: the same definition and inputs; returns as `start` does."""
        row = self.seen(who, name)
        run, replayed = await self._service.rerun(
            row.id, who.by, key=key, trigger=trigger or ev.Trigger("api")
        )
        return self.run(who, to_text(run)), replayed

    def _definition_of(self, who: Who, request: RunRequest, namespace: str) -> tuple[str, Words, str]:
        """Return the definition a request names, and the words and id of its flow.

        Raises:
            Conflict: the flow that is named means another definition than the one named with it.
        """
        if request.flow is not None:
            row = self.flow_row(who, request.flow, namespace, Action.START)
            if request.definition not in (None, row.definition):
                raise Conflict(f"flow {row.name} means another definition by now", hint="start again")
            words = Words(flow=row.name, version=row.version, title=row.title, description=row.description)
            return row.definition, words, row.id
        if request.definition is None:
            raise InvalidInput("name a `flow` or a `definition`")
        if not self.is_definition(request.definition):
            raise FlowNotFound(f"no definition {request.definition}")
        return request.definition, Words(), ""

    def _with_files(self, inputs: dict[str, Json]) -> dict[str, Json]:
        """Return the inputs with every file value whole: with its name and its size.

        Raises:
            InvalidRunInput: a file's bytes are not here.
        """
        whole, problems = dict(inputs), []
        for name, value in inputs.items():
            mark = next((one for one in ("$file", "$dir") if isinstance(value, dict) and one in value), None)
            if mark is None or not isinstance(blob := value[mark], str) or not is_digest(blob):
                continue
            if not self.reader.blobs.has(blob):
                problems.append(f"inputs.{name}: {blob} is not here; {PUT_FIRST}")
            elif mark == "$file":
                whole[name] = {**value, "name": value.get("name", name), "size": self.reader.blobs.size(blob)}
        if problems:
            raise InvalidRunInput(problems)
        return whole

    async def update(self, who: Who, name: str, changes: Changes, if_match: str = "") -> Json:
        """Change what may be said about a run; with `if_match` only if its head is still that one.

        Raises:
            Changed: something happened to the run since.
        """
        row = self.seen(who, name, Action.UPDATE)
        seq = None
        if if_match:
            length, head = self._store.head(run_stream(row.id))
            if digest_text(head) != if_match:
                raise Changed(f"run {to_text(row.id)} has changed since you looked", hint="look again")
            seq = length
        said = {
            field: value
            for field in Changes.__struct_fields__
            if (value := getattr(changes, field)) is not msgspec.UNSET
        }
        if said:
            await self._service.update(row.id, who.by, said, if_seq=seq)
        return self.run(who, to_text(row.id))

    def asks_why(self, change: Change) -> bool:
        """Tell whether the profile of the home wants a reason for a change."""
        return change in self._service.profile.reasons

    async def cancel(
        self, who: Who, name: str, reason: str = "", grace_ms: int = 10_000, force: bool = False
    ) -> Json:
        """Ask for the end of a run; a cancelled one is no error.

        Raises:
            AlreadyEnded: it is over in another way.
        """
        row = self.seen(who, name, Action.CANCEL)
        await self._service.cancel(row.id, who.by, reason=reason, grace_ms=grace_ms, force=force)
        return self.run(who, to_text(row.id))

    async def resume(self, who: Who, name: str) -> Json:
        """Go on with an interrupted run, what was lost included.

        Raises:
            AlreadyEnded: it is over.
        """
        row = self.seen(who, name, Action.RESUME)
        await self._service.adopt(row.id, who.by, renew=True)
        return self.run(who, to_text(row.id))

    async def archive(self, who: Who, name: str, reason: str = "") -> Json:
        """Let an ended run leave the lists."""
        row = self.seen(who, name, Action.ARCHIVE)
        await self._service.archive(row.id, who.by, reason)
        return self.run(who, to_text(row.id))

    async def unarchive(self, who: Who, name: str, reason: str = "") -> Json:
        """Let a run come back into the lists."""
        row = self.seen(who, name, Action.ARCHIVE)
        await self._service.unarchive(row.id, who.by, reason)
        return self.run(who, to_text(row.id))

    async def hold(self, who: Who, name: str, reason: str = "") -> Json:
        """Protect a run from being purged."""
        row = self.seen(who, name, Action.HOLD)
        await self._service.hold(row.id, who.by, reason)
        return self.run(who, to_text(row.id))

    async def release_hold(self, who: Who, name: str, reason: str = "") -> Json:
        """Let a run be purged again."""
        row = self.seen(who, name, Action.HOLD)
        await self._service.release_hold(row.id, who.by, reason)
        return self.run(who, to_text(row.id))

    async def purge(self, who: Who, name: str, reason: str = "") -> Json:
        """Erase what an ended run holds; its place in the log stays.

        Raises:
            NotEnded, Held: it must not go.
        """
        row = self.seen(who, name, Action.PURGE)
        await self._service.purge(row.id, who.by, reason)
        return {"id": to_text(row.id), "purged": True}

    async def erase(self, who: Who, name: str, reason: str = "") -> Json:
        """Erase what the events of an ended run say; that they were, when and in which order, stays.

        Raises:
            NotEnded, Held: it must not go.
        """
        row = self.seen(who, name, Action.PURGE)
        await self._service.erase(row.id, who.by, reason)
        return {"id": to_text(row.id), "erased": True}

    async def sweep(
        self,
        who: Who,
        query: RunQuery,
        action: Literal["archive", "purge"],
        older_than: int,
        *,
        reason: str = "",
        dry_run: bool = False,
    ) -> Json:
        """Archive or purge the ended runs that the filters leave, that are `older_than` µs old, and that the
        caller may; with `dry_run` only say which.
        """
        gone = await self._service.sweep(
            query, who.by, action=action, older_than=older_than, reason=reason, dry_run=dry_run
        )
        return {"runs": [to_text(run) for run in gone], "count": len(gone), "dry_run": dry_run}

    async def export(self, who: Who, name: str, form: str) -> Export:
        """Return a run as a file for others; what can go wrong goes wrong before its first piece.

        What an erased run leaves behind is for those who are told that it was erased.

        Raises:
            InvalidInput: there is no such form. RunErased: and this one needs what the run said.
            NotEnded: the form is for runs that are over.
            BlobNotFound, Damaged: the record of the run is not whole, or nothing may be signed any more.
        """
        try:
            run = self.seen(who, name).id
        except RunErased:
            run = from_text(name.upper())
        return await self._exporter.export(run, form)

    # --- following -----------------------------------------------------------------------------

    async def wait(self, who: Who, name: str, seconds: float) -> Json:
        """Return a run's document when it is over, or after so many seconds."""
        row = self.seen(who, name)
        if row.status not in TERMINAL and seconds > 0:
            await self._following.ended(row.id, seconds)
        return self.run(who, to_text(row.id))

    def release(self) -> None:
        """Answer everybody who waits for the end of a run with how it stands: the server is about to end."""
        self._following.release()

    def follow(self, who: Who, name: str, after_seq: int) -> AsyncGenerator[list[Frame], None]:
        """Yield a run's events from after `after_seq` on, and `end` once it is over.

        Raises:
            RunNotFound: there is none, or not for this caller.
        """
        row = self.seen(who, name)
        return self._following.run(who, row, after_seq)

    def follow_all(self, who: Who, after: int) -> AsyncGenerator[list[Frame], None]:
        """Yield the events of all runs the caller may see, after the mark of a frame; 0 is the beginning."""
        return self._following.all(who, after)

    def newest_mark(self) -> int:
        """Return the mark after which only what happens from now on follows."""
        return mark(self._store.position(), WHOLE)

    # --- blobs ---------------------------------------------------------------------------------

    def allow_upload(self, who: Who, namespace: str = "") -> None:
        """Let pass who may put blobs, before the first byte of one is taken.

        Raises:
            PermissionDenied: the caller may start no runs there.
        """
        require(who.caller, Action.START, People(namespace or DEFAULT))

    async def put_blob(self, who: Who, data: bytes | Path, namespace: str = "") -> Json:
        """Keep bytes, or a file's, for runs that the caller may start; durable on return."""
        self.allow_upload(who, namespace)
        if isinstance(data, Path):
            name, size = await asyncio.to_thread(self.reader.blobs.put_file, data)
        else:
            name, size = await asyncio.to_thread(self.reader.blobs.put, data), len(data)
        await self._store.append([])
        return {"digest": name, "size": size}


def _body_of(request: RunRequest) -> str:
    """Return the digest of what is asked for, whatever key it is asked under."""
    return digest(
        canonical(msgspec.to_builtins(msgspec.structs.replace(request, idempotency_key="", source={})))
    )
