"""The pages as routes of the server: requests in, answers out, and whoever is nobody signs in first.

Rules of this file:

1. It is the only one here that knows the framework, but for the type of headers.
2. A change goes through `guard.checked` before any page sees it.
3. What goes wrong on purpose becomes a page that says so; what nobody foresaw is the server's to answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Match, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from runnotary.core.errors import InvalidInput, RunnotaryError, Unauthenticated
from runnotary.web import guard, rendering
from runnotary.web.addresses import address
from runnotary.web.answers import Answer, see_other
from runnotary.web.asked import Asked, fields
from runnotary.web.pages import ELSEWHERE, PAGES, Page
from runnotary.web.sessions import cookie_of
from runnotary.web.visit import Site, Visit

FORM: Final = "application/x-www-form-urlencoded"
FORM_MAX: Final = 1024 * 1024

Endpoint = Callable[[Request], Awaitable[Response]]


def routes(site: Site) -> list[Route]:
    """Return every page as a route, the files that pages need, and last what answers everywhere else."""
    pages = [Route(page.path, _endpoint(site, page), methods=[page.method]) for page in PAGES]
    elsewhere = _ForBrowsers(ELSEWHERE.path, _endpoint(site, ELSEWHERE), methods=[ELSEWHERE.method])
    return [*pages, Route("/static/{name}", _static), Route("/favicon.ico", _favicon), elsewhere]


class _ForBrowsers(Route):
    """A page at every address but the API's, for who reads pages; programs are told in their own way."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        of_api = f"{scope['path']}/".startswith("/api/")
        reads = "text/html" in Headers(scope=scope).get("accept", "")
        return super().matches(scope) if reads and not of_api else (Match.NONE, {})


def _endpoint(site: Site, page: Page) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        visit = Visit(site, Asked(), site.now())
        try:
            visit = await _visit(site, request)
            answer = await _answer(visit, page)
        except RunnotaryError as wrong:
            answer = visit.page("problem.html", wrong.http_status, problem=wrong)
        return _response(answer)

    return endpoint


async def _answer(visit: Visit, page: Page) -> Answer:
    if visit.who is None and not page.for_all:
        return _elsewhere(visit)
    guard.checked(visit.asked, visit.key)
    if page.method == "GET":
        answer: Answer = await asyncio.to_thread(page.handler, visit)
        return answer
    changed: Answer = await page.handler(visit)
    return changed


def _elsewhere(visit: Visit) -> Answer:
    """Send nobody to the door; from a link on another site, which brings no cookie, here once more first."""
    asked = visit.asked
    here = address(asked.path, asked.query)
    if asked.method == "GET" and asked.headers.get("sec-fetch-site") == "cross-site":
        return visit.page("again.html", here_address=here)
    return see_other(address("/sign-in", {"next": here if asked.method == "GET" else ""}))


async def _visit(site: Site, request: Request) -> Visit:
    """Read a request and tell who came: by a cookie, else by the header that programs bring."""
    asked = Asked(
        method="GET" if request.method == "HEAD" else request.method,
        path=request.url.path,
        params={name: str(value) for name, value in request.path_params.items()},
        query=_fields(request.url.query),
        form=_fields(await _form(request)),
        headers=dict(request.headers),
        secure=request.url.scheme == "https",
    )
    site.admit(request.headers)
    now = site.now()
    cookie = cookie_of(asked.headers)
    authorization = site.sessions.authorization(cookie, now)
    if authorization is None:
        cookie, authorization = "", request.headers.get("authorization")
    try:
        return Visit(site, asked, now, await site.identify(authorization), cookie)
    except Unauthenticated:
        return Visit(site, asked, now)


class SignedIn:
    """Lets a visitor's cookie stand for their token where the API is only read: feeds and files."""

    def __init__(self, app: ASGIApp, site: Site) -> None:
        self._app: Final = app
        self._site: Final = site

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] in guard.SAFE_METHODS:
            headers = Headers(scope=scope)
            cookie = "" if "authorization" in headers else cookie_of(headers)
            authorization = self._site.sessions.authorization(cookie, self._site.now()) if cookie else None
            if authorization is not None:
                told = (b"authorization", authorization.encode("latin-1"))
                scope = {**scope, "headers": [*scope["headers"], told]}
        await self._app(scope, receive, send)


def _fields(text: str) -> dict[str, tuple[str, ...]]:
    try:
        return fields(text)
    except ValueError as wrong:
        raise InvalidInput(f"this form cannot be read: {wrong}") from None


async def _form(request: Request) -> str:
    """Return the body of a form.

    Raises:
        InvalidInput: it is none, or too large.
    """
    if request.method != "POST":
        return ""
    if request.headers.get("content-type", "").partition(";")[0].strip() != FORM:
        raise InvalidInput("this page takes forms only", hint="programs use the API under /api/v1")
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > FORM_MAX:
            raise InvalidInput(f"this form is larger than {FORM_MAX:,} bytes")
    return body.decode("utf-8", "replace")


def _response(answer: Answer) -> Response:
    response = Response(answer.body, answer.status)
    for name, value in answer.all_headers():
        response.headers.append(name, value)
    return response


async def _static(request: Request) -> Response:
    name = request.path_params["name"]
    if name not in rendering.MEDIA_TYPES:
        return _response(Answer(status=404))
    return _response(rendering.static_answer(name, request.query_params.get("v", "")))


async def _favicon(_: Request) -> Response:
    return _response(rendering.static_answer("favicon.svg", ""))
