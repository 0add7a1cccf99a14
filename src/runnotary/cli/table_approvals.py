"""The commands about requests to people."""

from __future__ import annotations

from typing import Final

from runnotary.cli.options import NAMESPACE, OUTPUT, RUN, SOME_STEP, Command, Option

ANSWERING: Final = (
    RUN,
    SOME_STEP._replace(help="the step that asks; not needed if only one does"),
    Option(("--reason",), "why, for the record", metavar="TEXT"),
    Option(("--shown",), "only if this is the digest of what it shows", metavar="HASH"),
    OUTPUT,
)
FOLLOWS: Final = (
    "The answer is recorded at once. If no engine works in the home, the run goes on with\n"
    "`runnotary run watch`. The first answer counts: exit 5 if somebody was faster."
)

APPROVALS: Final = (
    Command(
        ("run", "approve"),
        "runnotary.cli.approvals:approve",
        "approve what a run asks",
        ANSWERING,
        details=FOLLOWS,
    ),
    Command(
        ("run", "reject"),
        "runnotary.cli.approvals:reject",
        "refuse what a run asks; the step fails",
        ANSWERING,
        details=FOLLOWS,
    ),
    Command(
        ("approval", "list"),
        "runnotary.cli.approvals:listing",
        "what waits for people, oldest first",
        (
            RUN._replace(kind="maybe", help="one run: what is decided too"),
            Option(("--mine",), "only what you may answer", "flag"),
            Option(("--flow",), "of this flow; may be repeated", "many", metavar="NAME"),
            Option(
                ("--status",),
                "of one run: waiting, approved, rejected, timeout, cancelled",
                "many",
                metavar="STATUS",
            ),
            Option(("--limit",), "at most so many (default 50)", "number", metavar="N"),
            Option(("--cursor",), "go on after a page: its `next_cursor`", metavar="CURSOR"),
            NAMESPACE,
            OUTPUT,
        ),
    ),
    Command(
        ("approval", "show"),
        "runnotary.cli.approvals:show",
        "a request, what it shows, and who answered what",
        (RUN, SOME_STEP, OUTPUT),
    ),
)
