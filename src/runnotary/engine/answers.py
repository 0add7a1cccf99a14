"""Answers to requests: who may give one, looked at where it is written, and taken to the run.

An answer is kept whether or not an engine holds the run: it is an event of its own, and whoever takes the run
up finds it. Nothing here starts what waited for it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, Final

import msgspec

from runnotary.core import approvals
from runnotary.core import events as ev
from runnotary.core.approvals import Answer
from runnotary.core.chain import ledger_stream, run_stream
from runnotary.core.errors import RunNotFound
from runnotary.core.flow import Flow
from runnotary.core.ids import to_text
from runnotary.core.permissions import Action, Caller, Who, require
from runnotary.core.profile import Change, Profile
from runnotary.core.rows import RunRow
from runnotary.core.run import split_key
from runnotary.engine.delivery import Delivery
from runnotary.engine.parts import Parts
from runnotary.engine.questions import people_of
from runnotary.engine.submission import checked
from runnotary.ports import Store

Json = Any
FLOWS_HELD: Final = 64


class Entitlement:
    """Who may answer which request of a home."""

    def __init__(self, store: Store, profile: Profile) -> None:
        self._store: Final = store
        self._profile: Final = profile
        self._registered: Final = lru_cache(FLOWS_HELD)(self._registered_by)

    def of(self, row: RunRow, who: Who, request: dict[str, Json]) -> str:
        """Let pass who may answer a request (as its event holds it), and return as what they may.

        Raises:
            RunNotFound: the caller may not even see the run.
            PermissionDenied: it is for others to answer, or (`OwnRequest`) not for this one.
        """
        run = to_text(row.id)
        as_what = approvals.entitled(who.caller, request, people_of(row), run=run)
        if not (self._profile.self_approval and request.get("self_approval", True)):
            approvals.not_their_own(who.by, self._concerned(row), run=run)
        return as_what

    @property
    def asks_why(self) -> bool:
        """Tell whether every answer must say why, whatever its request asks."""
        return Change.DECIDE in self._profile.reasons

    def _concerned(self, row: RunRow) -> set[str]:
        """Return who started a run, who owns it, and who let its flow mean what it does."""
        if not row.flow:
            return {row.created_by, row.owner}
        changes, _ = self._store.head(ledger_stream(row.namespace))
        return {
            row.created_by,
            row.owner,
            *self._registered(row.namespace, row.flow, row.definition, changes),
        }

    def _registered_by(self, namespace: str, flow: str, definition: str, changes: int) -> frozenset[str]:
        """Return who let a flow mean a definition, as a ledger of so many events tells."""
        events = (entry.event for entry in self._store.read(ledger_stream(namespace)))
        return frozenset(
            event.by.principal
            for event in events
            if isinstance(event, ev.DefinitionChanged)
            and (event.flow, event.definition) == (flow, definition)
        )


class Answers:
    """Takes answers to the runs of one home."""

    def __init__(
        self,
        parts: Parts,
        delivery: Delivery,
        *,
        caller_of: Callable[[ev.By], Caller],
        actor_of: Callable[[ev.By], bytes],
    ) -> None:
        self.entitlement: Final = Entitlement(parts.store, parts.profile)
        self.clock: Final = parts.clock
        self._store: Final = parts.store
        self._flow_of: Final = parts.flow_of
        self._profile: Final = parts.profile
        self._delivery: Final = delivery
        self._caller_of: Final = caller_of
        self._actor_of: Final = actor_of

    async def answer(
        self, run_id: bytes, key: str, by: ev.By, *, approve: bool, reason: str = "", seen: str = ""
    ) -> None:
        """Approve or refuse what a task asks for; durable on return, what follows is not waited for.

        Raises:
            RunNotFound: there is no such run, or not for this caller.
            PermissionDenied: the request is for others to answer, or (`OwnRequest`) not for this one.
            NotWaiting, AlreadyDecided, AlreadyEnded, ShownOtherwise: there is no such open request.
            ReasonRequired: the request or the profile of the home asks why.
            InvalidInput: the reason is too long.
        """
        row = self._store.run(run_id)
        if row is None:
            raise RunNotFound.named(to_text(run_id))
        who = Who(by, self._caller_of(by))
        require(who.caller, Action.READ, people_of(row), run=to_text(run_id))
        as_what = self.entitlement.of(row, who, self._request(row, key))
        self._profile.require_reason(Change.DECIDE, reason)
        answer = Answer(key, msgspec.structs.replace(by, role=as_what), approve, checked(reason), seen)
        await self._delivery.deliver(run_id, answer, self._actor_of(by))

    def _request(self, row: RunRow, key: str) -> dict[str, Json]:
        """Return what a task asks, or will ask: it may by the time that the answer arrives there."""
        for entry in self._store.read(run_stream(row.id)):
            event = entry.event
            if isinstance(event, ev.TaskWaiting) and event.key == key and event.waits_for == "approval":
                return event.request
        flow: Flow = self._flow_of(row.definition)
        step = flow.steps.get(split_key(key)[0])
        return approvals.terms(step.approve) if step is not None and step.approve is not None else {}
