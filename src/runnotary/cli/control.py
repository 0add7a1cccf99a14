"""`run watch`, `run resume` and `run cancel`: an open run taken up, by whichever engine there is."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from contextlib import suppress
from typing import Any

from runnotary.app.records import document_of, reading
from runnotary.app.session import Session, session
from runnotary.cli.asked import duration_ms, settings_of
from runnotary.cli.following import GRACE_MS, LEFT, Enter, follow, unless_interrupted
from runnotary.cli.many import Refused, each, emit_each, meant, tell_refused
from runnotary.cli.output import Page, emit
from runnotary.cli.start import concluded
from runnotary.cli.summary import conclude, exit_status, outcome
from runnotary.cli.views import view_for
from runnotary.cli.words import short
from runnotary.config import Settings
from runnotary.core.errors import AlreadyEnded
from runnotary.core.states import OPEN, TERMINAL

Json = Any
ENDED_OTHERWISE = AlreadyEnded.exit_code


def watch(args: Namespace) -> int:
    """Follow a run to its end; one that is over is shown as it ended."""
    settings = settings_of(args)
    document = document_of(settings, args.run)
    if document["status"] in TERMINAL:
        with reading(settings) as reader:
            emit(args.format, document, lambda: conclude(Page(), settings, reader, document))
        return exit_status(document)
    return _taken_up(args, settings, document["id"], renew=False)


def resume(args: Namespace) -> int:
    """Go on with an interrupted run; an attempt that was lost is tried again.

    Raises:
        AlreadyEnded: it is over.
    """
    settings = settings_of(args)
    document = document_of(settings, args.run)
    if document["status"] in TERMINAL:
        raise AlreadyEnded(
            f"run {document['id']} has ended: {outcome(document)}",
            hint=f"start it again: runnotary run rerun {short(document['id'])}",
        )
    return _taken_up(args, settings, document["id"], renew=True)


def _taken_up(args: Namespace, settings: Settings, run: str, *, renew: bool) -> int:
    async def enter(engine: Session) -> str:
        with suppress(AlreadyEnded):  # it ended a moment ago; following it shows the end
            await engine.adopt(run, renew=renew)
        return run

    followed = follow(settings, enter, view_for(quiet=args.quiet, skip_past=True))
    return concluded(args, settings, followed)


def cancel(args: Namespace) -> int:
    """End runs; each is followed until it has ended. One that ended otherwise is a conflict."""
    settings = settings_of(args)
    grace_ms = duration_ms("--grace", args.grace, GRACE_MS)
    chosen = [document["id"] for document in meant(args, settings, status=sorted(OPEN))]
    if len(chosen) == 1:
        ending = _cancelling(args, chosen[0], grace_ms)
        if follow(settings, ending, view_for(quiet=False, skip_past=True)).left:
            return LEFT
        results: list[Json | Refused] = [document_of(settings, chosen[0])]
    else:
        results = unless_interrupted(_cancelled(args, settings, chosen, grace_ms))
    worst = tell_refused(results)
    documents = [one for one in results if not isinstance(one, Refused)]
    if any(document["status"] != "cancelled" for document in documents):
        worst = max(worst, ENDED_OTHERWISE)
    emit_each(args, documents, lambda: _write(documents))
    return worst


def _cancelling(args: Namespace, run: str, grace_ms: int) -> Enter:
    async def enter(engine: Session) -> str:
        await engine.cancel(run, reason=args.reason or "", grace_ms=grace_ms, force=args.force)
        return run

    return enter


async def _cancelled(
    args: Namespace, settings: Settings, chosen: list[str], grace_ms: int
) -> list[Json | Refused]:
    """Ask for the end of runs, so many at a time, and see each end."""
    async with session(settings) as engine:

        async def one(run: str) -> Json:
            await _cancelling(args, run, grace_ms)(engine)
            async for _ in engine.changes(run):
                pass
            return await asyncio.to_thread(document_of, settings, run)

        return await each(chosen, one, args.concurrency)


def _write(documents: list[Json]) -> None:
    page = Page()
    for document in documents:
        page.line(f"{outcome(document)}   run {document['id']}")
