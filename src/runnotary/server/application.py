"""The ASGI application: the route table served, and beside it whatever else is mounted.

    who asks → what is asked (path, query, headers, body, each checked) → the handler → the response

Rules of this file:

1. A handler raises. Every refusal becomes a problem document with a code (refusals.py); whatever nobody
   foresaw is a 500 that tells nothing of the inside, and stands in the server's log.
2. Nothing of a request reaches a handler before its type was checked.
3. A handler that is no coroutine reads the store, so it runs in a thread.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, nullcontext
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
from starlette.applications import Starlette
from starlette.convertors import Convertor, register_url_convertor
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.routing import Route as Served

from runnotary.api.call import Answer, Call, Content, Document, Made, Written
from runnotary.api.openapi import description
from runnotary.api.parameters import parameters
from runnotary.api.route import Route
from runnotary.api.routes import ROUTES
from runnotary.config import Settings
from runnotary.core.errors import RunnotaryError
from runnotary.core.events import By
from runnotary.core.permissions import Caller, Who
from runnotary.engine.operations import Operations
from runnotary.server import bodies, contents
from runnotary.server.feeds import FeedResponse
from runnotary.server.guards import SecureHeaders, origins_of
from runnotary.server.metrics import Counted, Metrics
from runnotary.server.refusals import Refusals, no_route

Json = Any
CORS_HEADERS: Final = (
    "authorization",
    "content-type",
    "idempotency-key",
    "if-match",
    "last-event-id",
    "prefer",
    "traceparent",
)
TOLD_HEADERS: Final = ("etag", "location", "preference-applied", "runnotary-position")

NOBODY: Final = Who(By("nobody"), Caller(frozenset()))

_encode: Final = msgspec.json.Encoder().encode


class Identifies(Protocol):
    """Tells who asks (`server/identity.py`)."""

    async def of(self, authorization: str | None) -> Who: ...


class _Hash(Convertor[str]):
    """A digest in a path. Anything else there is no route."""

    regex = "sha256:[0-9a-f]{64}"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("hash", _Hash())


class Application:
    """The server's side of one home.

    `admit` refuses requests that are not for this server; `incoming` is the folder where long bodies wait.
    Setting `closing` ends what would go on for ever.
    """

    def __init__(
        self,
        operations: Operations,
        identity: Identifies,
        settings: Settings,
        *,
        admit: Callable[[Headers], None],
        incoming: Path,
        metrics: Metrics | None = None,
        mounted: Sequence[BaseRoute] = (),
    ) -> None:
        self.operations: Final = operations
        self.closing: Final = asyncio.Event()
        self._identity: Final = identity
        self._limit: Final = settings.body_limit
        self._blob_limit: Final = settings.blob_limit
        self._incoming: Final = incoming
        self._origins: Final = origins_of(settings.cors_origins)
        self._admit: Final = admit
        self._metrics: Final = metrics
        self._described: Json = None
        self.app: Final = Starlette(
            routes=[*(Served(one.path, self._endpoint(one), methods=[one.verb]) for one in ROUTES), *mounted],
            middleware=list(self._middleware()),
            exception_handlers={HTTPException: no_route},
        )
        self.app.router.redirect_slashes = False  # an address with another end is another address

    def _middleware(self) -> Sequence[Middleware]:
        found = [Middleware(SecureHeaders)]
        if self._metrics is not None:
            found.insert(0, Middleware(Counted, self._metrics))
        if self._origins:
            found.append(
                Middleware(
                    CORSMiddleware,
                    allow_origins=self._origins,
                    allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
                    allow_headers=CORS_HEADERS,
                    expose_headers=TOLD_HEADERS,
                )
            )
        return [*found, Middleware(Refusals)]

    # --- one request -------------------------------------------------------------------------------

    def _endpoint(self, route: Route) -> Callable[[Request], Awaitable[Response]]:
        in_loop = inspect.iscoroutinefunction(route.handler)

        async def endpoint(request: Request) -> Response:
            who = await self._who(request, route)
            async with AsyncExitStack() as held:
                call = await self._call(request, route, who, held)
                answer = route.handler(call) if in_loop else await asyncio.to_thread(route.handler, call)
                answer = await answer if inspect.isawaitable(answer) else answer
            return await self._response(request, who, answer)

        return endpoint

    async def _who(self, request: Request, route: Route) -> Who:
        """Return who asks; nobody where everybody may.

        Raises:
            Unauthenticated, WrongOrigin: nobody that may ask here.
        """
        self._admit(request.headers)
        if route.needs == "nothing":
            return NOBODY
        return await self._identity.of(request.headers.get("authorization"))

    async def _call(self, request: Request, route: Route, who: Who, held: AsyncExitStack) -> Call:
        query: Any = parameters(route.query, request.scope["query_string"])
        body: Any = None
        if route.body is bytes:
            self.operations.allow_upload(who, query.namespace)
            body = await held.enter_async_context(bodies.upload(request, self._blob_limit, self._incoming))
        elif route.body is not None:
            body = await bodies.document(request, route.body, self._limit)
        return Call(
            operations=self.operations,
            who=who,
            path=request.path_params,
            query=query,
            body=body,
            headers=request.headers,
            description=self._description,
            exposition=self._metrics.exposition if self._metrics else None,
        )

    def _description(self) -> Json:
        if self._described is None:
            self._described = description(ROUTES)
        return self._described

    async def _response(self, request: Request, who: Who, answer: Answer) -> Response:
        if isinstance(answer, Document):
            data = b"" if answer.status == 304 else _encode(answer.value)
            return Response(data, answer.status, answer.headers, "application/json")
        head = request.method == "HEAD"
        if isinstance(answer, Written):
            return Response(answer.data, 200, answer.headers, answer.media_type)
        if isinstance(answer, Made):
            return contents.made(answer.export, head=head)
        if isinstance(answer, Content):
            wanted = request.headers.get("range", "")
            return await contents.response(answer, self.operations.reader.blobs, wanted, head=head)

        async def still() -> bool:
            try:
                now = await self._identity.of(request.headers.get("authorization"))
            except RunnotaryError:
                return False
            return now.caller == who.caller

        if head:
            await answer.frames.aclose()
            return Response(b"", 200, dict(answer.headers), FeedResponse.media_type)
        counted = self._metrics.followers.track_inprogress if self._metrics else nullcontext
        return FeedResponse(answer.frames, answer.headers, closing=self.closing, still=still, counted=counted)
