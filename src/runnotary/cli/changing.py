"""`run update`: label, tags and people of runs, whatever their state."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from typing import Any, Final

from runnotary.app.records import document_of
from runnotary.app.session import Session, session
from runnotary.cli import words
from runnotary.cli.asked import settings_of
from runnotary.cli.following import unless_interrupted
from runnotary.cli.many import Refused, each, emit_each, meant, tell_refused
from runnotary.cli.output import Page
from runnotary.config import Settings
from runnotary.core.errors import Changed, InvalidInput

Json = Any
TRIES: Final = 10
LISTS: Final = {"tags": "untag", "monitors": "unmonitor", "managers": "unmanage"}


def update(args: Namespace) -> int:
    """Change what is said about runs."""
    if args.label is None and not any(getattr(args, name) for pair in LISTS.items() for name in pair):
        raise InvalidInput("run update: nothing to change", hint="see: runnotary run update --help")
    settings = settings_of(args)
    chosen = [document["id"] for document in meant(args, settings)]
    results = unless_interrupted(_updated(args, settings, chosen))
    status = tell_refused(results)
    documents = [one for one in results if not isinstance(one, Refused)]
    emit_each(args, documents, lambda: _write(documents))
    return status


async def _updated(args: Namespace, settings: Settings, chosen: list[str]) -> list[Json | Refused]:
    async with session(settings) as engine:
        return await each(chosen, lambda run: _one(args, settings, engine, run), args.concurrency)


async def _one(args: Namespace, settings: Settings, engine: Session, run: str) -> Json:
    """Change one run as it is now; if something happens to it meanwhile, look again."""
    for left in reversed(range(TRIES)):
        document = await asyncio.to_thread(document_of, settings, run)
        changes = changes_of(args, document)
        if not changes:
            return document
        try:
            return await engine.update(run, changes, document["log"])
        except Changed:
            if not left:
                raise
    raise AssertionError


def changes_of(args: Namespace, document: Json) -> dict[str, Json]:
    """Return the new values of what is to be different."""
    changes: dict[str, Json] = {}
    if args.label is not None and args.label != (document["label"] or ""):
        changes["label"] = args.label
    for name, less in LISTS.items():
        gone = getattr(args, less)
        wanted = [one for one in [*document[name], *getattr(args, name)] if one not in gone]
        if (wanted := list(dict.fromkeys(wanted))) != document[name]:
            changes[name] = wanted
    return changes


def _write(documents: list[Json]) -> None:
    page = Page()
    for document in documents:
        said = [f"label {words.visible(document['label'])}"] if document["label"] else []
        for what, name in (("tags", "tags"), ("monitors", "monitors"), ("managers", "managers")):
            said += (
                [f"{what} {' '.join(words.visible(one) for one in document[name])}"] if document[name] else []
            )
        page.line(f"updated   run {document['id']}", (f"   {'   '.join(said)}" if said else "", words.DIM))
