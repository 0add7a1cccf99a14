"""Every command and option, as one table.

A command appears here when it works. The handler is named as text, so that asking for help, or for another
command, imports none of it.
"""

from __future__ import annotations

from typing import Final

from runnotary.cli.options import (
    ABOUT_A_RUN,
    FORCE,
    FORMATS,
    GLOBAL,
    LONG_OUTPUT,
    NAMESPACE,
    OUTPUT,
    QUIET,
    Command,
    Option,
)
from runnotary.cli.table_access import ACCESS
from runnotary.cli.table_approvals import APPROVALS
from runnotary.cli.table_log import LOG
from runnotary.cli.table_runs import RUNS

__all__ = ["COMMANDS", "FORMATS", "GLOBAL", "NOUNS", "OUTPUT", "START", "Command", "Option"]

START: Final = Command(
    ("start",),
    "runnotary.cli.start:start",
    "start a run and follow it to its end",
    (
        Option(("target",), "a flow file, the name of a flow, or sha256:…", metavar="FILE|NAME|HASH"),
        Option(("-i", "--input"), "an input; may be repeated", "many", metavar="NAME=VALUE", into="given"),
        Option(("-I", "--inputs"), "a JSON file with inputs; - reads standard input", metavar="FILE"),
        *ABOUT_A_RUN,
        Option(("--max-concurrency",), "attempts of this run at a time", "number", metavar="N"),
        Option(("--on-failure",), "after a failed step", choices=("continue", "stop")),
        Option(("--idempotency-key",), "with the same key again, the same run", metavar="KEY"),
        Option(("--wait",), "follow without showing steps", "flag"),
        Option(("--watch",), "show steps as they run (the default; with a server ask for it)", "flag"),
        Option(("--dry-run",), "check everything, show what would run, store nothing", "flag"),
        Option(("--out",), "copy the outputs into this folder at the end", metavar="DIR"),
        FORCE,
        QUIET,
        NAMESPACE,
        OUTPUT,
    ),
    details="Exit status: 0 success or skipped, 1 failed, 8 cancelled, 130 left running (Ctrl-C).\n"
    "Ctrl-C leaves the run to be continued by `runnotary run watch`; twice within a second cancels it.\n"
    "With a server it returns as soon as the run is accepted, unless you ask for --wait, --watch or --out.",
)

EXEC: Final = Command(
    ("exec",),
    "runnotary.cli.start:execute",
    "record the run of one command, no flow file",
    (
        Option(("-i", "--input"), "a file it reads; may be repeated", "many", metavar="FILE", into="inputs"),
        Option(
            ("-o", "--output"), "a file it makes; may be repeated", "many", metavar="FILE", into="outputs"
        ),
        Option(("--env",), "a variable it gets; may be repeated", "many", metavar="NAME=VALUE"),
        Option(("--timeout",), "stop it after this time: 30s, 10m, 1h30m", metavar="TIME"),
        *ABOUT_A_RUN,
        Option(("--out",), "folder for its output files; else the working directory", metavar="DIR"),
        Option(("--no-copy",), "leave output files in the record only", "flag"),
        FORCE,
        QUIET,
        NAMESPACE,
        LONG_OUTPUT,
    ),
    rest="COMMAND…",
    details="The command runs in a folder of its own, with the named input files in it under their names.\n"
    "Its output is passed through.",
)

FLOW: Final = Option(("flow",), "a flow file, the name of a flow, or sha256:…", metavar="FILE|NAME|HASH")

FLOWS: Final = (
    Command(
        ("flow", "validate"),
        "runnotary.cli.flows:validate",
        "check flow files; every problem with its place",
        (Option(("files",), "flow files", "words", metavar="FILE"), OUTPUT),
    ),
    Command(
        ("flow", "show"),
        "runnotary.cli.flows:show",
        "what a flow takes, does and gives",
        (FLOW, NAMESPACE, OUTPUT),
    ),
    Command(
        ("flow", "graph"),
        "runnotary.cli.flows:graph",
        "its steps and what each waits for",
        (
            FLOW,
            NAMESPACE,
            Option(
                ("-o", "--format"), "text, mermaid or dot", choices=("text", "mermaid", "dot"), into="format"
            ),
        ),
    ),
    Command(("flow", "list"), "runnotary.cli.flows:flows", "the flows that have names", (NAMESPACE, OUTPUT)),
    Command(
        ("flow", "history"),
        "runnotary.cli.flows:history",
        "every definition its name ever meant",
        (Option(("flow",), "the name of a flow", metavar="NAME"), NAMESPACE, OUTPUT),
    ),
    Command(
        ("flow", "diff"),
        "runnotary.cli.differing:diff",
        "what changed between two definitions",
        (
            Option(
                ("was",),
                "a flow's name, NAME@VERSION, a flow file, or sha256:…",
                metavar="FLOW",
            ),
            Option(("now",), "the same; else what the name means now", "maybe", metavar="FLOW"),
            Option(("--code",), "changed code files line by line", "flag"),
            NAMESPACE,
            OUTPUT,
        ),
        details="One NAME: its newest definition against the one before. One FILE: what its name means\n"
        "against the file.",
    ),
    Command(
        ("flow", "push"),
        "runnotary.cli.flows:push",
        "let a flow's name mean this file",
        (Option(("file",), "a flow file", metavar="FILE"), NAMESPACE, OUTPUT),
    ),
)

UP: Final = Command(
    ("up",),
    "runnotary.cli.up:up",
    "serve a home: the HTTP API, the pages and the engine",
    (
        Option(("--host",), "address to listen on (default 127.0.0.1)", metavar="ADDRESS"),
        Option(("--port",), "port to listen on (default 8765; 0 takes a free one)", metavar="PORT"),
        Option(("--log-format",), "what is written on standard error", choices=("text", "json")),
        Option(
            ("--log-level",),
            "from which level on it is written",
            choices=("debug", "info", "warning", "error"),
        ),
    ),
    details="Without credentials (tokens, or an identity provider in the settings) it serves this machine\n"
    "only. SIGTERM or Ctrl-C: no new step begins, requests finish, what runs lives on until the next\n"
    "`up`.",
)

OTHERS: Final = (
    Command(
        ("completion",),
        "runnotary.cli.completion:completion",
        "a script that completes commands in your shell",
        (Option(("shell",), "your shell", metavar="SHELL", choices=("bash", "zsh", "fish")),),
        details='bash, zsh: eval "$(runnotary completion SHELL)"   fish: runnotary completion fish | source',
    ),
    Command(("version",), "runnotary.cli.version:version", "the release of this command"),
)

ALL: Final = (START, EXEC, UP, *RUNS, *APPROVALS, *FLOWS, *ACCESS, *LOG, *OTHERS)
COMMANDS: Final = {command.words: command for command in ALL}
NOUNS: Final = ("run", "approval", "flow", "namespace", "group", "token", "log", "key", "admin")
