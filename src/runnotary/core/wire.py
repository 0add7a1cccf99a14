"""What a wire carries of the record: an event as an entry of the audit, and the way back from documents.

A document says everything that its row does, and an entry all of its event but what seals it. So whoever has
only documents can ask the same questions as whoever has the tables. Nothing is checked here against the
record; that is what `verify` is for.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from runnotary.core import events as ev
from runnotary.core.chain import ENGINE_ACTOR, Recorded
from runnotary.core.ids import from_text
from runnotary.core.rows import FlowRow, RunRow
from runnotary.core.times import from_text as time_of
from runnotary.core.times import to_text as time_text

Json = Any
_KINDS: Final = {name: kind for kind, name in ev.NAMES.items()}
_encode: Final = msgspec.json.Encoder(order="sorted").encode


def audit_entry(entry: Recorded) -> Json:
    """Return an event as the record holds it, for reading: seq, time, type, actor, facts."""
    return {
        "seq": entry.seq,
        "time": time_text(entry.at),
        "type": ev.NAMES[type(entry.event)],
        "actor": "engine" if entry.actor == ENGINE_ACTOR else entry.actor.hex(),
        "details": msgspec.to_builtins(entry.event),
    }


def run_row(document: Json) -> RunRow:
    """Return the row that a run document was made from."""
    parent, error = document["parent"], document["error"]
    return RunRow(
        id=from_text(document["id"]),
        namespace=document["namespace"],
        flow=document["flow"] or "",
        flow_id=document["flow_id"] or "",
        definition=document["definition_hash"],
        kind=document["kind"],
        status=document["status"],
        reason=document["reason"] or "",
        trigger=document["trigger"]["kind"],
        created_by=document["created_by"],
        owner=document["owner"],
        label=document["label"] or "",
        tags=_json(document["tags"]),
        labels=_json(document["labels"]),
        monitors=_json(document["monitors"]),
        managers=_json(document["managers"]),
        parent=from_text(parent["run"]) if parent else None,
        root=from_text(document["root_run"]),
        created_at=time_of(document["created_at"]),
        started_at=_maybe(document["started_at"]),
        ended_at=_maybe(document["ended_at"]),
        cancel_requested_at=_maybe(document["cancel_requested_at"]),
        progress=_json(document["progress"]),
        error=_json(msgspec.convert(error, ev.Failure)) if error else "",
        counts=_json(document["tasks"]),
        seq=document["log"]["events"],
        archived_at=_maybe(document["archived_at"]),
        held=document["held"] or "",
    )


def flow_row(document: Json) -> FlowRow:
    """Return the row that a flow document was made from."""
    return FlowRow(
        namespace=document["namespace"],
        name=document["flow"],
        id=document["flow_id"],
        definition=document["definition_hash"],
        version=document["version"] or "",
        title=document["title"] or "",
        description=document["description"] or "",
        versions=document["versions"],
        changed_at=time_of(document["changed_at"]),
    )


def recorded(entry: Json) -> Recorded:
    """Return the event that an entry of the audit tells.

    Raises:
        UnknownEvent: a newer release wrote it.
    """
    kind = _KINDS.get(entry["type"])
    if kind is None:
        raise ev.UnknownEvent(f"event type {entry['type']} is unknown to this release")
    actor = ENGINE_ACTOR if entry["actor"] == "engine" else bytes.fromhex(entry["actor"])
    try:
        event = msgspec.convert(entry["details"], kind)
    except msgspec.ValidationError as wrong:
        raise ev.UnknownEvent(f"details of {entry['type']} do not fit its type: {wrong}") from None
    return Recorded(entry["seq"], time_of(entry["time"]), actor, event)


def _maybe(time: str | None) -> int | None:
    return time_of(time) if time else None


def _json(value: Json) -> str:
    return _encode(value).decode()
