"""The commands that every front door uses: register, submit, cancel, adopt, update; retention beside it.

A door brings words; this file checks them, writes the facts and answers with ids. Questions (list, show)
go to the store's read side and need no engine.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, Final, Literal

import msgspec

from runnotary import __version__
from runnotary.core import events as ev
from runnotary.core import ledger
from runnotary.core.chain import actor_id, run_stream
from runnotary.core.decide import Cancel, Update
from runnotary.core.definition import Words
from runnotary.core.errors import (
    AlreadyEnded,
    BlobNotFound,
    InvalidInput,
    InvalidRunInput,
    KeyReused,
    PermissionDenied,
    RunnotaryError,
    RunNotFound,
)
from runnotary.core.evidence import Named, blobs_in_value
from runnotary.core.flow import Flow
from runnotary.core.hashing import canonical, digest, digest_text
from runnotary.core.ids import to_text, uuid7
from runnotary.core.inputs import complete
from runnotary.core.permissions import Action, Caller, People, acting
from runnotary.core.profile import Change
from runnotary.core.queries import RunQuery
from runnotary.core.rows import Row, RunRow
from runnotary.core.states import TERMINAL, State
from runnotary.core.trees import BadManifest, entries
from runnotary.engine.answers import Answers
from runnotary.engine.delivery import Delivery
from runnotary.engine.ledger import LedgerWriter
from runnotary.engine.loop import Engine
from runnotary.engine.parts import Parts
from runnotary.engine.retention import Retention, Sweep
from runnotary.engine.submission import (
    Submission,
    Turns,
    Wishes,
    again,
    body_of,
    check_changes,
    check_key,
    check_words,
    checked,
    see_version_is_free,
)

__all__ = ["Service", "Submission", "Wishes"]

Json = Any
decode = msgspec.json.decode


class Service:
    """The engine's front: one per home, beside its loop."""

    def __init__(
        self,
        engine: Engine,
        parts: Parts,
        *,
        durability: Literal["full", "normal"],
        caller_of: Callable[[ev.By], Caller],
    ) -> None:
        self._engine: Final = engine
        self._store: Final = parts.store
        self._blobs: Final = parts.blobs
        self._clock: Final = parts.clock
        self._chance: Final = parts.chance
        self._flow_of: Final = parts.flow_of
        self.profile: Final = parts.profile
        self._durability: Final = durability
        self._caller_of: Final = caller_of
        self._ledger: Final = LedgerWriter(parts)
        self._salt: Final = parts.store.home_salt()
        self._delivery: Final = Delivery(engine, parts)
        self.answers: Final = Answers(parts, self._delivery, caller_of=caller_of, actor_of=self._actor)
        self._keys: Final = Turns()
        self.retention: Final = Retention(
            engine, parts, self._delivery, actor_of=self._actor, permit=self._permitted, may=self._may
        )

    async def register(self, definition: str, words: Words, by: ev.By, namespace: str = "default") -> str:
        """Let a name mean a definition from now on; nothing is written if it already does.

        Returns the flow's id.

        Raises:
            PermissionDenied: the caller may not change what a name means here.
            Conflict: another writer got in again and again.
        """
        acting(by, self._caller_of(by), Action.REGISTER, People(namespace))
        flow_id = ""

        def changed(now: int) -> tuple[ev.Event, tuple[Row, ...]] | None:
            nonlocal flow_id
            known = self._store.flow(namespace, words.flow)
            flow_id = known.id if known else to_text(self._new_id())
            said = (definition, words.version, words.title, words.description)
            if known and (known.definition, known.version, known.title, known.description) == said:
                return None
            if self.profile.one_meaning and words.version:
                see_version_is_free(self._store, namespace, words, definition)
            change = ev.DefinitionChanged(
                flow=words.flow,
                flow_id=flow_id,
                definition=definition,
                by=acting(by, self._caller_of(by), Action.REGISTER, People(namespace)),
                namespace=namespace,
                version=words.version,
                title=words.title,
                description=words.description,
            )
            return change, (ledger.changed(known, change, now),)

        await self._ledger.append(namespace, self._actor(by), changed)
        return flow_id

    async def submit(
        self, submission: Submission, by: ev.By, *, key: str = "", body: str = ""
    ) -> tuple[bytes, bool]:
        """Accept a run; on return it is durable and under way. Returns its id, and whether it was a replay.

        A principal's `key` begins one run, however often and from wherever it is sent. `body` is the digest
        of what was asked for; a door that looks names up before it submits passes that of the request, since
        a name may mean something else by the second time.

        Raises:
            KeyReused: the key stands for a run that was asked for with another body.
            InvalidRunInput: inputs do not fit, or name files that are not here; no run was created.
            InvalidInput: a label, tag, name or key is too long.
            BlobNotFound: the definition was purged meanwhile.
            PermissionDenied: the caller may not start runs here.
        """
        if not key:
            return await self._accept(submission, by), False
        check_key(key)
        body = body or body_of(submission)
        async with self._keys.turn((by.principal, key)):
            known = self.replayed(by, key, body)
            if known is not None:
                return known, True
            try:
                return await self._accept(submission, by, key, body), False
            except RunnotaryError:
                known = self.replayed(by, key, body)  # another server was asked the same at the same time
                if known is None:
                    raise
                return known, True

    async def rerun(
        self, run_id: bytes, by: ev.By, *, key: str = "", trigger: ev.Trigger | None = None
    ) -> tuple[bytes, bool]:
        """Start the same definition on the same inputs as a new run, linked to the one before; see `submit`.

        Raises:
            RunNotFound: there is no such run, or not for this caller.
            KeyReused, PermissionDenied: as in `submit`.
        """
        row, _ = self._permitted(run_id, by, Action.READ)
        created = next(iter(self._store.read(run_stream(run_id)))).event
        assert isinstance(created, ev.RunCreated)
        large = created.inputs_large
        inputs = decode(self._blobs.get(large.blob)) if large else created.inputs
        submission = again(row, created, inputs, trigger or ev.Trigger("manual"))
        body = digest(canonical({"rerun": to_text(run_id)}))
        return await self.submit(submission, by, key=key, body=body)

    def replayed(self, by: ev.By, key: str, body: str) -> bytes | None:
        """Return the run that this principal's key already stands for, if any.

        Raises:
            KeyReused: it was asked for with another body.
        """
        row = self._store.keyed(by.principal, key) if key else None
        if row is None:
            return None
        if digest_text(row.body) != body:
            raise KeyReused(
                f"the idempotency key {key} already stands for run {to_text(row.run)}, asked for otherwise",
                hint="take a new key for a new request",
            )
        return row.run

    async def _accept(self, submission: Submission, by: ev.By, key: str = "", body: str = "") -> bytes:
        check_words(submission)
        starter = acting(by, self._caller_of(by), Action.START, People(submission.namespace))
        self._want(submission.definition)
        flow: Flow = self._flow_of(submission.definition)
        inputs = complete(flow, submission.inputs)
        code = (Named(file.blob, "bytes") for file in flow.code.values())
        await self._want_all([*blobs_in_value(inputs), *code])
        words = submission.words
        flow_id = submission.flow_id
        if words.flow and not flow_id:
            flow_id = await self.register(submission.definition, words, by, submission.namespace)
        inline, large = self._packed(inputs)
        created = ev.RunCreated(
            definition=submission.definition,
            engine=__version__,
            durability=self._durability,
            by=starter,
            namespace=submission.namespace,
            flow=words.flow,
            flow_id=flow_id,
            title=words.title,
            description=words.description,
            inputs=inline,
            inputs_large=large,
            trigger=submission.trigger,
            owner=by.principal,
            label=submission.label,
            tags=submission.tags,
            labels=submission.labels,
            monitors=submission.monitors,
            managers=submission.managers,
            max_concurrency=submission.max_concurrency,
            on_failure=submission.on_failure,
            source=submission.source,
            links=(ev.Link("previous", submission.previous),) if submission.previous else (),
            key=key,
            key_body=body,
        )
        if len(ev.encode(created)) > ev.BODY_MAX:
            raise InvalidInput("what is said about the run is more than one event holds", hint="say less")
        run_id = self._new_id()
        await self._engine.create(run_id, created, self._actor(by))
        return run_id

    async def cancel(
        self, run_id: bytes, by: ev.By, *, reason: str = "", grace_ms: int = 10_000, force: bool = False
    ) -> None:
        """Ask for the end of a run; durable on return, the end itself follows.

        Raises:
            RunNotFound, AlreadyEnded: nothing to cancel (a cancelled run is no error).
            PermissionDenied: the caller may not.
        """
        row, by = self._permitted(run_id, by, Action.CANCEL)
        if row.status == State.CANCELLED:
            return
        self.profile.require_reason(Change.CANCEL, reason)
        if State(row.status) in TERMINAL:
            raise AlreadyEnded(f"run {to_text(run_id)} has already ended: {row.status}")
        await self._engine.adopt(run_id)
        await self._delivery.deliver(run_id, Cancel(by, checked(reason), grace_ms, force), self._actor(by))

    async def update(self, run_id: bytes, by: ev.By, set: dict[str, Json], if_seq: int | None = None) -> None:
        """Change label, tags, labels, monitors or managers, also of a run that is over; durable on return.

        `if_seq`: only if the run still has that many events.

        Raises:
            RunNotFound, PermissionDenied: the caller may not.
            InvalidInput: a name that cannot be changed, or a value that is not of its kind.
            Changed: the run has grown since.
        """
        _, by = self._permitted(run_id, by, Action.UPDATE)
        check_changes(set)
        await self._delivery.deliver(run_id, Update(by, set, if_seq), self._actor(by))

    async def archive(self, run_id: bytes, by: ev.By, reason: str = "") -> None:
        """Take a run that is over out of the lists; see `Retention.archive`."""
        await self.retention.archive(run_id, by, checked(reason), on=True)

    async def unarchive(self, run_id: bytes, by: ev.By, reason: str = "") -> None:
        """Put an archived run back into the lists; see `Retention.archive`."""
        await self.retention.archive(run_id, by, checked(reason), on=False)

    async def hold(self, run_id: bytes, by: ev.By, reason: str = "") -> None:
        """Protect a run from being purged; see `Retention.hold`."""
        await self.retention.hold(run_id, by, checked(reason), on=True)

    async def release_hold(self, run_id: bytes, by: ev.By, reason: str = "") -> None:
        """Let a run be purged again; see `Retention.hold`."""
        await self.retention.hold(run_id, by, checked(reason), on=False)

    async def purge(self, run_id: bytes, by: ev.By, reason: str = "") -> None:
        """Take a run out of the record and leave its tombstone; see `Retention.purge`."""
        await self.retention.purge(run_id, by, checked(reason))

    async def erase(self, run_id: bytes, by: ev.By, reason: str = "") -> None:
        """Take away what the events of a run say, and leave their envelopes; see `Retention.erase`."""
        await self.retention.erase(run_id, by, checked(reason))

    async def sweep(
        self,
        query: RunQuery,
        by: ev.By,
        *,
        action: Sweep,
        older_than: int = 0,
        reason: str = "",
        dry_run: bool = False,
    ) -> list[bytes]:
        """Archive or purge every run that the filters leave and that ended `older_than` µs ago or earlier.

        Order, page and place of the query do not count; archived runs are purged too. Returns the ids of
        those that went or, if `dry_run`, would go; see `Retention.sweep`.
        """
        return await self.retention.sweep(
            query, by, action=action, older_than=older_than, reason=checked(reason), dry_run=dry_run
        )

    async def adopt(self, run_id: bytes, by: ev.By, *, renew: bool = False) -> None:
        """Go on with an interrupted run.

        Raises:
            RunNotFound: there is none.
            AlreadyEnded: it is over.
            PermissionDenied: the caller may not.
        """
        row, _ = self._permitted(run_id, by, Action.RESUME)
        if State(row.status) in TERMINAL:
            raise AlreadyEnded(f"run {to_text(run_id)} has already ended: {row.status}")
        await self._engine.adopt(run_id, renew=renew)

    def _permitted(self, run_id: bytes, by: ev.By, action: Action) -> tuple[RunRow, ev.By]:
        """Return the run's row, and as what the caller acts, if they may do this with it."""
        row = self._store.run(run_id)
        if row is None:
            raise RunNotFound.named(to_text(run_id))
        return row, acting(by, self._caller_of(by), action, _people(row), run=to_text(run_id))

    def _may(self, row: RunRow, by: ev.By, action: Action) -> ev.By | None:
        try:
            return acting(by, self._caller_of(by), action, _people(row))
        except PermissionDenied:
            return None

    def _want(self, blob: str) -> None:
        """Keep what a run will name from being discarded meanwhile, and see that it was not already."""
        self._blobs.want(blob)
        if self.retention.may_be_gone(blob) and not self._blobs.has(blob):
            raise BlobNotFound(f"{blob} was purged", hint="put it again")

    async def _want_all(self, given: Iterable[Named]) -> None:
        """Do the same for inputs and code, all of which must be here: `verify` will look for them.

        Raises:
            InvalidRunInput: one is not, or is no folder though an input says so.
        """
        named = set(given)
        trees = [one for one in named if one.form == "tree"]
        for one in named:
            self._want_here(one.digest)
        for tree in trees:
            await asyncio.to_thread(self._want_inside, tree.digest)

    def _want_inside(self, tree: str) -> None:
        try:
            inside = entries(self._blobs.get(tree))
        except BadManifest:
            raise InvalidRunInput([f"inputs: {tree} is no folder"]) from None
        for entry in inside:
            self._want_here(entry.blob)

    def _want_here(self, blob: str) -> None:
        self._blobs.want(blob)
        if not self._blobs.has(blob):
            raise InvalidRunInput([f"{blob} is not here; put its bytes first"])

    def _packed(self, value: dict[str, Json]) -> tuple[dict[str, Json], ev.Large | None]:
        data = canonical(value)
        if len(data) <= ev.VALUE_MAX:
            return value, None
        self._blobs.put(data)
        return {}, ev.Large(digest(data), len(data))

    def _actor(self, by: ev.By) -> bytes:
        return actor_id(self._salt, by.principal)

    def _new_id(self) -> bytes:
        return uuid7(self._clock.now(), self._chance.token(8))


def _people(row: RunRow) -> People:
    return People(row.namespace, row.owner, tuple(decode(row.monitors)), tuple(decode(row.managers)))
