"""A client of each kind, asked in the same words: a test is written once and runs with both."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import runnotary
from runnotary.app.in_process import App, AsyncInProcessTransport, InProcessTransport, LoopThread
from runnotary.client import AsyncClient, Client
from tests.client import flows
from tests.client.service import Server

Until = Callable[[list[Any]], bool]


class Both:
    """A client with or without asyncio. A call returns what the client's call brings, iterators as lists."""

    def __init__(self, client: Any, loop: asyncio.AbstractEventLoop | None) -> None:
        self.client = client
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            return self.result(getattr(self.client, name)(*args, **kwargs))

        return call

    def result(self, asked: Any, until: Until = lambda _: False) -> Any:
        """Return what an awaitable or iterator brings, up to the one that the test waits for."""
        if self._loop is None:
            return taken(asked, until) if inspect.isgenerator(asked) else asked
        if inspect.isasyncgen(asked):
            return self._loop.run_until_complete(collected(asked, until))
        return self._loop.run_until_complete(asked)

    def close(self) -> None:
        self.result(self.client.close())


def taken(asked: Any, until: Until) -> list[Any]:
    found = []
    for one in asked:
        found.append(one)
        if until(found):
            break
    asked.close()
    return found


async def collected(asked: Any, until: Until) -> list[Any]:
    found = []
    async for one in asked:
        found.append(one)
        if until(found):
            break
    await asked.aclose()
    return found


@pytest.fixture(params=["sync", "async"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@contextmanager
def opened(kind: str, make: Callable[[type[Any]], Any], kinds: tuple[type[Any], type[Any]]) -> Iterator[Both]:
    """Open a client of a kind; `make` calls the class that it gets."""
    loop = asyncio.new_event_loop() if kind == "async" else None
    both = Both(make(kinds[kind == "async"]), loop)
    try:
        yield both
    finally:
        both.close()
        if loop is not None:
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
            loop.close()


@pytest.fixture
def ask(kind: str) -> Iterator[Callable[..., Both]]:
    """Return what makes a client of an application in this process."""
    thread = LoopThread()
    left: list[Any] = []

    def made(app: App, **words: Any) -> Both:
        def make(client: type[Any]) -> Any:
            asked = AsyncInProcessTransport if kind == "async" else InProcessTransport
            return client(transport=asked(thread, app), **words)

        context = opened(kind, make, (Client, AsyncClient))
        both = context.__enter__()
        left.append(context)
        return both

    yield made
    for context in left:
        context.__exit__(None, None, None)
    thread.close()


# --- a real server, and a home in this process ---------------------------------------------------


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Serve a home with the flows of the tests."""
    serving = Server(tmp_path_factory.mktemp("served") / "home")
    serving.start()
    with runnotary.Client(serving.url) as client:
        for flow in flows.ALL:
            client.register_flow(flow)
    yield serving
    serving.stop()


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Keep a home with the flows of the tests open in this process."""
    folder = tmp_path_factory.mktemp("embedded") / "home"
    with runnotary.Client(home=folder) as client:
        for flow in flows.ALL:
            client.register_flow(flow)
        yield folder


@pytest.fixture(params=["http", "home"])
def place(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return the words that open a client: those of the server, or those of the home."""
    if request.param == "http":
        return {"url": request.getfixturevalue("server").url}
    return {"home": request.getfixturevalue("home")}


@pytest.fixture
def client(kind: str, place: dict[str, Any]) -> Iterator[Both]:
    with opened(kind, lambda made: made(**place), (runnotary.Client, runnotary.AsyncClient)) as both:
        yield both


@pytest.fixture
def word(request: pytest.FixtureRequest) -> str:
    """Return a word that no other test uses: what it marks is what this test made."""
    return re.sub(r"\W+", "-", request.node.name)[:200].strip("-")
