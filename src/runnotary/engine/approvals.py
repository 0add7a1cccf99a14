"""Requests to people, for callers with rights of their own: what waits, what was answered, and an answer."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from operator import attrgetter, itemgetter
from typing import Any, Final

import msgspec

from runnotary.core.asked import STATUSES, WAITING, requests
from runnotary.core.errors import BlobNotFound, Damaged, InvalidInput, PermissionDenied, TaskNotFound
from runnotary.core.ids import from_text, to_text
from runnotary.core.permissions import Who, visible
from runnotary.core.queries import RunQuery
from runnotary.core.rows import RunRow
from runnotary.core.run import split_key
from runnotary.core.times import to_text as time_text
from runnotary.engine.answers import Answers, Entitlement
from runnotary.engine.cursors import Id, cursor, place
from runnotary.engine.questions import Questions
from runnotary.ports import Clock

Json = Any
LOOKED_AT: Final = 1000
"""Tasks that one look into the store brings."""


class ApprovalQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which requests: of namespaces and flows, or of one run; `mine` are those that the caller may answer.

    Of one run those that are over are found too, by their `status`.
    """

    namespace: tuple[str, ...] = ()
    flow: tuple[str, ...] = ()
    run: str = ""
    status: tuple[str, ...] = ()
    mine: bool = False


class Approvals:
    """The requests of one home. `questions` decide which runs a caller sees."""

    def __init__(self, questions: Questions, entitlement: Entitlement, clock: Clock) -> None:
        self._questions: Final = questions
        self._reader: Final = questions.reader
        self._entitlement: Final = entitlement
        self._clock: Final = clock

    # --- which ---------------------------------------------------------------------------------

    def listing(self, who: Who, query: ApprovalQuery, *, limit: int, page: str = "") -> Json:
        """Return a page of requests, by run and task, oldest first.

        Raises:
            RunNotFound: the run that is named is not there, or not for this caller.
            InvalidCursor: the page is not one of this listing.
            InvalidInput: requests that are over are asked for, and no run.
        """
        unknown = sorted(set(query.status) - set(STATUSES))
        if unknown:
            raise InvalidInput(f"status is one of {', '.join(STATUSES)}, not {unknown[0]}")
        if not query.run and set(query.status) - {WAITING}:
            raise InvalidInput("requests that are over are listed by `run`", hint="name a run")
        listing = msgspec.to_builtins(query)
        after = place(listing, page, tuple[Id, str]) if page else None
        found: list[Json] = []
        for row, document in self._all(who, query, after):
            if query.status and document["status"] not in query.status:
                continue
            why_not = self._why_not(who, row, document)
            if query.mine and why_not is not None:
                continue
            if len(found) == limit:
                last = found[-1]["run"], found[-1]["task"]
                return {"approvals": found, "has_next": True, "next_cursor": cursor(listing, last)}
            found.append(self._shown(row, document, why_not))
        return {"approvals": found, "has_next": False, "next_cursor": None}

    def _all(
        self, who: Who, query: ApprovalQuery, after: tuple[str, str] | None
    ) -> Iterator[tuple[RunRow, Json]]:
        if query.run:
            row = self._questions.seen(who, query.run)
            made = sorted(self._of_run(row), key=itemgetter("task"))
            yield from ((row, document) for document in made if after is None or document["task"] > after[1])
            return
        runs = RunQuery(namespace=query.namespace, flow=query.flow, visible=visible(who.caller))
        start = (from_text(after[0]), after[1]) if after else None
        while True:
            tasks = self._reader.store.waiting(runs, start, LOOKED_AT)
            for run, of_run in groupby(tasks, attrgetter("run")):
                keys = {task.key for task in of_run}
                now = self._reader.store.run(run)
                if now is None or not self._questions.shows(who, now):  # not any more
                    continue
                made = self._of_run(now)
                waiting = [one for one in made if one["task"] in keys and one["status"] == WAITING]
                yield from ((now, one) for one in sorted(waiting, key=itemgetter("task")))
            if len(tasks) < LOOKED_AT:
                return
            start = tasks[-1].run, tasks[-1].key

    def one(self, who: Who, name: str, task: str) -> Json:
        """Return a request by its run and its task: an id, a key, or the step if it asks once.

        Raises:
            RunNotFound: there is no such run, or not for this caller.
            TaskNotFound: it has no such task, or that asks nothing.
            InvalidInput: the step asks several things.
        """
        row = self._questions.seen(who, name)
        document = self._named(row, task)
        return self._shown(row, document, self._why_not(who, row, document))

    def _named(self, row: RunRow, task: str) -> Json:
        made = self._of_run(row)
        named = [one for one in made if task in (one["id"], one["task"])]
        # Asked one after the other, "the one that waits" would be another one when an answer is sent again.
        named = named or [one for one in made if split_key(one["task"])[0] == task]
        if len(named) > 1:
            some = ", ".join(document["task"] for document in named[:5])
            raise InvalidInput(
                f"step {task} of run {to_text(row.id)} asks several things: name one of {some}"
            )
        if not named:
            raise TaskNotFound(
                f"run {to_text(row.id)} has no request {task[:80]}",
                hint=f"see: runnotary approval list {to_text(row.id)}",
            )
        return named[0]

    # --- as documents --------------------------------------------------------------------------

    def _of_run(self, row: RunRow) -> list[Json]:
        """Return the requests of a run; where what one shows is a blob, `shown` is the digest of that."""
        return requests(row.id, self._reader.history(row), lambda digest: digest)

    def _why_not(self, who: Who, row: RunRow, document: Json) -> str | None:
        """Say why a request is not for this caller to answer; None if it is."""
        if document["status"] != WAITING:
            return f"it is over: {document['status']}"
        if document["due_at"] and time_text(self._clock.now()) >= document["due_at"]:
            return f"the time to answer ended at {document['due_at']}"
        if any(one["by"] == who.by.principal for one in document["decisions"]):
            return "you have approved it already; somebody else must too"
        try:
            self._entitlement.of(row, who, _as_asked(document))
        except PermissionDenied as refused:
            return refused.message
        return None

    def _shown(self, row: RunRow, document: Json, why_not: str | None) -> Json:
        """Return a request with what it shows, what it is about, and whether the caller may answer it."""
        try:
            shown = self._whole(document)
        except (BlobNotFound, Damaged) as lost:  # no reason to show nobody the other requests
            shown, why_not = {}, why_not or f"what it shows cannot be read: {lost.message}"
        return {
            **document,
            "shown": shown,
            "reason_required": document["reason_required"] or self._entitlement.asks_why,
            "namespace": row.namespace,
            "flow": row.flow or None,
            "definition_hash": row.definition,
            "label": row.label or None,
            "created_by": row.created_by,
            "owner": row.owner,
            "may_answer": why_not is None,
            "why_not": why_not,
        }

    def _whole(self, document: Json) -> Json:
        """Return what a request of `_of_run` shows.

        Raises:
            BlobNotFound, Damaged: it is no longer here, or not as it was.
        """
        shown = document["shown"]
        return self._reader.value(shown) if isinstance(shown, str) else shown


class Answering(Approvals):
    """Requests, and answers to them."""

    def __init__(self, questions: Questions, answers: Answers) -> None:
        super().__init__(questions, answers.entitlement, answers.clock)
        self._answers: Final = answers

    async def answer(
        self, who: Who, name: str, task: str, *, approve: bool, reason: str = "", seen: str = ""
    ) -> Json:
        """Approve or refuse; `seen` is the `shown_digest` that the caller saw. Returns the request.

        Raises:
            TaskNotFound, InvalidInput: as `one` does; and what `Answers.answer` does.
            BlobNotFound, Damaged: what the request shows cannot be read.
        """
        run, key = self._meant(who, name, task)
        await self._answers.answer(run, key, who.by, approve=approve, reason=reason, seen=seen)
        return self.one(who, to_text(run), key)

    def _meant(self, who: Who, name: str, task: str) -> tuple[bytes, str]:
        """Return which run and task is to be answered; what nobody can look at is not."""
        row = self._questions.seen(who, name)
        try:
            document = self._named(row, task)
        except TaskNotFound:
            return row.id, self._questions.task(who, name, task)["key"]
        self._whole(document)
        return row.id, document["task"]


def _as_asked(document: Json) -> dict[str, Json]:
    """Return what of a request decides who may answer it, as its event has it."""
    return {"who": document["by"], "self_approval": document["self_approval"]}
