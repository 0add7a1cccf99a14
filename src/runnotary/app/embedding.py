"""A home opened by clients in this process: its engine and everything a server offers, only without a port.

All clients of a process on one home share it; the last that closes lets go of it. Where another process works
in the home and serves HTTP, that server is the home.
"""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Final

import httpx2

from runnotary.app.addresses import address_of
from runnotary.app.in_process import App, AsyncInProcessTransport, InProcessTransport, LoopThread
from runnotary.app.serving import adopt_all, served
from runnotary.app.session import LocalSession
from runnotary.app.system import operating_user
from runnotary.config import Settings
from runnotary.core.errors import HomeLocked

PATIENCE_SECONDS: Final = 2.0
"""How long a home may stay locked: whoever has it may be ending, or may be about to serve."""
PAUSE_SECONDS: Final = 0.05


class EmbeddedHome:
    """A home with its engine in a thread of its own. `users` is for whoever shares it."""

    def __init__(self, settings: Settings) -> None:
        """Open it.

        Raises:
            HomeLocked: another engine works there.
        """
        self.users = 0
        self.thread: Final = LoopThread()
        try:
            self.app: Final = self.thread.run(self._opened(settings))
        except BaseException:
            self.thread.close()
            raise

    async def _opened(self, settings: Settings) -> App:
        self._session = await LocalSession.open(settings, serves=True)
        serving = served(self._session.home, local=operating_user())
        self._closing = serving.closing
        self._adopting = asyncio.ensure_future(adopt_all(self._session.home))
        return serving.app

    def close(self) -> None:
        """Start no new step, end what follows, and let go of the home; attempts live on."""
        self.thread.run(self._closed())
        self.thread.close()

    async def _closed(self) -> None:
        self._closing.set()
        self._session.drain()
        self._adopting.cancel()
        await asyncio.gather(self._adopting, return_exceptions=True)
        await self._session.close()


class SharedHome:
    """A client's part in a home of this process."""

    url = None

    def __init__(self, home: EmbeddedHome, path: Path) -> None:
        self.transport: Final[httpx2.BaseTransport | None] = InProcessTransport(home.thread, home.app)
        self.async_transport: Final[httpx2.AsyncBaseTransport | None] = AsyncInProcessTransport(
            home.thread, home.app
        )
        self._home: EmbeddedHome | None = home
        self._path: Final = path

    def close(self) -> None:
        """Leave the home; the last one closes it."""
        with _lock:
            home, self._home = self._home, None
            if home is None:
                return
            home.users -= 1
            if not home.users:
                del _homes[self._path]
                home.close()


class ServedHome:
    """A home that another process serves."""

    transport = None
    async_transport = None

    def __init__(self, url: str) -> None:
        self.url: Final[str | None] = url

    def close(self) -> None:
        """Leave it as it is."""


_homes: Final[dict[Path, EmbeddedHome]] = {}
_lock: Final = threading.Lock()


def opened(settings: Settings) -> SharedHome | ServedHome:
    """Open a home, join whoever in this process has, or find who serves it.

    Raises:
        HomeLocked: another process works in it, and serves no HTTP.
    """
    path = settings.home.resolve()
    deadline = time.monotonic() + PATIENCE_SECONDS
    with _lock:
        while True:
            try:
                if path not in _homes:
                    _homes[path] = EmbeddedHome(settings)
                _homes[path].users += 1
                return SharedHome(_homes[path], path)
            except HomeLocked as locked:
                if url := address_of(settings.home):
                    return ServedHome(url)
                if time.monotonic() > deadline:
                    raise HomeLocked(
                        locked.message, hint="let a server have it (runnotary up): many may ask that"
                    ) from None
            time.sleep(PAUSE_SECONDS)
