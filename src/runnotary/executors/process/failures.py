"""What can go wrong around a process, as sentences that say what to do.

An attempt never raises out of the executor: whatever it meets becomes a `Failure` in its outcome.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import Final

from runnotary.core.attempts import Attempt
from runnotary.core.errors import RunnotaryError
from runnotary.core.events import Failure
from runnotary.core.states import Reason
from runnotary.executors import attempt_record
from runnotary.executors.process.keeper_connection import KeeperRefused

STRING_MAX: Final = 128 * 1024
"""The longest single argument or variable that Linux passes to a program."""

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})


class Refused(Exception):
    """The attempt cannot be started, or its outputs cannot be taken; becomes the outcome's failure."""

    def __init__(self, code: str, message: str, reason: str = Reason.ERROR) -> None:
        super().__init__(message)
        self.failure: Final = Failure(code, message)
        self.reason: Final = str(reason)


def from_os(error: OSError, doing: str) -> Refused:
    """Return the refusal for an error of the operating system."""
    why = os.strerror(error.errno) if error.errno else str(error)
    if error.errno in _FULL:
        return Refused("disk_full", f"{doing}: {why}. Free some space, then run again")
    return Refused("os_error", f"{doing}: {why}")


def from_keeper(trouble: RunnotaryError) -> Refused:
    """Return the refusal for a start that the keeper did not do."""
    if isinstance(trouble, KeeperRefused):
        if trouble.answer.get("errno"):
            return from_os(OSError(trouble.answer["errno"], ""), "claiming the attempt")
        if trouble.answer.get("error") == "line_too_long":
            return Refused("arguments_too_long", "arguments and variables are too long; pass files instead")
        return Refused("not_started", trouble.message)
    return Refused("keeper_unavailable", f"{trouble.message}. Run `run resume` to try again")


def not_spawned(attempt: Attempt, record: attempt_record.Record, env: Sequence[tuple[str, int]]) -> Failure:
    """Say why the keeper could not make the process; `env` are the variables with their sizes."""
    command = attempt.argv[0] if attempt.argv else ""
    why = os.strerror(record.spawn_errno)
    step = attempt_record.SPAWN_STEPS.get(record.spawn_step, "start")
    if record.spawn_errno in _FULL:
        return Failure("disk_full", f"{step}: {why}. Free some space, then run again")
    if record.spawn_step != attempt_record.EXEC:
        return Failure("not_started", f"{step}: {why}")
    if record.spawn_errno == errno.E2BIG:
        return Failure("arguments_too_long", _too_long(attempt, env))
    if record.spawn_errno == errno.ENOENT:
        where = "there is no such file" if "/" in command else "it is on no folder of the step's PATH"
        return Failure(
            "command_not_found", f"{command}: {where} (or the interpreter that its #! names is not)"
        )
    if record.spawn_errno == errno.EACCES:
        hint = "Is the file executable where the flow lies (chmod +x)?"
        return Failure("not_executable", f"{command}: {why}. {hint}")
    if record.spawn_errno == errno.ENOEXEC:
        return Failure("not_executable", f"{command}: {why}. Does its first line begin with #!?")
    return Failure("not_started", f"{command}: {why}")


def _too_long(attempt: Attempt, env: Sequence[tuple[str, int]]) -> str:
    sizes = [(len(os.fsencode(part)), f"argument {index}") for index, part in enumerate(attempt.argv)]
    sizes += [(size, f"variable {name}") for name, size in env]
    size, what = max(sizes)
    limit = f"one may have {STRING_MAX:,}" if size >= STRING_MAX else "all together have too many"
    return f"{what} has {size:,} bytes; {limit}. Pass it as a file instead"
