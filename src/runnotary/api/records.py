"""Routes about what a run left behind: its log, tasks, files and events; and blobs."""

from __future__ import annotations

from typing import Any, Literal

from runnotary.api.call import Call, Content, Document, Feed, Made, Written
from runnotary.api.flows import namespace_of
from runnotary.core.errors import InvalidInput
from runnotary.core.lineage_drawing import drawn

Json = Any

TEXT = "text/plain; charset=utf-8"
LATEST = "latest"


def logs(call: Call) -> Document:
    asked = call.query
    return Document(
        call.operations.entries(
            call.who, call.path["run"], limit=asked.limit, offset=asked.offset, page=asked.cursor
        )
    )


def tasks(call: Call) -> Document:
    return Document(call.operations.tasks(call.who, call.path["run"]))


def task(call: Call) -> Document:
    return Document(call.operations.task(call.who, call.path["run"], call.path["task"], call.query.item))


def stdout(call: Call) -> Content:
    return _output(call, "stdout")


def stderr(call: Call) -> Content:
    return _output(call, "stderr")


def _output(call: Call, stream: str) -> Content:
    asked = call.query
    return Content(
        call.operations.output(
            call.who, call.path["run"], call.path["task"], stream, asked.item, asked.attempt
        ),
        TEXT,
    )


def files(call: Call) -> Document:
    return Document(call.operations.files(call.who, call.path["run"]))


def file(call: Call) -> Content:
    return Content(call.operations.file(call.who, call.path["run"], call.path["name"]))


def lineage(call: Call) -> Document | Written:
    return _drawn(call.operations.lineage(call.who, call.path["run"]), call.query.format)


def across(call: Call) -> Document | Written:
    asked = call.query
    return _drawn(call.operations.across(call.who, asked.blob, asked.direction, asked.depth), asked.format)


def _drawn(graph: Json, form: Literal["json", "text", "mermaid", "dot"]) -> Document | Written:
    return Document(graph) if form == "json" else Written(drawn(graph, form).encode(), TEXT)


def audit(call: Call) -> Document:
    return Document(call.operations.audit(call.who, call.path["run"], call.query.after))


async def export(call: Call) -> Made:
    return Made(await call.operations.export(call.who, call.path["run"], call.query.format))


# --- blobs -----------------------------------------------------------------------------------------


def blob(call: Call) -> Content:
    return Content(call.operations.blob(call.who, call.path["hash"]))


async def put_blob(call: Call) -> Document:
    return Document(await call.operations.put_blob(call.who, call.body, namespace_of(call)), 201)


# --- events ----------------------------------------------------------------------------------------


def run_events(call: Call) -> Feed:
    after = _after(call)
    if after == LATEST:
        after = str(call.operations.seen(call.who, call.path["run"]).seq)
    return Feed(call.operations.follow(call.who, call.path["run"], int(after or 0)))


def all_events(call: Call) -> Feed:
    after = _after(call)
    mark = call.operations.newest_mark() if after == LATEST else int(after or 0)
    return Feed(call.operations.follow_all(call.who, mark), {"runnotary-position": str(mark)})


def _after(call: Call) -> str:
    """Return where to go on: what a broken connection remembers, else what the query says.

    Raises:
        InvalidInput: it is no id of an event.
    """
    said = call.headers.get("last-event-id", "") or call.query.after
    if said not in ("", LATEST) and not (said.isascii() and said.isdecimal() and len(said) < 19):
        raise InvalidInput(f"{said[:40]} is no id of an event", hint="use the `id` of the last one")
    return said
