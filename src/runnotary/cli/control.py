"""`run watch`, `run resume` and `run cancel`: an open run taken up, by whichever engine there is."""

from __future__ import annotations

import sys
from argparse import Namespace
from contextlib import suppress
from typing import Any

from runnotary.app.records import reading
from runnotary.app.session import Session
from runnotary.cli.asked import duration_ms, settings_of
from runnotary.cli.following import GRACE_MS, LEFT, follow
from runnotary.cli.output import Page, emit
from runnotary.cli.start import concluded
from runnotary.cli.summary import conclude, exit_status, outcome
from runnotary.cli.views import view_for
from runnotary.config import Settings
from runnotary.core.errors import AlreadyEnded, RunnotaryError
from runnotary.core.states import TERMINAL

Json = Any
ENDED_OTHERWISE = AlreadyEnded.exit_code


def watch(args: Namespace) -> int:
    """Follow a run to its end; one that is over is shown as it ended."""
    settings = settings_of(args)
    document = _document(settings, args.run)
    if document["status"] in TERMINAL:
        with reading(settings) as reader:
            emit(args.format, document, lambda: conclude(Page(), reader, document))
        return exit_status(document)
    return _taken_up(args, settings, document["id"], renew=False)


def resume(args: Namespace) -> int:
    """Go on with an interrupted run; an attempt that was lost is tried again.

    Raises:
        AlreadyEnded: it is over.
    """
    settings = settings_of(args)
    document = _document(settings, args.run)
    if document["status"] in TERMINAL:
        raise AlreadyEnded(
            f"run {document['id']} has ended: {outcome(document, document['status'])}",
            hint=f"start it again: runnotary start {document['flow'] or document['definition_hash']}",
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
    grace = duration_ms("--grace", args.grace, GRACE_MS)
    with reading(settings) as reader:
        wanted = [reader.document(reader.resolve(name))["id"] for name in args.runs]
    worst = 0
    documents: list[Json] = []
    for run in wanted:
        try:
            left = _cancelled(args, settings, run, grace)
        except RunnotaryError as refused:
            if len(wanted) == 1:
                raise
            print(f"error: {refused.message}", file=sys.stderr)
            worst = max(worst, refused.exit_code)
            continue
        document = _document(settings, run)
        documents.append(document)
        if left:
            return LEFT
        if document["status"] != "cancelled":
            worst = max(worst, ENDED_OTHERWISE)
    alone = len(wanted) == 1 and len(documents) == 1
    emit(args.format, documents[0] if alone else documents, lambda: _write(documents), each=documents)
    return worst


def _cancelled(args: Namespace, settings: Settings, run: str, grace_ms: int) -> bool:
    async def enter(engine: Session) -> str:
        await engine.cancel(run, reason=args.reason or "", grace_ms=grace_ms, force=args.force)
        return run

    return follow(settings, enter, view_for(quiet=False, skip_past=True)).left


def _write(documents: list[Json]) -> None:
    page = Page()
    for document in documents:
        page.line(f"{outcome(document, document['status'])}   run {document['id']}")


def _document(settings: Settings, name: str) -> Json:
    with reading(settings) as reader:
        return reader.document(reader.resolve(name))
