"""The commands about runs."""

from __future__ import annotations

from typing import Final

from runnotary.cli.options import (
    ABOUT_A_RUN,
    FORCE,
    FORMATS,
    NAMESPACE,
    OUTPUT,
    QUIET,
    RUN,
    SOME_STEP,
    STEP,
    Command,
    Option,
)

SOME_RUNS: Final = Option(("runs",), "run ids, their beginnings, or @latest", "any", metavar="RUN")
FILTER: Final = Option(
    ("--filter",),
    "all runs with this word of `run list`: status=failed,… may be repeated",
    "many",
    metavar="WORD=VALUE",
    into="filters",
)
CONCURRENCY: Final = Option(("--concurrency",), "so many at a time (default 10)", "number", metavar="N")
REASON: Final = Option(("--reason",), "why, for the record", metavar="TEXT")
SWEEPING: Final = (
    Option(("--older-than",), "that ended so long ago: 30d, 12h", metavar="TIME"),
    Option(("--dry-run",), "say which, and do nothing", "flag"),
)
MANY: Final = (SOME_RUNS, FILTER, NAMESPACE, CONCURRENCY)

FILTERS: Final = (
    Option(("--flow",), "of this flow; may be repeated, as all with …", "many", metavar="NAME…"),
    Option(("--status",), "in this state", "many", metavar="STATE…"),
    Option(("--kind",), "of this kind: `run`", "many", metavar="KIND…"),
    Option(("--tag",), "with this tag, or one of these", "many", metavar="TAG…"),
    Option(("--label",), "whose label holds this text, in any case", metavar="TEXT"),
    Option(("--created-by",), "started by", "many", metavar="WHO…"),
    Option(("--owner",), "owned by", "many", metavar="WHO…"),
    Option(("--parent",), "begun by this run", metavar="RUN"),
    Option(("--asset",), "about this asset", "many", metavar="ASSET…"),
    Option(("--q",), "text in label, flow, tags or error, or the beginning of an id", metavar="TEXT"),
    Option(("--started-from",), "started then or later: 2026-01-31, 2026-01-31T12:00Z", metavar="TIME"),
    Option(("--started-to",), "started then or earlier", metavar="TIME"),
    Option(("--ended-from",), "ended then or later", metavar="TIME"),
    Option(("--ended-to",), "ended then or earlier", metavar="TIME"),
    Option(("--include-archived", "--archived"), "archived ones too", "flag", into="include_archived"),
)
PAGING: Final = (
    Option(
        ("--order-by",),
        "the order (default created_at)",
        choices=("created_at", "started_at", "ended_at", "label", "flow", "status"),
    ),
    Option(("--order",), "first to last, or last to first (default)", choices=("asc", "desc")),
    Option(("--limit",), "at most so many (default 20)", "number", metavar="N"),
    Option(("--all",), "all of them", "flag"),
    Option(("--offset",), "leave so many out", "number", metavar="N"),
    Option(("--cursor",), "go on after a page: its `next_cursor`", metavar="CURSOR"),
    Option(("--total",), "say how many there are", "flag"),
)

LOOKING: Final = (
    Command(
        ("run", "list"),
        "runnotary.cli.listing:runs",
        "runs, newest first",
        (*FILTERS, *PAGING, NAMESPACE, OUTPUT),
    ),
    Command(("run", "show"), "runnotary.cli.show:show", "what a run is, did and gave", (*MANY, OUTPUT)),
    Command(
        ("run", "watch"),
        "runnotary.cli.control:watch",
        "follow to the end; takes up an interrupted one",
        (RUN, QUIET, OUTPUT),
    ),
    Command(
        ("run", "wait"),
        "runnotary.cli.waiting:wait",
        "wait until runs are over; exit 7 if not in time",
        (
            SOME_RUNS._replace(kind="words"),
            Option(("--timeout",), "give up after this time; the runs go on", metavar="TIME"),
            Option(("--interval",), "between two looks (default 1s)", metavar="TIME"),
            QUIET._replace(help="print nothing"),
            OUTPUT,
        ),
        details="Exit status: that of the run, as of `run watch`, or 7. Of several: 7 if one was not over\n"
        "in time, else 1 if one failed, else 8 if one was cancelled.",
    ),
    Command(
        ("run", "logs"),
        "runnotary.cli.logs:logs",
        "what steps printed",
        (
            RUN,
            SOME_STEP,
            Option(("--stdout",), "standard output only", "flag"),
            Option(("--stderr",), "standard error only", "flag"),
            Option(("-f", "--follow"), "go on until the run is over", "flag"),
            Option(("--tail",), "only the last lines of each stream", "number", metavar="N"),
            Option(("--attempt",), "of this attempt, not the last", "number", metavar="N"),
            Option(("--entries",), "what happened, entry by entry, instead of output", "flag"),
            OUTPUT,
        ),
    ),
    Command(
        ("run", "tasks"),
        "runnotary.cli.listing:tasks",
        "its tasks with all evidence",
        (RUN, SOME_STEP, OUTPUT),
    ),
    Command(
        ("run", "metrics"),
        "runnotary.cli.listing:metrics",
        "numbers that its steps reported",
        (RUN, OUTPUT),
    ),
    Command(
        ("run", "files"),
        "runnotary.cli.files:files",
        "its files: list, print one, copy them out",
        (
            RUN,
            Option(("name",), "an output, a file name, STEP/FILE, or sha256:…", "maybe", metavar="NAME"),
            Option(("--to",), "copy into this folder; without NAME, the outputs", metavar="DIR"),
            Option(("--all",), "with --to: every file of every step, as STEP/FILE", "flag"),
            FORCE,
            OUTPUT,
        ),
    ),
    Command(
        ("run", "lineage"),
        "runnotary.cli.files:lineage",
        "what came from what, in a run or across runs",
        (
            RUN._replace(kind="maybe"),
            Option(("--blob",), "across runs: a file here, or sha256:…", metavar="FILE|HASH"),
            Option(
                ("--direction",),
                "up: who made it; down: who used it (default both)",
                choices=("up", "down", "both"),
            ),
            Option(("--depth",), "runs in a row that are followed (default 10)", "number", metavar="N"),
            OUTPUT._replace(choices=(*FORMATS, "text", "mermaid", "dot")),
        ),
    ),
    Command(
        ("run", "export"),
        "runnotary.cli.exporting:export",
        "a run as one file: a bundle that verifies anywhere",
        (
            RUN,
            Option(
                ("--format",),
                "what kind of file (default bundle)",
                choices=("bundle", "ro-crate", "openlineage", "html"),
                into="form",
            ),
            Option(("--output",), "the file to make; else standard output", metavar="FILE"),
            FORCE,
        ),
        details="A bundle is the whole record of a run that is over. Check it with `runnotary verify FILE`,\n"
        "or without Runnotary with the program `verify.py` that it holds.",
    ),
    Command(("run", "audit"), "runnotary.cli.listing:audit", "every recorded event", (RUN, OUTPUT)),
)

ACTING: Final = (
    Command(
        ("run", "resume"),
        "runnotary.cli.control:resume",
        "go on with an interrupted run, what was lost too",
        (RUN, QUIET, OUTPUT),
    ),
    Command(
        ("run", "rerun"),
        "runnotary.cli.start:rerun",
        "the same definition on the same inputs, as a new run",
        (
            RUN,
            Option(("--idempotency-key",), "with the same key again, the same run", metavar="KEY"),
            Option(("--wait",), "follow without showing steps", "flag"),
            Option(("--watch",), "show steps as they run (the default; with a server ask for it)", "flag"),
            QUIET,
            OUTPUT,
        ),
    ),
    Command(
        ("run", "cancel"),
        "runnotary.cli.control:cancel",
        "end runs before they are done",
        (
            *MANY,
            REASON,
            Option(("--grace",), "time between asking and killing (default 10s)", metavar="TIME"),
            FORCE._replace(help="leave out the `finally` steps too"),
            OUTPUT,
        ),
    ),
    Command(
        ("run", "update"),
        "runnotary.cli.changing:update",
        "change label, tags and people",
        (
            *MANY,
            ABOUT_A_RUN[0]._replace(help="the new label; an empty one takes it away"),
            ABOUT_A_RUN[1]._replace(help="add a tag; may be repeated"),
            Option(("--untag",), "take a tag away; may be repeated", "many", metavar="TAG"),
            ABOUT_A_RUN[2]._replace(help="let somebody see the run; may be repeated"),
            Option(("--unmonitor",), "no longer; may be repeated", "many", metavar="WHO"),
            ABOUT_A_RUN[3]._replace(help="let somebody change the run; may be repeated"),
            Option(("--unmanage",), "no longer; may be repeated", "many", metavar="WHO"),
            OUTPUT,
        ),
    ),
    *(
        Command(
            ("run", verb),
            f"runnotary.cli.retention:{verb}",
            summary,
            (*MANY, *more, REASON, OUTPUT),
            details=details,
        )
        for verb, summary, more, details in (
            (
                "archive",
                "take ended runs off the lists; they still verify",
                SWEEPING,
                "With --filter or --older-than: every ended run they leave.",
            ),
            ("unarchive", "put runs back on the lists", (), ""),
            ("hold", "protect runs from being purged", (), ""),
            ("release", "let held runs be purged again", (), ""),
            (
                "purge",
                "erase ended runs; a tombstone stays, and verify holds",
                SWEEPING,
                "With --filter or --older-than: every ended run they leave that is not held.\n"
                "What was purged cannot be brought back.",
            ),
            (
                "erase",
                "erase what ended runs say; their envelopes stay",
                SWEEPING[1:],
                "For personal data. Who did what is gone; how many events there were, when, and which were\n"
                "one person's can still be proven. What was erased cannot be brought back.",
            ),
        )
    ),
    Command(
        ("run", "shell"),
        "runnotary.cli.shell:shell",
        "a shell where a failed step stood",
        (RUN, STEP, Option(("--attempt",), "this attempt, not the last", "number", metavar="N")),
        rest="[COMMAND…]",
    ),
)

RUNS: Final = (*LOOKING, *ACTING)
