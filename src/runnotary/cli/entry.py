"""One command from words to exit status; where every error becomes a sentence.

Imports nothing that a refused or a helping command does not need.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

from runnotary.cli.overview import overview
from runnotary.cli.parser import HelpAsked, UsageError, help_of, parsed
from runnotary.cli.table import Command

USAGE: Final = 2
DAMAGED: Final = 10
INTERRUPTED: Final = 130
BROKEN_PIPE: Final = 141


def run(argv: Sequence[str]) -> int:
    """Run one command; return the exit status."""
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        status = _run(argv)
        sys.stdout.flush()
    except BrokenPipeError:
        # Nobody reads on. What is still in the buffer must not complain again when the interpreter ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    return status


def _run(argv: Sequence[str]) -> int:
    try:
        command, args = parsed(argv)
    except HelpAsked as asked:
        topic = asked.topic
        print(help_of(topic).rstrip() if isinstance(topic, Command) else overview(topic))
        return 0
    except UsageError as wrong:
        tell(str(wrong), wrong.hint)
        return USAGE
    module, _, function = command.handler.partition(":")
    try:
        status: int = getattr(import_module(module), function)(args)
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except Exception as error:  # noqa: BLE001 - the one place where an error becomes a sentence
        return _failed(error, argv)
    return status


def _failed(error: Exception, argv: Sequence[str]) -> int:
    """Say what went wrong, and return the exit status that stands for it."""
    from runnotary.core.errors import Damaged, InvalidDefinition, InvalidRunInput, RunnotaryError

    if os.environ.get("RUNNOTARY_DEBUG"):
        import traceback

        traceback.print_exception(error)
    if isinstance(error, Damaged):
        tell(f"the record is damaged: {error.message}", error.hint or "see: runnotary verify --deep")
        return error.exit_code
    if isinstance(error, InvalidDefinition | InvalidRunInput):
        print(error.message, file=sys.stderr)
        return error.exit_code
    if isinstance(error, RunnotaryError):
        tell(error.message, error.hint)
        return error.exit_code
    sqlite = sys.modules.get("sqlite3")
    if sqlite is not None and isinstance(error, sqlite.DatabaseError):
        tell(f"the record cannot be read: {error}", "see: runnotary verify --deep")
        return DAMAGED
    if isinstance(error, UnicodeEncodeError):
        tell(f"what was typed is no text in UTF-8: {error.object[:80]}")
        return USAGE
    if isinstance(error, OSError) and error.strerror:
        where = f"{error.filename}: " if error.filename else ""
        tell(f"{where}{error.strerror}")
        return 1
    tell(
        f"unexpected {type(error).__name__}: {error}",
        "this is a defect; RUNNOTARY_DEBUG=1 before the command shows where",
    )
    return 1


def tell(message: str, hint: str = "") -> None:
    """Print an error to stderr."""
    from runnotary.cli.words import visible_lines

    print(f"error: {visible_lines(message)}", file=sys.stderr)
    if hint:
        print(f"  {visible_lines(hint)}", file=sys.stderr)
