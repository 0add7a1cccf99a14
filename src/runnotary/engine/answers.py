"""Answers to requests: who may give one, looked at where it is written, and taken to the run.

An answer is kept whether or not an engine holds the run: it is an event of its own, and whoever takes the run
up finds it. Nothing here starts what waited for it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import msgspec

from runnotary.core import approvals
from runnotary.core import events as ev
from runnotary.core.approvals import Answer
from runnotary.core.chain import ledger_stream, run_stream
from runnotary.core.errors import NotWaiting, RunNotFound
from runnotary.core.ids import to_text
from runnotary.core.permissions import Action, Caller, require
from runnotary.core.profile import Change
from runnotary.core.rows import RunRow
from runnotary.engine.delivery import Delivery
from runnotary.engine.parts import Parts
from runnotary.engine.questions import people_of

Json = Any


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
        self._store: Final = parts.store
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
        """
        row = self._store.run(run_id)
        if row is None:
            raise RunNotFound.named(to_text(run_id))
        require(self._caller_of(by), Action.READ, people_of(row), run=to_text(run_id))
        request = self._request(row, key)
        as_what = self.entitled(row, by, request)
        self._profile.require_reason(Change.DECIDE, reason)
        decided_by = msgspec.structs.replace(by, role=as_what)
        answer = Answer(key, decided_by, approve, reason, seen)
        await self._delivery.deliver(run_id, answer, self._actor_of(by))

    def entitled(self, row: RunRow, by: ev.By, request: dict[str, Json]) -> str:
        """Let pass who may answer a request, and return as what they may.

        Raises:
            RunNotFound, PermissionDenied: as `answer` does.
        """
        run = to_text(row.id)
        as_what = approvals.entitled(self._caller_of(by), request, people_of(row), run=run)
        if not (self._profile.self_approval and request.get("self_approval", True)):
            approvals.not_their_own(by, self._concerned(row), run=run)
        return as_what

    def _request(self, row: RunRow, key: str) -> dict[str, Json]:
        for entry in self._store.read(run_stream(row.id)):
            event = entry.event
            if isinstance(event, ev.TaskWaiting) and event.key == key and event.waits_for == "approval":
                return event.request
        raise NotWaiting(
            f"step {key[:80]} of run {to_text(row.id)} asks for nothing yet",
            hint="see: runnotary approval list",
        )

    def _concerned(self, row: RunRow) -> set[str]:
        """Return who started a run, who owns it, and who let its flow mean what it does."""
        people = {row.created_by, row.owner}
        if row.flow:
            for entry in self._store.read(ledger_stream(row.namespace)):
                event = entry.event
                if isinstance(event, ev.DefinitionChanged) and (event.flow, event.definition) == (
                    row.flow,
                    row.definition,
                ):
                    people.add(event.by.principal)
        return people
