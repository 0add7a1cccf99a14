"""What a request to people looks like from outside: a document made of the events that name it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from runnotary.core import events as ev
from runnotary.core.chain import Recorded
from runnotary.core.fold import APPROVED
from runnotary.core.ids import to_text
from runnotary.core.states import Reason
from runnotary.core.times import maybe
from runnotary.core.times import to_text as time_text

Json = Any
WAITING: Final = "waiting"
STATUSES: Final = (WAITING, "approved", "rejected", "timeout", "cancelled")
"""How a request stands, or ended."""


def asked(run: bytes, event: ev.TaskWaiting, at: int, load: Callable[[str], Json]) -> Json:
    """Return a request as it was made. `shown_digest` is what answers are about."""
    request = event.request
    return {
        "id": request.get("id"),
        "run": to_text(run),
        "task": event.key,
        "status": WAITING,
        "prompt": request.get("prompt", ""),
        "shown": load(event.shown_large.blob) if event.shown_large else request.get("shown", {}),
        "shown_digest": request.get("digest", ""),
        "by": request.get("who", []),
        "approvals": request.get("approvals", 1),
        "reason_required": request.get("reason") == "required",
        "self_approval": request.get("self_approval", True),
        "asked_at": time_text(at),
        "due_at": maybe(event.due),
        "decided_at": None,
        "decisions": [],
    }


def requests(run: bytes, recorded: Iterable[Recorded], load: Callable[[str], Json]) -> list[Json]:
    """Return the requests of a run, oldest first."""
    found: dict[str, Json] = {}
    for entry in recorded:
        match entry.event:
            case ev.TaskWaiting(waits_for="approval") as event:
                found[event.key] = asked(run, event, entry.at, load)
            case ev.TaskSignalled() as event if event.key in found:
                answered(found[event.key], event, entry.at)
            case ev.TaskSettled() as event:
                for key in found.keys() & set(event.keys):
                    settled(found[key], event)
    return list(found.values())


def answered(document: Json, event: ev.TaskSignalled, at: int) -> None:
    """Add an answer."""
    said = event.payload if isinstance(event.payload, dict) else {}
    decision = said.get("decision", "")
    document["decisions"].append(
        {
            "decision": decision,
            "by": event.by.principal,
            "authenticated_by": event.by.auth,
            "role": event.by.role or None,
            "token": event.by.token or None,
            "rule": event.rule or None,
            "reason": said.get("reason") or None,
            "shown_digest": said.get("shown") or None,
            "at": time_text(at),
        }
    )
    if decision != APPROVED or len(document["decisions"]) >= document["approvals"]:
        document.update(status=decision, decided_at=time_text(at))


def settled(document: Json, event: ev.TaskSettled) -> None:
    """Note how a request ended that nobody answered."""
    if document["status"] == WAITING:
        code = event.error.code if event.error else event.reason
        document["status"] = "timeout" if code == Reason.TIMEOUT else "cancelled"
