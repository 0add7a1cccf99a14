"""Errors on the wire: `application/problem+json` (RFC 9457) with our stable `code` beside the status.

`title` is the same for every problem of one code, `detail` says what is wrong here, `hint` what to do next,
`problems` lists everything that is wrong with a definition or with inputs.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from runnotary.core.errors import InvalidDefinition, InvalidRunInput, RunnotaryError

Json = Any
MEDIA_TYPE: Final = "application/problem+json"
TYPE_PREFIX: Final = "urn:runnotary:problem:"


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """What went wrong."""

    type: str
    title: str
    status: int
    code: str
    detail: str
    hint: str = ""
    problems: list[Json] = []


def problem(error: RunnotaryError) -> Problem:
    """Return an error as it is told on the wire."""
    problems: list[Json] = []
    if isinstance(error, InvalidDefinition | InvalidRunInput):
        problems = [msgspec.to_builtins(one) for one in error.problems]
    return problem_of(error.http_status, error.code, error.message, hint=error.hint, problems=problems)


def problem_of(
    status: int, code: str, detail: str, *, hint: str = "", problems: list[Json] | None = None
) -> Problem:
    """Return a problem from its parts."""
    title = code.replace("_", " ").capitalize()
    return Problem(TYPE_PREFIX + code, title, status, code, detail, hint, problems or [])
