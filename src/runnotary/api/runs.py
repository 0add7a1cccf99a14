"""Routes about runs: start, list, get, change, end, put away."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal

import msgspec

from runnotary.api.call import Call, Document
from runnotary.api.flows import DEFAULT_NAMESPACE
from runnotary.api.parameters import moment
from runnotary.core import trace
from runnotary.core.errors import InvalidInput
from runnotary.core.events import Trigger
from runnotary.core.notation import AGE_FORM, AGE_MAX_MS, milliseconds
from runnotary.core.queries import RunQuery
from runnotary.core.states import TERMINAL, State
from runnotary.engine.requests import RunRequest

Json = Any
WAIT_MAX: Final = 60
"""Seconds; whoever waits longer asks again."""

PEOPLE: Final = ("runnotary-cli/", "Mozilla/")
"""How the names of clients begin through which a person acts by hand (ruling 5)."""

_WAIT: Final = re.compile(r"(?:^|[,;\s])wait\s*=\s*\"?(\d{1,6})", re.I)
_TAG: Final = re.compile(r'(?:W/)?"?(sha256:[0-9a-f]{64})"?')


def of_run(document: Json, status: int = 200, **headers: str) -> Document:
    """Return a run's document with the tag of its state."""
    tag = f'"{document["log"]["head"]}"'
    return Document(
        document, status, {"etag": tag, **{name.replace("_", "-"): value for name, value in headers.items()}}
    )


def wished_wait(call: Call) -> int | None:
    """Return how many seconds the caller prefers to wait for the end; None if not at all (RFC 7240)."""
    found = _WAIT.search(call.headers.get("prefer", ""))
    return min(int(found[1]), WAIT_MAX) if found else None


def key_of(call: Call) -> str:
    """Return the header Idempotency-Key, which may be quoted.

    Raises:
        InvalidInput: it is too long, or not printable.
    """
    key = call.headers.get("idempotency-key", "").strip().strip('"')
    if len(key) > 256 or not key.isprintable():
        raise InvalidInput("Idempotency-Key: at most 256 printable letters")
    return key


def trigger_of(call: Call) -> Trigger:
    """Return what caused a run: a person at a command line or a page, or a program."""
    return Trigger("manual" if call.headers.get("user-agent", "").startswith(PEOPLE) else "api")


def source_of(call: Call) -> dict[str, Json]:
    """Return where a request comes from: its place in the caller's trace, if it names one."""
    place = trace.read(call.headers.get(trace.HEADER, ""))
    return {trace.HEADER: str(place)} if place else {}


# --- start -----------------------------------------------------------------------------------------


async def start(call: Call) -> Document:
    return await _started(call, call.body)


async def start_flow(call: Call) -> Document:
    if call.body.flow is not None or call.body.definition is not None:
        raise InvalidInput("the flow stands in the path; the body names neither `flow` nor `definition`")
    return await _started(call, msgspec.structs.replace(call.body, flow=call.path["flow"]))


async def start_definition(call: Call) -> Document:
    if call.body.flow is not None or call.body.definition is not None:
        raise InvalidInput("the definition stands in the path; the body names neither")
    return await _started(call, msgspec.structs.replace(call.body, definition=call.path["hash"]))


async def _started(call: Call, request: RunRequest) -> Document:
    if not request.namespace:
        asked = getattr(call.query, "namespace", "")
        request = msgspec.structs.replace(request, namespace=asked or DEFAULT_NAMESPACE)
    document, replayed = await call.operations.start(
        call.who, request, key_of(call), trigger_of(call), source_of(call)
    )
    return await _answered(call, document, replayed)


async def _answered(call: Call, document: Json, replayed: bool) -> Document:
    """Answer with a run that was started, at once or when it is over."""
    place, seconds = f"/api/v1/runs/{document['id']}", wished_wait(call)
    if seconds is None:
        return of_run(document, 200 if replayed else 201, location=place)
    document = await call.operations.wait(call.who, document["id"], seconds)
    over = document["status"] in TERMINAL
    return of_run(document, 200 if over else 202, location=place, preference_applied=f"wait={seconds}")


# --- look ------------------------------------------------------------------------------------------


def list_runs(call: Call) -> Document:
    asked = call.query
    query = RunQuery(
        **filters_of(asked),
        order_by=asked.order_by,
        descending=asked.order == "desc",
        limit=asked.limit,
        offset=asked.offset,
    )
    return Document(call.operations.runs(call.who, query, page=asked.cursor, total=asked.total))


def filters_of(asked: Any) -> dict[str, Json]:
    """Return the filters of a listing or a sweep as words of a `RunQuery`."""
    namespaces = several(asked.namespace) or (DEFAULT_NAMESPACE,)
    return {
        "namespace": () if "*" in namespaces else namespaces,
        "status": tuple(str(one) for one in several(asked.status)),
        **{
            name: several(getattr(asked, name))
            for name in ("flow", "kind", "tag", "created_by", "owner", "asset")
        },
        **{name: getattr(asked, name) for name in ("label", "parent", "q", "include_archived")},
        **{
            name: moment(name, getattr(asked, name))
            for name in ("started_from", "started_to", "ended_from", "ended_to")
        },
    }


def several(value: str | State | tuple[Any, ...]) -> tuple[Any, ...]:
    """Return one word, or several, as several."""
    return value if isinstance(value, tuple) else (value,)


async def show(call: Call) -> Document:
    seconds = wished_wait(call)
    if seconds is None:
        document = call.operations.run(call.who, call.path["run"])
    else:
        document = await call.operations.wait(call.who, call.path["run"], seconds)
    answer = of_run(document)
    if is_known(answer.headers["etag"], call.headers.get("if-none-match", "")):
        return Document(None, 304, answer.headers)
    return answer


def is_known(tag: str, known: str) -> bool:
    """Tell whether an entity tag is among those of the header If-None-Match (RFC 9110 §13.1.2)."""
    return any(one.strip().removeprefix("W/") in (tag, "*") for one in known.split(","))


# --- change ----------------------------------------------------------------------------------------


async def update(call: Call) -> Document:
    wanted = call.headers.get("if-match", "").strip()
    return of_run(await call.operations.update(call.who, call.path["run"], call.body, head_of(wanted)))


def head_of(tag: str) -> str:
    """Return the head that an entity tag stands for; "" if any state will do.

    Raises:
        InvalidInput: it is no tag of a run.
    """
    if tag in ("", "*"):
        return ""
    found = _TAG.fullmatch(tag)
    if found is None:
        raise InvalidInput("If-Match takes the ETag of a run", hint='it looks like "sha256:…"')
    return found[1]


async def cancel(call: Call) -> Document:
    body = call.body
    document = await call.operations.cancel(
        call.who, call.path["run"], body.reason, body.grace_ms, body.force
    )
    return of_run(document, 200 if document["status"] == State.CANCELLED else 202)


async def resume(call: Call) -> Document:
    return of_run(await call.operations.resume(call.who, call.path["run"]))


async def rerun(call: Call) -> Document:
    operations = call.operations
    document, replayed = await operations.rerun(call.who, call.path["run"], key_of(call), trigger_of(call))
    return await _answered(call, document, replayed)


def _put(name: str) -> Callable[[Call], Awaitable[Document]]:
    async def handler(call: Call) -> Document:
        does = getattr(call.operations, name)
        return of_run(await does(call.who, call.path["run"], call.body.reason))

    return handler


archive = _put("archive")
unarchive = _put("unarchive")
hold = _put("hold")
release_hold = _put("release_hold")


async def purge(call: Call) -> Document:
    return Document(await call.operations.purge(call.who, call.path["run"], call.body.reason))


async def erase(call: Call) -> Document:
    return Document(await call.operations.erase(call.who, call.path["run"], call.body.reason))


async def archive_many(call: Call) -> Document:
    return await _swept(call, "archive")


async def purge_many(call: Call) -> Document:
    return await _swept(call, "purge")


async def _swept(call: Call, action: Literal["archive", "purge"]) -> Document:
    body = call.body
    age = milliseconds(body.older_than, AGE_MAX_MS)
    if age is None:
        raise InvalidInput(f"older_than: write {AGE_FORM}")
    return Document(
        await call.operations.sweep(
            call.who,
            RunQuery(**filters_of(body)),
            action,
            age * 1000,
            reason=body.reason,
            dry_run=body.dry_run,
        )
    )
