"""The commands that every front door uses: register, submit, cancel, adopt.

A door brings words; this file checks them, writes the facts and answers with ids. Questions (list, show)
go to the store's read side and need no engine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Literal

import msgspec

from runnotary import __version__
from runnotary.core import events as ev
from runnotary.core import ledger
from runnotary.core.chain import actor_id
from runnotary.core.decide import Cancel
from runnotary.core.definition import Words
from runnotary.core.errors import AlreadyEnded, InvalidInput, RunNotFound
from runnotary.core.flow import Flow
from runnotary.core.hashing import canonical, digest
from runnotary.core.ids import to_text, uuid7
from runnotary.core.inputs import complete
from runnotary.core.permissions import Action, Caller, People, require
from runnotary.core.rows import Row, RunRow
from runnotary.core.states import TERMINAL, State
from runnotary.engine.ledger import LedgerWriter
from runnotary.engine.loop import Engine
from runnotary.engine.parts import Parts

Json = Any
decode = msgspec.json.decode


class Wishes(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What somebody may say about a run beside what it is of; the same words at every door."""

    namespace: str = "default"
    label: str = ""
    tags: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    monitors: tuple[str, ...] = ()
    managers: tuple[str, ...] = ()
    max_concurrency: int = 0
    on_failure: Literal["continue", "stop"] | None = None


class Submission(Wishes, frozen=True, kw_only=True):
    """A request for one run of a definition whose blobs are already kept."""

    definition: str
    words: Words = Words()
    inputs: dict[str, Json] = {}
    trigger: ev.Trigger = ev.Trigger()
    source: dict[str, Json] = {}


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
        self._durability: Final = durability
        self._caller_of: Final = caller_of
        self._ledger: Final = LedgerWriter(parts)
        self._salt: Final = parts.store.home_salt()

    async def register(self, definition: str, words: Words, by: ev.By, namespace: str = "default") -> str:
        """Let a name mean a definition from now on; nothing is written if it already does.

        Returns the flow's id.

        Raises:
            PermissionDenied: the caller may not change what a name means here.
            Conflict: another writer got in again and again.
        """
        require(self._caller_of(by), Action.REGISTER, People(namespace))
        flow_id = ""

        def changed(now: int) -> tuple[ev.Event, tuple[Row, ...]] | None:
            nonlocal flow_id
            known = self._store.flow(namespace, words.flow)
            flow_id = known.id if known else to_text(self._new_id())
            said = (definition, words.version, words.title, words.description)
            if known and (known.definition, known.version, known.title, known.description) == said:
                return None
            require(self._caller_of(by), Action.REGISTER, People(namespace))
            change = ev.DefinitionChanged(
                flow=words.flow,
                flow_id=flow_id,
                definition=definition,
                by=by,
                namespace=namespace,
                version=words.version,
                title=words.title,
                description=words.description,
            )
            return change, (ledger.changed(known, change, now),)

        await self._ledger.append(namespace, self._actor(by), changed)
        return flow_id

    async def submit(self, submission: Submission, by: ev.By) -> bytes:
        """Accept a run; on return it is durable and under way.

        Raises:
            InvalidRunInput: inputs do not fit; no run was created.
            InvalidInput: a label, tag or name is too long.
            PermissionDenied: the caller may not start runs here.
        """
        check_words(submission)
        require(self._caller_of(by), Action.START, People(submission.namespace))
        flow: Flow = self._flow_of(submission.definition)
        inputs = complete(flow, submission.inputs)
        words = submission.words
        flow_id = ""
        if words.flow:
            flow_id = await self.register(submission.definition, words, by, submission.namespace)
        inline, large = self._packed(inputs)
        created = ev.RunCreated(
            definition=submission.definition,
            engine=__version__,
            durability=self._durability,
            by=by,
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
        )
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
        row = self._permitted(run_id, by, Action.CANCEL)
        if row.status == State.CANCELLED:
            return
        if State(row.status) in TERMINAL:
            raise AlreadyEnded(f"run {to_text(run_id)} has already ended: {row.status}")
        await self._engine.adopt(run_id)
        if self._engine.holds(run_id):
            await self._engine.command(run_id, Cancel(by, reason, grace_ms, force), self._actor(by))

    async def adopt(self, run_id: bytes, by: ev.By, *, renew: bool = False) -> None:
        """Go on with an interrupted run.

        Raises:
            RunNotFound: there is none.
            AlreadyEnded: it is over.
            PermissionDenied: the caller may not.
        """
        row = self._permitted(run_id, by, Action.RESUME)
        if State(row.status) in TERMINAL:
            raise AlreadyEnded(f"run {to_text(run_id)} has already ended: {row.status}")
        await self._engine.adopt(run_id, renew=renew)

    def _permitted(self, run_id: bytes, by: ev.By, action: Action) -> RunRow:
        """Return the run's row if the caller may do this with it."""
        row = self._store.run(run_id)
        if row is None:
            raise RunNotFound(f"no run {to_text(run_id)} in this home")
        monitors, managers = decode(row.monitors), decode(row.managers)
        people = People(row.namespace, row.owner, tuple(monitors), tuple(managers))
        require(self._caller_of(by), action, people, run=to_text(run_id))
        return row

    def _packed(self, value: dict[str, Json]) -> tuple[dict[str, Json], ev.Large | None]:
        data = canonical(value)
        if len(data) <= ev.VALUE_MAX:
            return value, None
        self._blobs.put(data)
        return {}, ev.Large(digest(data), len(data))

    def _actor(self, by: ev.By) -> bytes:
        return actor_id(self._salt, by.principal)

    def _new_id(self) -> bytes:
        return uuid7(self._clock.now(), self._chance.token(10))


WORD_MAX: Final = 256
WORDS_MAX: Final = 64


def check_words(submission: Submission) -> None:
    """Check what people say about a run, so that its first event stays small.

    Raises:
        InvalidInput: a text over 256 letters, a control character in one, or more than 64 of a kind.
    """
    texts = {"label": (submission.label,), "namespace": (submission.namespace,), "tag": submission.tags}
    people = {"monitor": submission.monitors, "manager": submission.managers}
    labels = {"label name": tuple(submission.labels), "label value": tuple(submission.labels.values())}
    for what, held in (texts | people | labels).items():
        if len(held) > WORDS_MAX:
            raise InvalidInput(f"{len(held)} {what}s; at most {WORDS_MAX}")
        for text in held:
            if len(text) > WORD_MAX or not text.isprintable():
                shown = text[:40] + ("…" if len(text) > 40 else "")
                raise InvalidInput(f"{what} {shown!r}: at most {WORD_MAX} printable letters")
