"""The clients of `runnotary`: those of `client/`, which can also open a home and read flow files.

A home is opened in this process, and with it everything that a server offers. Nothing of the engine is
imported before a home is named, nor of the readers of flow files before one of those is.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from os import PathLike, environ, fspath
from pathlib import Path
from typing import Protocol

import httpx2

from runnotary import client, config
from runnotary.client.loading import Loaded
from runnotary.core.errors import InvalidInput

Home = str | PathLike[str]


class Opened(Protocol):
    """A home, reached by a client: in this process, or where the engine that works there serves HTTP."""

    url: str | None
    transport: httpx2.BaseTransport | None
    async_transport: httpx2.AsyncBaseTransport | None

    def close(self) -> None:
        """Let go of it; the last client in this process that does closes the home."""


def loaded(path: Path) -> Loaded:
    """Read a flow file with everything that is its code.

    Raises:
        FileMissing, InvalidDefinition: with every problem of the file.
    """
    flow: Loaded = import_module("runnotary.app.flow_files").loaded(path)
    return flow


class OfHome:
    """What a client that may have a home is, with asyncio or without."""

    _home: Opened | None = None

    def _opened(self, url: str | None, home: Home | None, transport: object) -> Opened | None:
        """Open the home that is meant, or join whoever in this process has; None if a server is meant."""
        settings = home_of(url, home, transport, environ)
        if settings is not None:
            self._home = import_module("runnotary.app.embedding").opened(settings)
        return self._home


class Client(OfHome, client.Client):
    """A server of runs, or a home in this process. Open it with `with`, or `close()` it.

    `url` names a server, `home` the folder of a home. With neither it is RUNNOTARY_URL, else the home that a
    command here would use. `token` (RUNNOTARY_TOKEN) says who asks, `timeout` is in seconds and for one
    request, `transport` sends requests in a way of your own. Several clients in a process may share a home.

    Raises:
        InvalidInput: both a server and a home.
        HomeLocked: the engine of another process works in the home, and serves no HTTP.
    """

    load = staticmethod(loaded)

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        home: Home | None = None,
        timeout: float = 30.0,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        if opened := self._opened(url, home, transport):
            url, transport = opened.url, opened.transport
        super().__init__(url, token=token, timeout=timeout, transport=transport)

    def close(self) -> None:
        """Hang up, and let go of the home."""
        super().close()
        if self._home is not None:
            self._home.close()


class AsyncClient(OfHome, client.AsyncClient):
    """The same for asyncio. Open it with `async with`, or `await close()` it.

    A home is opened in the constructor, which takes as long as a few reads of the disk.

    Raises:
        InvalidInput: both a server and a home.
        HomeLocked: the engine of another process works in the home, and serves no HTTP.
    """

    load = staticmethod(loaded)

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        home: Home | None = None,
        timeout: float = 30.0,
        transport: httpx2.AsyncBaseTransport | None = None,
    ) -> None:
        if opened := self._opened(url, home, transport):
            url, transport = opened.url, opened.async_transport
        super().__init__(url, token=token, timeout=timeout, transport=transport)

    async def close(self) -> None:
        """Hang up, and let go of the home."""
        await super().close()
        if self._home is not None:
            await self._connection.beside(self._home.close)


def home_of(
    url: str | None, home: Home | None, transport: object, environ: Mapping[str, str]
) -> config.Settings | None:
    """Return the settings of the home that is meant; None if a server is, or whatever a transport leads to.

    Raises:
        InvalidInput: a home is named, and something else too.
    """
    if home is not None:
        if url is not None or transport is not None:
            raise InvalidInput("a client asks a server or opens a home: give `url` or `home`")
        return config.load({"home": fspath(home)}, environ=environ)
    if url is not None or transport is not None:
        return None
    settings = config.load({}, environ=environ)
    return None if settings.url else settings
