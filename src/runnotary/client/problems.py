"""Errors of a server, raised here as they were raised there: by the stable `code` of a problem document."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from runnotary.client.request import Answer, Request
from runnotary.client.retries import NOT_SENT
from runnotary.core import errors

Json = Any
KINDS: Final = {
    kind.code: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, errors.RunnotaryError)
}
# For a code that this release does not know: the next best is the status.
BY_STATUS: Final[dict[int, type[errors.RunnotaryError]]] = {
    400: errors.InvalidInput,
    401: errors.PermissionDenied,
    403: errors.PermissionDenied,
    404: errors.NotFound,
    409: errors.Conflict,
    412: errors.Conflict,
    422: errors.InvalidInput,
    502: errors.Unreachable,
    503: errors.Unreachable,
    504: errors.Unreachable,
}


class Problem(msgspec.Struct):
    """A problem document (RFC 9457) as our servers write it."""

    code: str = ""
    detail: str = ""
    title: str = ""
    hint: str = ""
    problems: list[Json] = []


def checked(answer: Answer) -> Answer:
    """Return an answer that is none of a problem.

    Raises:
        RunnotaryError: what the server says is wrong, in its own kind.
    """
    if answer.status >= 300:
        raise error_of(answer)
    return answer


def error_of(answer: Answer) -> errors.RunnotaryError:
    """Return the error that an answer stands for."""
    try:
        problem = msgspec.json.decode(answer.body, type=Problem)
    except msgspec.DecodeError:
        problem = Problem()
    kind = KINDS.get(problem.code) or BY_STATUS.get(answer.status, errors.RunnotaryError)
    message = problem.detail or problem.title or f"the server answers {answer.status}"
    error = remade(kind, message, problem.hint, problem.problems)
    if problem.code:
        vars(error)["code"] = problem.code
    return error


def remade(
    kind: type[errors.RunnotaryError], message: str, hint: str = "", problems: list[Json] | None = None
) -> errors.RunnotaryError:
    """Return an error with the words of the other side, and each single problem where its kind names them."""
    error = kind.__new__(kind)
    errors.RunnotaryError.__init__(error, message, hint=hint)
    if isinstance(error, errors.InvalidDefinition):
        vars(error)["problems"] = tuple(_problem(one) for one in problems or [])
    elif isinstance(error, errors.InvalidRunInput):
        vars(error)["problems"] = tuple(str(one) for one in problems or [])
    elif isinstance(error, errors.Damaged):
        vars(error)["findings"] = tuple(str(one) for one in problems or message.splitlines())
    return error


def _problem(said: Json) -> errors.Problem:
    try:
        return msgspec.convert(said, errors.Problem)
    except msgspec.ValidationError:
        return errors.Problem(0, 0, "", str(said))


def unreachable(url: str, request: Request[Any], failure: Exception) -> errors.Unreachable:
    """Return the error for a request that got no answer."""
    why = str(failure) or type(failure).__name__
    if isinstance(failure, NOT_SENT):
        return errors.Unreachable(f"no server answers at {url}: {why}", hint="start one: runnotary up")
    broken = f"the server at {url} broke off: {why}"
    if request.method == "GET":
        return errors.Unreachable(broken)
    return errors.Unreachable(f"{broken}; {request.method} {request.path} may have been done all the same")
