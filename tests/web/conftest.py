"""A real home served on a real port, in a thread of its own; and Debian's Chromium."""

from __future__ import annotations

import asyncio
import shutil
import socket
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import Future
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlencode

import httpx2
import pytest
import uvicorn
from playwright.sync_api import Browser, sync_playwright

from runnotary import config
from runnotary.app.home import Embedded
from runnotary.app.serving import operations_of, served
from runnotary.app.system import operating_user
from runnotary.core.definition import Words
from runnotary.core.permissions import Who
from runnotary.engine.operations import Operations
from runnotary.engine.requests import RunRequest
from tests.database import ENVIRON

Json = Any
T = TypeVar("T")
PATIENCE_S = 60


class House:
    """A served home. Everything that changes it goes through its own operations, in its own thread."""

    def __init__(self, folder: Path, *, local: bool = True, port: int = 0, **settings: Any) -> None:
        self._port = port
        self.settings = config.load(
            {"home": str(folder / "home"), "slots": 4, **settings}, environ=ENVIRON, cwd=folder
        )
        self.local = local
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._live)
        self._ready: Future[None] = Future()
        self._thread.start()
        self._ready.result(PATIENCE_S)
        self.client = httpx2.Client(base_url=self.url, timeout=PATIENCE_S)

    def _live(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
            try:
                runner.run(self._serve())
            except BaseException as wrong:
                if not self._ready.done():
                    self._ready.set_exception(wrong)
                raise

    async def _serve(self) -> None:
        home = Embedded(self.settings)
        owner = operating_user()
        self.operations: Operations = operations_of(home)
        self.who: Who = home.access.who(owner)
        self.serving = served(home, local=owner if self.local else None)
        listening = socket.create_server(("127.0.0.1", self._port))
        self.url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        how = uvicorn.Config(self.serving.app, http="h11", lifespan="off", log_config=None)
        self.server = uvicorn.Server(how)
        answering = asyncio.ensure_future(self.server.serve(sockets=[listening]))
        while not self.server.started:
            await asyncio.sleep(0.005)
        self._ready.set_result(None)
        await answering
        await home.close()

    def close(self) -> None:
        self.client.close()
        self.server.should_exit = True
        self.loop.call_soon_threadsafe(self.serving.closing.set)
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(PATIENCE_S)

    def start(self, document: Json, **wishes: Any) -> str:
        """Register a flow and start it; returns the run's id."""

        async def begin() -> str:
            flow = await self.operations.register(self.who, document, "default", Words())
            request = RunRequest(flow=flow["flow"], **wishes)
            started, _ = await self.operations.start(self.who, request)
            return str(started["id"])

        return self.call(begin())

    def ended(self, run: str) -> Json:
        """Wait for the end of a run; returns its document."""
        document = self.call(self.operations.wait(self.who, run, PATIENCE_S))
        assert document["ended_at"], document["status"]
        return document

    def run(self, document: Json, **wishes: Any) -> Json:
        """Start a flow and wait for its end."""
        return self.ended(self.start(document, **wishes))

    def post(self, path: str, form: dict[str, str] | None = None, **headers: str) -> httpx2.Response:
        """Send a form as a page of this server would."""
        said = {"origin": self.url, "content-type": "application/x-www-form-urlencoded"} | headers
        return self.client.post(path, content=urlencode(form or {}), headers=said)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    opened = House(tmp_path_factory.mktemp("house"))
    yield opened
    opened.close()


@pytest.fixture
def empty_house(tmp_path: Path) -> Iterator[House]:
    opened = House(tmp_path)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """A browser for one file: while it is open an event loop runs in this thread, and no other can."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    assert program, "Chromium is missing; run: make services"
    with sync_playwright() as playwright:
        # As root there is no sandbox to be had; what is looked at here is our own server.
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield browser
        browser.close()
