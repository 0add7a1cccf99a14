"""Requests to people, for callers with rights of their own: what waits, what was answered, and an answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from runnotary.core.asked import STATUSES, WAITING, requests
from runnotary.core.errors import InvalidInput, PermissionDenied, TaskNotFound
from runnotary.core.ids import from_text, to_text
from runnotary.core.permissions import Who, visible
from runnotary.core.queries import RunQuery
from runnotary.core.rows import RunRow
from runnotary.engine.answers import Answers, Entitlement
from runnotary.engine.cursors import cursor, place
from runnotary.engine.questions import Questions

Json = Any
LOOKED_AT: Final = 200
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

    def __init__(self, questions: Questions, entitlement: Entitlement) -> None:
        self._questions: Final = questions
        self._reader: Final = questions.reader
        self._entitlement: Final = entitlement

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
        after = place(listing, page, tuple[str, str]) if page else ("", "")
        found: list[Json] = []
        for document in self._all(who, query, after):
            if query.status and document["status"] not in query.status:
                continue
            if query.mine and not document["may_answer"]:
                continue
            if len(found) == limit:
                last = found[-1]["run"], found[-1]["task"]
                return {"approvals": found, "has_next": True, "next_cursor": cursor(listing, last)}
            found.append(document)
        return {"approvals": found, "has_next": False, "next_cursor": None}

    def _all(self, who: Who, query: ApprovalQuery, after: tuple[str, str]) -> Iterator[Json]:
        if query.run:
            row = self._questions.seen(who, query.run)
            made = sorted(self._of_run(who, row), key=lambda document: document["task"])
            yield from (document for document in made if document["task"] > after[1])
            return
        runs = RunQuery(namespace=query.namespace, flow=query.flow, visible=visible(who.caller))
        start = (from_text(after[0]), after[1]) if after[0] else None
        while True:
            tasks = self._questions.reader.store.waiting(runs, start, LOOKED_AT)
            for run in dict.fromkeys(task.run for task in tasks):
                keys = {task.key for task in tasks if task.run == run}
                now = self._reader.store.run(run)
                made = self._of_run(who, now) if now is not None else []
                documents = (document for document in made if document["task"] in keys)
                waiting = (document for document in documents if document["status"] == WAITING)
                yield from sorted(waiting, key=lambda document: document["task"])
            if len(tasks) < LOOKED_AT:
                return
            start = tasks[-1].run, tasks[-1].key

    def one(self, who: Who, name: str, task: str) -> Json:
        """Return a request by its run and its task: an id, a key, or the step of the only one.

        Raises:
            RunNotFound: there is no such run, or not for this caller.
            TaskNotFound: it has no such task, or that asks nothing.
            InvalidInput: the step asks several things.
        """
        row = self._questions.seen(who, name)
        made = self._of_run(who, row)
        for document in made:
            if task in (document["id"], document["task"]):
                return document
        of_step = [document for document in made if document["task"].partition("[")[0] == task]
        of_step = [one for one in of_step if one["status"] == WAITING] or of_step
        if len(of_step) > 1:
            some = ", ".join(document["task"] for document in of_step[:5])
            raise InvalidInput(
                f"step {task} of run {to_text(row.id)} asks several things: name one of {some}"
            )
        if not of_step:
            raise TaskNotFound(f"run {to_text(row.id)} has no request {task[:80]}")
        return of_step[0]

    def _of_run(self, who: Who, row: RunRow) -> list[Json]:
        made = requests(row.id, self._reader.history(row), self._reader.value)
        return [self._for(who, row, document) for document in made]

    def _for(self, who: Who, row: RunRow, document: Json) -> Json:
        """Return a request as this caller sees it: what it is about, and whether it is for them to answer."""
        why_not = None
        if document["status"] != WAITING:
            why_not = f"it is over: {document['status']}"
        elif any(one["by"] == who.by.principal for one in document["decisions"]):
            why_not = "you have approved it already; somebody else must too"
        else:
            try:
                self._entitlement.of(row, who, _as_asked(document))
            except PermissionDenied as refused:
                why_not = refused.message
        return {
            **document,
            "namespace": row.namespace,
            "flow": row.flow or None,
            "definition_hash": row.definition,
            "label": row.label or None,
            "created_by": row.created_by,
            "owner": row.owner,
            "may_answer": why_not is None,
            "why_not": why_not,
        }


class Answering(Approvals):
    """Requests, and answers to them."""

    def __init__(self, questions: Questions, answers: Answers) -> None:
        super().__init__(questions, answers.entitlement)
        self._answers: Final = answers

    async def answer(
        self, who: Who, name: str, task: str, *, approve: bool, reason: str = "", seen: str = ""
    ) -> Json:
        """Approve or refuse; `seen` is the `shown_digest` that the caller saw. Returns the request.

        Raises:
            TaskNotFound, and what `Answers.answer` does.
        """
        row = self._questions.seen(who, name)
        try:
            key = self.one(who, name, task)["task"]
        except TaskNotFound:
            key = self._questions.task(who, name, task)["key"]
        await self._answers.answer(row.id, key, who.by, approve=approve, reason=reason, seen=seen)
        return self.one(who, to_text(row.id), key)


def _as_asked(document: Json) -> dict[str, Json]:
    """Return what of a request decides who may answer it, as its event has it."""
    return {"who": document["by"], "self_approval": document["self_approval"]}
