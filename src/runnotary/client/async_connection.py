"""One server, asked over connections that stay open, until it answers or nothing more can be done."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from time import monotonic
from typing import Any, BinaryIO, Final, ParamSpec, TypeVar

import httpx2

from runnotary.client import streams
from runnotary.client.places import Place
from runnotary.client.problems import checked, unreachable
from runnotary.client.request import Answer, Request
from runnotary.client.results import RunEvent
from runnotary.client.retries import STRANGER, Tries, backoff
from runnotary.client.streams import Following
from runnotary.core.errors import Unreachable

T = TypeVar("T")
P = ParamSpec("P")


class AsyncConnection:
    """Sends requests to one place. May be shared by everything that runs at once."""

    def __init__(
        self, place: Place, *, timeout: float, transport: httpx2.AsyncBaseTransport | None = None
    ) -> None:
        self._place: Final = place
        self._timeout: Final = timeout
        self._answered = False
        self._http: Final = httpx2.AsyncClient(
            base_url=place.url,
            headers=place.headers,
            verify=place.verify,
            trust_env=place.trust_env,
            timeout=httpx2.Timeout(timeout),
            transport=transport,
        )

    async def ask(self, request: Request[T]) -> T:
        """Send a request, as often as it takes and as is safe, and read the answer.

        Raises:
            RunnotaryError: what the server says is wrong.
            Unreachable: nobody answers.
        """
        return request.decode(checked(await self._answer(request)))

    async def _answer(self, request: Request[Any]) -> Answer:
        began = monotonic()
        tries = Tries(self._timeout if self._answered else min(STRANGER, self._timeout))
        while True:
            try:
                answer = await self._once(request)
            except httpx2.TransportError as failure:
                pause = tries.after_failure(request, failure, monotonic() - began)
                if pause is None:
                    raise unreachable(self._place.url, request, failure) from failure
            else:
                self._answered = True
                pause = tries.after_answer(request, answer, monotonic() - began)
                if pause is None:
                    return answer
            await self.sleep(pause)

    async def ask_once(self, request: Request[T]) -> T:
        """Send a request once; whoever calls has a patience of its own.

        Raises:
            RunnotaryError: what the server says is wrong.
            Unreachable: nobody answers.
        """
        try:
            answer = await self._once(request)
        except httpx2.TransportError as failure:
            raise unreachable(self._place.url, request, failure) from failure
        self._answered = True
        return request.decode(checked(answer))

    async def _once(self, request: Request[Any]) -> Answer:
        response = await self._http.request(
            request.method,
            request.path,
            params=list(request.params),
            headers=dict(request.headers),
            content=request.body,
            timeout=httpx2.Timeout(self._timeout, read=self._timeout + request.wait),
        )
        return Answer(response.status_code, dict(response.headers), response.content)

    async def save(self, request: Request[bytes], file: BinaryIO) -> None:
        """Write what a server sends to a file, piece by piece.

        Raises:
            RunnotaryError: what the server says is wrong.
            Unreachable: nobody answers, or not to the end.
        """
        try:
            async with self._http.stream(
                request.method, request.path, params=list(request.params), headers=dict(request.headers)
            ) as response:
                if response.status_code != httpx2.codes.OK:
                    body = await response.aread()
                    checked(Answer(response.status_code, dict(response.headers), body))
                self._answered = True
                async for piece in response.aiter_bytes():
                    file.write(piece)
        except httpx2.TransportError as failure:
            raise unreachable(self._place.url, request, failure) from failure

    async def events(self, following: Following) -> AsyncGenerator[RunEvent, None]:
        """Yield the events of a feed, each once, until it ends; connect again whenever it breaks off.

        Raises:
            RunnotaryError: what the server says is wrong.
            Unreachable: it stays away.
        """
        began, tried = monotonic(), 0
        while True:
            following.reached = False
            try:
                async with aclosing(self._stream(following)) as arriving:
                    async for event in arriving:
                        yield event
            except Unreachable:
                patience = streams.PATIENCE if self._answered else STRANGER
                if not following.reached and monotonic() - began >= patience:
                    raise
            if following.over:
                return
            if following.reached:
                began, tried = monotonic(), 0
            await self.sleep(backoff(tried))
            tried += 1

    async def _stream(self, following: Following) -> AsyncGenerator[RunEvent, None]:
        request = following.request()
        limits = httpx2.Timeout(self._timeout, read=streams.SILENCE)
        try:
            async with self._http.stream(
                request.method,
                request.path,
                params=list(request.params),
                headers=dict(request.headers),
                timeout=limits,
            ) as response:
                if response.status_code != httpx2.codes.OK:
                    body = await response.aread()
                    checked(Answer(response.status_code, dict(response.headers), body))
                self._answered = True
                following.reach(response.headers)
                async for sent in httpx2.EventSource(response):
                    event = following.take(sent)
                    if event is not None:
                        yield event
                    if following.over:
                        return
        except httpx2.TransportError as failure:
            raise unreachable(self._place.url, request, failure) from failure

    async def sleep(self, seconds: float) -> None:
        """Let time pass."""
        await asyncio.sleep(seconds)

    async def beside(self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Do what reads files without holding up anybody else."""
        return await asyncio.to_thread(function, *args, **kwargs)

    @staticmethod
    def key() -> str:
        """Return a new idempotency key."""
        return secrets.token_hex(16)

    async def close(self) -> None:
        """Hang up."""
        await self._http.aclose()
