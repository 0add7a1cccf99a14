"""`run show`: one run on a page."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from runnotary.app.records import Reader, reading, shown_status
from runnotary.app.system import SystemClock
from runnotary.cli import words
from runnotary.cli.asked import settings_of
from runnotary.cli.many import emit_each, meant
from runnotary.cli.output import Page, Part
from runnotary.cli.steps import states_of, task_rows
from runnotary.cli.summary import duration, outcome, value_row, write_failures, write_next, write_outputs
from runnotary.config import Settings
from runnotary.core.states import OPEN

Json = Any
INPUTS_WIDTH = 72
TASKS_SHOWN = 200


def show(args: Namespace) -> int:
    """Show runs."""
    settings = settings_of(args)
    chosen = meant(args, settings)
    for document in chosen:
        document["status"] = shown_status(document["status"], settings)
    with reading(settings) as reader:
        emit_each(args, chosen, lambda: _write_all(settings, reader, chosen))
    return 0


def _write_all(settings: Settings, reader: Reader, documents: list[Json]) -> None:
    page = Page()
    for number, document in enumerate(documents):
        if number:
            page.line()
        _write(page, settings, reader, document)


def _write(page: Page, settings: Settings, reader: Reader, document: Json) -> None:
    status = document["status"]
    is_open = status in OPEN or status == "interrupted"
    took = duration(document, SystemClock().now() if is_open else None)
    page.line(
        (words.visible(document["flow"] or "unnamed flow"), words.BOLD),
        "  ",
        (outcome(document), words.STYLES[status]),
        f" {'for' if is_open else 'in'} {took}   {document['id']}",
    )
    page.line(*_about(document), wrap=True)
    page.line(*_definition(reader, document), wrap=True)
    if document["inputs"]:
        _write_inputs(page, document["inputs"])
    if document["cancel_requested_at"] and is_open:
        page.line((f"cancel asked at {document['cancel_requested_at']}", "yellow"))
    tasks = reader.tasks(reader.resolve(document["id"]))
    flow = reader.flow_of(document["definition_hash"])
    page.table(task_rows(tasks[:TASKS_SHOWN], flow, states_of(tasks)), right="2")
    if len(tasks) > TASKS_SHOWN:
        page.line(
            f"… and {len(tasks) - TASKS_SHOWN:,} more: runnotary run tasks {words.short(document['id'])}"
        )
    write_outputs(page, document)
    write_failures(page, reader, document)
    write_next(page, settings, reader, document)


def _write_inputs(page: Page, inputs: Json) -> None:
    line = words.values(inputs)
    if len(line) <= INPUTS_WIDTH:
        page.line(("inputs ", words.DIM), line)
        return
    page.line(("inputs", words.DIM))
    page.table([["", *value_row(name, value)] for name, value in inputs.items()])


def _about(document: Json) -> list[Part]:
    who = words.visible(document["created_by"])
    parts = [
        f"by {who} ({document['authenticated_by']}), {document['trigger']['kind']}",
        f"at {document['created_at'][:19].replace('T', ' ')} UTC",
    ]
    parts += [f"label {words.visible(document['label'])}"] if document["label"] else []
    parts += [f"tags {' '.join(words.visible(tag) for tag in document['tags'])}"] if document["tags"] else []
    return [("   ".join(parts), words.DIM)]


def _definition(reader: Reader, document: Json) -> list[Part]:
    parts = [f"definition {words.short_digest(document['definition_hash'])}"]
    code = reader.flow_of(document["definition_hash"]).code
    source = document["source"] or {}
    if code:
        parts.append(f"code {words.plural(len(code), 'file')}")
    if source.get("git"):
        changes = source.get("changes", 0)
        dirty = f" + {words.plural(changes, 'change')}" if changes else ""
        parts.append(f"git {source['git'][:10]}{dirty}")
    parts.append(f"{document['log']['events']} events, head {words.short_digest(document['log']['head'])}")
    return [("   ".join(parts), words.DIM)]
