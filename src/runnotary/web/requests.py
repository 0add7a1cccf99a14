"""`/approvals`: what waits for people, and the answers that they give."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, Final

from runnotary.core.errors import AlreadyDecided, AlreadyEnded, InvalidInput, NotWaiting
from runnotary.engine.approvals import ApprovalQuery
from runnotary.web import addresses
from runnotary.web.answers import Answer, see_other
from runnotary.web.run_page import EVENTS, asked_of
from runnotary.web.visit import Visit

Json = Any
SHOWN: Final = 50
APPROVE: Final = "approve"
DECISIONS: Final = (APPROVE, "reject")
GONE: Final = (AlreadyDecided, AlreadyEnded, NotWaiting)
"""Somebody was faster, or the time was: the page that follows says so."""


def approvals(visit: Visit) -> Answer:
    """Show what waits: first for the visitor, then for others, of the runs that the visitor sees."""
    operations, who = visit.operations, visit.known()
    cursor = visit.asked.word("cursor")
    page = operations.approvals.listing(who, ApprovalQuery(), limit=SHOWN, page=cursor)
    listed = [asked_of(one) for one in page["approvals"]]
    return visit.page(
        "approvals_live.html" if visit.asked.live else "approvals.html",
        mine=[one for one in listed if one["may_answer"]],
        others=[one for one in listed if not one["may_answer"]],
        first="/approvals" if cursor else "",
        more=addresses.address("/approvals", {"cursor": page["next_cursor"]}) if page["has_next"] else "",
        events=EVENTS,
    )


async def answer(visit: Visit) -> Answer:
    """Approve or refuse what the visitor saw, and go back to the run; it says what came of it.

    Raises:
        InvalidInput: the form says neither.
    """
    asked, run = visit.asked, visit.asked.params["run"]
    decision = asked.field("decision")
    if decision not in DECISIONS:
        raise InvalidInput("an answer is to approve or to reject", hint="use one of the two buttons")
    with suppress(*GONE):
        await visit.operations.approvals.answer(
            visit.known(),
            run,
            asked.params["task"],
            approve=decision == APPROVE,
            reason=asked.field("reason").strip()[:1000],
            seen=asked.field("shown"),
        )
    return see_other(addresses.of_run(run))
