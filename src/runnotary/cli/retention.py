"""`run archive|unarchive|hold|release|purge|erase`: runs off the lists and back, kept, and gone."""

from __future__ import annotations

from argparse import Namespace
from typing import Any, Final

from runnotary.app.session import session
from runnotary.cli import words
from runnotary.cli.asked import settings_of
from runnotary.cli.following import unless_interrupted
from runnotary.cli.many import Refused, each, emit_each, filter_words, meant, tell_refused
from runnotary.cli.output import Page, emit
from runnotary.config import Settings
from runnotary.core.errors import InvalidInput
from runnotary.core.states import TERMINAL

Json = Any
DONE: Final = {
    "archive": "archived",
    "unarchive": "unarchived",
    "hold": "held",
    "release-hold": "released",
    "purge": "purged",
    "erase": "erased",
}

UNDOES: Final = {"unarchive": "archived_at", "release-hold": "held"}
"""What a run must be for this to do anything with it."""


def archive(args: Namespace) -> int:
    """Take ended runs off the lists."""
    return _swept(args, "archive") if _by_filter(args) else _named(args, "archive")


def unarchive(args: Namespace) -> int:
    """Put runs back on the lists."""
    return _named(args, "unarchive", include_archived=True)


def hold(args: Namespace) -> int:
    """Protect runs from being purged."""
    return _named(args, "hold", include_archived=True)


def release(args: Namespace) -> int:
    """Let runs be purged again."""
    return _named(args, "release-hold", include_archived=True)


def purge(args: Namespace) -> int:
    """Erase ended runs; their place in the log stays."""
    return _swept(args, "purge") if _by_filter(args) else _named(args, "purge")


def erase(args: Namespace) -> int:
    """Erase what the events of ended runs say; the envelopes stay."""
    return _named(args, "erase", include_archived=True)


def _by_filter(args: Namespace) -> bool:
    """Tell whether runs are chosen by what they are.

    Raises:
        InvalidInput: by that and by name.
    """
    by_filter = bool(args.filters) or args.older_than is not None
    if by_filter and args.runs:
        raise InvalidInput("name runs, or give --filter or --older-than")
    return by_filter


def _named(args: Namespace, verb: str, **usual: Json) -> int:
    settings = settings_of(args)
    chosen = meant(args, settings, **usual)
    if args.filters and verb in UNDOES:
        chosen = [document for document in chosen if document[UNDOES[verb]]]
    ids = [document["id"] for document in chosen]
    if getattr(args, "dry_run", False):
        going = [one["id"] for one in chosen if _may_go(one, verb)]
        return _said(args, verb, {"runs": going, "count": len(going), "dry_run": True})
    results = unless_interrupted(_done(args, settings, verb, ids))
    status = tell_refused(results)
    documents = [one for one in results if not isinstance(one, Refused)]
    emit_each(args, documents, lambda: _write(verb, documents))
    return status


async def _done(args: Namespace, settings: Settings, verb: str, ids: list[str]) -> list[Json | Refused]:
    async with session(settings) as engine:
        return await each(ids, lambda run: engine.act(run, verb, args.reason or ""), args.concurrency)


def _may_go(document: Json, verb: str) -> bool:
    return document["status"] in TERMINAL and not (verb in ("purge", "erase") and document["held"])


def _write(verb: str, documents: list[Json]) -> None:
    page = Page()
    for document in documents:
        page.line(f"{DONE[verb]}   run {document['id']}")


def _swept(args: Namespace, verb: str) -> int:
    said = {
        **filter_words(args),
        "older_than": args.older_than or "0s",
        "reason": args.reason or "",
        "dry_run": args.dry_run,
    }
    return _said(args, verb, unless_interrupted(_sweep(settings_of(args), verb, said)))


async def _sweep(settings: Settings, verb: str, said: dict[str, Json]) -> Json:
    async with session(settings) as engine:
        return await engine.sweep(verb, said)


def _said(args: Namespace, verb: str, answer: Json) -> int:
    listed = [{"id": run} for run in answer["runs"]]
    emit(args.format, answer, lambda: _write_swept(verb, answer), each=listed)
    return 0


def _write_swept(verb: str, answer: Json) -> None:
    page = Page()
    done = f"would be {DONE[verb]}" if answer["dry_run"] else DONE[verb]
    for run in answer["runs"]:
        page.line(f"{done}   run {run}")
    page.line((f"{words.plural(answer['count'], 'run')} {done}", words.DIM))
