"""`run wait`: return when runs are over, and say how they ended."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import Any, Final

from runnotary.app.records import reading
from runnotary.app.waiting import Deadline, ended
from runnotary.cli.asked import duration_ms, settings_of
from runnotary.cli.many import emit_each
from runnotary.cli.output import Page
from runnotary.cli.summary import exit_status, outcome
from runnotary.core.errors import WaitTimeout

Json = Any
INTERVAL_MS: Final = 1000
GRAVEST: Final = (WaitTimeout.exit_code, 1, 8)


def wait(args: Namespace) -> int:
    """Wait for the end of runs; one after the other, which takes as long as the last of them."""
    settings = settings_of(args)
    interval = duration_ms("--interval", args.interval, INTERVAL_MS) / 1000
    timeout = None if args.timeout is None else duration_ms("--timeout", args.timeout) / 1000
    with reading(settings) as reader:
        ids = [reader.document(reader.resolve(name))["id"] for name in args.runs]
    deadline = Deadline(timeout)
    documents: list[Json] = []
    statuses: set[int] = set()
    for run in dict.fromkeys(ids):
        try:
            documents.append(ended(settings, run, interval, deadline))
        except WaitTimeout as late:
            print(f"error: {late.message}", file=sys.stderr)
            statuses.add(late.exit_code)
    statuses |= {exit_status(document) for document in documents}
    if not args.quiet and documents:
        emit_each(args, documents, lambda: _write(documents))
    return next((status for status in GRAVEST if status in statuses), 0)


def _write(documents: list[Json]) -> None:
    page = Page()
    for document in documents:
        page.line(f"{outcome(document)}   run {document['id']}")
