"""The page that `runnotary --help` shows: every command in one line, from the table."""

from __future__ import annotations

from itertools import groupby
from typing import Final

from runnotary.cli.table import COMMANDS, FORMATS, Command

HEAD: Final = "runnotary: runs flows and keeps a record of every run that anyone can check"
FOOT: Final = f"""\
RUN: an id, its beginning, @latest or @latest:FLOW. `run FILE` is `start FILE`.
-o {"|".join(FORMATS)}; stdout is data, stderr is progress.
Exit status: 0 success, 1 run failed, 2 usage, 3 not found, 4 permission,
5 conflict, 6 unreachable, 7 wait timed out, 8 run cancelled,
10 verification failed, 130 left running.
More about one command: runnotary COMMAND --help"""


def overview(noun: str = "") -> str:
    """Return the list of all commands, or of those of one noun."""
    shown = [command for command in COMMANDS.values() if not noun or command.words[0] == noun]
    lines: list[str] = []
    for _, group in groupby(shown, lambda command: command.words[0] if len(command.words) > 1 else ""):
        together = list(group)
        width = max(len(_usage(command)) for command in together)
        lines += [""] * bool(lines)
        lines += [f"  {_usage(command):{width}}  {command.summary}" for command in together]
    if noun:
        return "\n".join([*lines, "", f"More about one: runnotary {noun} COMMAND --help"])
    return "\n".join([HEAD, "", *lines, "", FOOT])


def _usage(command: Command) -> str:
    rest = ["--", command.rest] if command.rest and not command.rest.startswith("[") else []
    return " ".join([command.name, *command.arguments, *rest])
