"""`audit`: who did what, when and why, in everything that the caller may read."""

from __future__ import annotations

import sys
from argparse import Namespace
from typing import Any, Final

from runnotary.app.auditing import searched
from runnotary.cli import words
from runnotary.cli.asked import settings_of
from runnotary.cli.listing import when
from runnotary.cli.output import Page, Part, emit
from runnotary.core.errors import InvalidInput
from runnotary.core.sheet import AUDITED, sheet

Json = Any
HEADS: Final = ("TIME", "WHO", "AS", "WHAT", "OF", "WHY")


def audit(args: Namespace) -> int:
    """Print what was searched for, the newest first."""
    limit = 50 if args.limit is None else args.limit
    if limit < 1:
        raise InvalidInput("--limit is a whole number from 1")
    said = {
        "who": args.who or "",
        "what": [part for text in args.what for part in text.split(",") if part],
        "run": args.run or "",
        "namespace": args.namespace or "",
        "since": args.since or "",
        "until": args.until or "",
        "why": args.why or "",
        "newest": not args.oldest,
    }
    found: list[Json] = []
    cursor: str | None = None
    head = not args.cursor
    for page in searched(settings_of(args), said, args.cursor or "", limit):
        cursor = page["next_cursor"]
        if args.format == "csv":  # page by page: there may be very many
            sys.stdout.write(sheet(AUDITED, page["events"], head=head))
            head = False
        else:
            found += page["events"]
    if args.format != "csv":
        document = {"events": found, "next_cursor": cursor}
        emit(args.format, document, lambda: _write(found), each=found, key="position")
    if cursor and args.format != "json":
        print(f"there is more: --cursor {cursor}", file=sys.stderr)
    return 0


def _write(found: list[Json]) -> None:
    page = Page()
    rows: list[list[Part]] = [
        [
            when(one["time"]),
            words.visible(one["who"]),
            one["role"] or one["authenticated_by"],
            one["what"],
            words.visible(f"run {one['run'][:12]}" if one["run"] else one["subject"] or one["stream"]),
            words.visible(one["why"] or ""),
        ]
        for one in found
    ]
    if rows:
        page.table(rows, HEADS)
    else:
        page.line("nothing found")
