"""Events in words: what one event says to a person, and the entries of a run's log."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from runnotary.core import events as ev
from runnotary.core import words
from runnotary.core.chain import Recorded
from runnotary.core.flow import Flow
from runnotary.core.run import split_key
from runnotary.core.times import to_text as time_text

Json = Any
KEYS_SHOWN = 3
TimeOfDay = Callable[[int], str]


class Told(NamedTuple):
    """What an event says: about which task (or the run), the state it brings, and the rest."""

    subject: str
    state: str
    rest: str = ""

    def __str__(self) -> str:
        return " ".join(part for part in self if part)


def utc(at: int) -> str:
    """Write a moment as the time of day in UTC."""
    return datetime.fromtimestamp(at / 1_000_000, UTC).strftime("%H:%M:%SZ")


def told(entry: Recorded, flow: Flow, clock: TimeOfDay = utc) -> list[Told]:
    """Return what one event says to a person; nothing if it says nothing new."""
    event = entry.event
    if isinstance(event, ev.TaskSettled):
        return _settled(event)
    one = _of_run(event) or _of_task(event, flow, clock)
    return [one] if one else []


def _of_run(event: ev.Event) -> Told | None:
    match event:
        case ev.RunCreated():
            return Told(
                "run", "accepted", f"{event.flow or 'unnamed flow'} by {words.visible(event.by.principal)}"
            )
        case ev.RunCancelRequested():
            reason = f": {words.visible(event.reason)}" if event.reason else ""
            return Told("run", "cancel asked", f"by {words.visible(event.by.principal)}{reason}")
        case ev.RunUpdated():
            return Told("run", "updated", ", ".join(event.set))
        case ev.RunFinished():
            return Told("run", event.status, event.reason if event.reason != event.status else "")
    return None


def _of_task(event: ev.Event, flow: Flow, clock: TimeOfDay) -> Told | None:
    match event:
        case ev.TaskStarted():
            most = flow.steps[split_key(event.key)[0]].retry.attempts
            return Told(event.key, "running", words.tries(event.attempt, most))
        case ev.TaskEnded():
            return _ended(event, clock)
        case ev.TaskReported():
            pct = "" if event.progress is None else f"{event.progress}%"
            return Told(event.key, "running", f"{pct} {words.visible(event.message)}".strip())
        case ev.TaskExpanded():
            return Told(event.key, "running", words.plural(event.count, "task"))
        case ev.TaskWaiting():
            return _waiting(event, clock)
        case ev.TaskSignalled():
            return _signalled(event)
        case ev.TaskStopping():
            return Told(event.key, "stopping", event.why)
    return None


def _waiting(event: ev.TaskWaiting, clock: TimeOfDay) -> Told:
    if event.waits_for != "approval":
        until = f" until {clock(event.due)}" if event.due else ""
        return Told(event.key, "waiting", f"for a {event.waits_for}{until}")
    until = f" until {time_text(event.due)[:19]}Z" if event.due else ""  # it may be days from now
    return Told(
        event.key, "waiting", f"for approval{until}: {words.visible(event.request.get('prompt', ''))}"
    )


def _signalled(event: ev.TaskSignalled) -> Told | None:
    said = event.payload if isinstance(event.payload, dict) else {}
    if "decision" not in said:
        return None
    reason = f": {words.visible(said['reason'])}" if said.get("reason") else ""
    return Told(event.key, str(said["decision"]), f"by {words.visible(event.by.principal)}{reason}")


def _ended(event: ev.TaskEnded, clock: TimeOfDay) -> Told:
    time = words.brief(event.exited_at - event.started_at) if event.started_at and event.exited_at else ""
    if event.verdict == "success":
        return Told(event.key, "success", f"{time} {words.values(event.values)}".strip())
    message = words.visible(event.error.message) if event.error else event.reason
    if event.verdict == "retry":
        return Told(event.key, "retry", f"{time} {message}; again at {clock(event.retry_at)}".strip())
    state = "cancelled" if event.verdict == "cancelled" else "failed"
    return Told(event.key, state, f"{time} {message}".strip())


def _settled(event: ev.TaskSettled) -> list[Told]:
    because = f"{event.reason}: {event.because}" if event.because else event.reason
    rest = words.values(event.values) if event.status == "success" else because
    told = [Told(key, event.status, rest) for key in event.keys[:KEYS_SHOWN]]
    if len(event.keys) > KEYS_SHOWN:
        told.append(Told("…", event.status, f"and {len(event.keys) - KEYS_SHOWN:,} more"))
    return told


def entry_of(entry: Recorded, flow: Flow, clock: TimeOfDay = utc) -> Json:
    """Return an entry of the run's log: time, code, description, details."""
    said = "; ".join(str(one) for one in told(entry, flow, clock))
    name = ev.NAMES[type(entry.event)]
    return {
        "time": time_text(entry.at),
        "code": name,
        "description": said or name.replace(".", " ").replace("_", " "),
        "details": msgspec.to_builtins(entry.event),
    }
