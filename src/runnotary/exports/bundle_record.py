"""What events say, read from their JSON alone: which blobs they name, and the documents of a bundle.

Both whoever writes a bundle and whoever checks it use this file: run.json and tasks.json are functions of the
events, so there is nothing in them that the chain does not vouch for.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from runnotary.exports.bundle_keys import id_text, time_text
from runnotary.exports.bundle_zip import parsed

Json = Any
Named = tuple[str, str]
"""A digest, and what its bytes are: bytes, a tree, a value, or a definition."""

RUN_CREATED, RUN_UPDATED, CANCEL_REQUESTED, RUN_FINISHED, RUN_ANNOTATED = 1, 2, 4, 7, 8
TASK_STARTED, TASK_BOUND, TASK_WAITING, TASK_SIGNALLED = 16, 17, 19, 20
TASK_ENDED, TASK_SETTLED, TASK_EXPANDED, STREAM_ERASED = 22, 23, 24, 37
AFTERWARDS: Final = frozenset({RUN_UPDATED, 3, RUN_ANNOTATED})
"""What may follow the end of a run."""

BEGINNINGS: Final = frozenset({TASK_STARTED, TASK_WAITING, TASK_SIGNALLED, TASK_EXPANDED})
"""With these a step begins; one that is settled as a success began then."""

VALUES: Final = {
    RUN_CREATED: ("inputs",),
    RUN_FINISHED: ("outputs",),
    RUN_ANNOTATED: ("data",),
    TASK_STARTED: ("variables", "staged"),
    TASK_BOUND: ("external",),
    TASK_WAITING: ("request",),
    TASK_SIGNALLED: ("payload",),
    TASK_ENDED: ("values", "tries"),
    TASK_SETTLED: ("values",),
    TASK_EXPANDED: ("items",),
}
"""Where users' values stand: only there do `$file` and `$dir` name blobs."""

LARGE: Final = (
    "inputs_large",
    "outputs_large",
    "variables_large",
    "values_large",
    "items_large",
    "shown_large",
)
TIMES: Final = ("started_at", "exited_at", "ready_at", "deadline", "retry_at", "due")
_DIGEST: Final = re.compile(r"sha256:[0-9a-f]{64}")


class Event(NamedTuple):
    """One event: µs since 1970, type, and the JSON of its body; nothing of that if it was erased."""

    seq: int
    at: int
    code: int
    body: dict[str, Json]


# --- blobs -----------------------------------------------------------------------------------------


def named(event: Event) -> Iterator[Named]:
    """Yield the blobs that an event names (docs/format.md)."""
    body = event.body
    if event.code == RUN_CREATED and body:
        yield body["definition"], "definition"
    for name in LARGE:
        if body.get(name):
            yield body[name]["blob"], "value"
    if event.code == TASK_ENDED:
        logs = [(body.get(name) or {}).get("blob") for name in ("stdout", "stderr")]
        yield from ((one, "bytes") for one in (*logs, body.get("environment"), body.get("runtime")) if one)
    for file in [*body.get("files", {}).values(), *body.get("artifacts", {}).values()]:
        yield file["blob"], "tree" if file.get("tree") else "bytes"
    yield from in_value([body.get(name) for name in VALUES.get(event.code, ())])


def in_value(value: Json) -> Iterator[Named]:
    """Yield what a value names as files and folders."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            for mark, form in (("$file", "bytes"), ("$dir", "tree")):
                if isinstance(one.get(mark), str) and _DIGEST.fullmatch(one[mark]):
                    yield one[mark], form
            left += one.values()
        elif isinstance(one, list):
            left += one


def closure(events: Iterable[Event], read: Callable[[str], bytes]) -> set[str]:
    """Return every blob that events name, and what is named inside those."""
    left = [one for event in events for one in named(event)]
    seen = set(left)
    while left:
        digest, form = left.pop()
        found = () if form == "bytes" else _inside(parsed(read(digest), digest), form)
        new = {one for one in found if one not in seen}
        left += new
        seen |= new
    return {digest for digest, _ in seen}


def _inside(document: Json, form: str) -> Iterable[Named]:
    if form == "definition":
        return [(file["blob"], "bytes") for file in document.get("code", {}).values()]
    if form == "tree":
        return [(entry["blob"], "bytes") for entry in document]
    return in_value(document)


# --- documents -------------------------------------------------------------------------------------


def run_of(run: bytes, events: Sequence[Event], head: str) -> Json:
    """Return what events say of a run that is over: fields of the run document (docs/api.md)."""
    created, finished, words = events[0], events[0]._replace(body={}), dict(events[0].body)
    for event in events:
        if event.code == RUN_FINISHED:
            finished = event
        elif event.code == RUN_UPDATED:
            words |= event.body.get("set", {})
    begun = (one.at for one in events if one.code in BEGINNINGS or _at_once(one))
    asked = (one.at for one in events if one.code == CANCEL_REQUESTED)
    end, by, error = finished.body, words.get("by", {}), finished.body.get("error")
    optional = ("flow", "flow_id", "label", "durability", "owner")
    return {
        "id": id_text(run),
        "kind": words.get("kind", "run"),
        "definition_hash": words.get("definition"),
        "engine_version": words.get("engine"),
        "namespace": words.get("namespace", "default"),
        "trigger": {"kind": "manual", "id": None} | words.get("trigger", {}),
        "created_by": by.get("principal"),
        "authenticated_by": by.get("auth", "os-user"),
        "root_run": words.get("root") or id_text(run),
        **{name: words.get(name) or None for name in optional},
        **{name: words.get(name, []) for name in ("tags", "monitors", "managers", "links")},
        "labels": words.get("labels", {}),
        "inputs": words.get("inputs", {}) if "inputs_large" not in words else None,
        "inputs_ref": words.get("inputs_large", {}).get("blob"),
        "status": end.get("status"),
        "reason": end.get("reason"),
        "error": error and {"step": "", "attempt": 0} | error,
        "outputs": end.get("outputs", {}) if "outputs_large" not in end else None,
        "outputs_ref": end.get("outputs_large", {}).get("blob"),
        "metrics": end.get("metrics", {}),
        "created_at": time_text(created.at),
        "started_at": _maybe(next(begun, 0)),
        "ended_at": time_text(finished.at),
        "cancel_requested_at": _maybe(next(asked, 0)),
        "log": {"events": len(events), "head": head},
    }


def tasks_of(events: Iterable[Event]) -> Json:
    """Return what events say of the tasks of a run and their attempts, in their words, by key."""
    tasks: dict[str, Json] = {}
    for event in events:
        keys = event.body.get("keys", ()) if event.code == TASK_SETTLED else ()
        for key in keys:
            tasks.setdefault(key, {"attempts": []})["settled"] = _words(event)
        if event.code == TASK_STARTED and event.body:
            task = tasks.setdefault(event.body["key"], {"attempts": []})
            task["attempts"].append({"number": event.body["attempt"], "intent": _words(event)})
        elif event.code == TASK_ENDED and event.body:
            attempts = tasks.get(event.body["key"], {}).get("attempts", ())
            for attempt in attempts:
                if attempt["number"] == event.body["attempt"]:
                    attempt["end"] = _words(event)
    return tasks


def _at_once(event: Event) -> bool:
    return event.code == TASK_SETTLED and event.body.get("status") == "success"


def _words(event: Event) -> Json:
    """Return what an event says of a task, with its time; times as text."""
    words = {name: value for name, value in event.body.items() if name not in ("key", "keys", "attempt")}
    return {"at": time_text(event.at)} | words | {one: time_text(words[one]) for one in TIMES if one in words}


def _maybe(at: int) -> str | None:
    return time_text(at) if at else None


def written(document: Json) -> bytes:
    """Write a document for people."""
    return (json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()
