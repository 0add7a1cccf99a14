"""What was refused, and what went wrong, as responses: problem documents, all of them.

It stands inside what adds headers to every answer (application.py), so a refusal and a defect carry them too.
"""

from __future__ import annotations

import logging
from typing import Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runnotary.api.problems import MEDIA_TYPE, Problem, problem, problem_of
from runnotary.core.errors import Damaged, RunnotaryError, Unauthenticated
from runnotary.server.guards import check_head

_ENDS: Final = (413, 431)
"""Statuses after which the connection is closed: what else the client sends is not read."""

log = logging.getLogger("runnotary.server")


class Refusals:
    """Answers with a problem where nothing inside has begun to answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app: Final = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def noted(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            check_head(scope)
            await self._app(scope, receive, noted)
        except Exception as error:
            if begun:
                raise  # the server hangs up, so that nobody takes the part for the whole
            if isinstance(error, RunnotaryError):
                response = refusal(error)
            else:
                log.exception("%s %s failed", scope["method"], scope["path"])
                response = _told(problem_of(500, "defect", "this server failed; its log says how"))
            await response(scope, receive, send)


def refusal(error: RunnotaryError) -> Response:
    """Return the response to what was refused on purpose."""
    headers = {}
    if isinstance(error, Unauthenticated):
        headers["www-authenticate"] = error.challenge
    if isinstance(error, Damaged):
        log.error("the record is damaged: %s", error.message)
    if error.http_status in _ENDS:
        headers["connection"] = "close"
    return _told(problem(error), headers)


async def no_route(request: Request, error: Exception) -> Response:
    """Return the response to what the framework refuses: no such path, another method."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        told = problem_of(405, "method_not_allowed", f"{request.method} is not for this path")
    elif error.status_code == 404:
        told = problem_of(404, "no_such_route", f"there is nothing at {request.scope['path'][:200]}")
    else:
        told = problem_of(error.status_code, "bad_request", error.detail)
    return _told(told, dict(error.headers or {}))


def _told(problem: Problem, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(problem), problem.status, headers, MEDIA_TYPE)
