"""`runnotary up`: a home, its engine and everything that is served of it, in one process.

    LocalSession (home, engine, socket for commands here) → Operations → Application → uvicorn

Rules of this file:

1. Who may speak to the server is settled before the port is open: without credentials it serves this
   machine only.
2. SIGTERM and SIGINT: no new step, feeds end, requests under way finish; attempts live on under the keeper. A
   second signal does not wait for requests.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from functools import partial
from typing import Final, NamedTuple

import uvicorn
import uvloop
from starlette.types import ASGIApp

from runnotary.app.addresses import announced
from runnotary.app.exporting import Exporting
from runnotary.app.home import Embedded, HomeFiles
from runnotary.app.observing import observed
from runnotary.app.reporting import lines
from runnotary.app.session import LocalSession
from runnotary.app.system import SystemChance, SystemClock, operating_user, settle_memory
from runnotary.config import Settings
from runnotary.core.errors import Conflict, InvalidInput, RunnotaryError, Unreachable
from runnotary.core.events import By
from runnotary.engine.operations import Operations
from runnotary.server.application import Application
from runnotary.server.connections import Connection
from runnotary.server.guards import admit_all, check_local, is_loopback, origins_of
from runnotary.server.identity import Identity
from runnotary.server.metrics import Metrics
from runnotary.web.mounting import SignedIn, routes
from runnotary.web.sessions import Sessions
from runnotary.web.visit import Site

GRACE_S: Final = 10
PORT_MAX: Final = 65535
BACKLOG: Final = 2048

log = logging.getLogger("runnotary.server")


class Served(NamedTuple):
    """An ASGI application.

    Setting `closing` ends the feeds that would go on for ever; `release` answers who waits for a run's end.
    """

    app: ASGIApp
    closing: asyncio.Event
    release: Callable[[], None]


def operations_of(home: Embedded) -> Operations:
    """Return the facade of a home; the event loop must be running."""
    files = HomeFiles(home.settings.home, home.blobs)
    exporting = Exporting(home.store, home.reader)
    return Operations(home.service, home.access, home.reader, files, exporting, home.proofs)


def served(home: Embedded, *, local: By | None, metrics: Metrics | None = None) -> Served:
    """Return what is served of a home. `local` is whom requests without credentials are taken for."""
    settings, clock = home.settings, SystemClock()
    identity = Identity(home.access, settings, clock, local=local)
    operations = operations_of(home)
    admit = partial(check_local, allowed_origins=origins_of(settings.cors_origins)) if local else admit_all
    site = Site(operations, identity.of, admit, Sessions(SystemChance().token), clock.now)
    application = Application(
        operations,
        identity,
        settings,
        admit=admit,
        incoming=home.blobs.incoming,
        metrics=metrics,
        mounted=routes(site),
    )
    return Served(SignedIn(application.app, site), application.closing, operations.release)


def serve(settings: Settings, *, ready: Callable[[str, str], None]) -> None:
    """Serve a home until a signal comes. `ready` is told the address, and in words who may ask.

    Raises:
        HomeLocked: another engine works in the home.
        InvalidInput: the address would let anybody in, or cannot be listened on.
    """
    if settings.port > PORT_MAX:
        raise InvalidInput(f"there is no port {settings.port}", hint=f"ports go up to {PORT_MAX}")
    runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    with lines(settings.log_format, settings.log_level), runner:
        runner.run(_served(settings, ready))


async def _served(settings: Settings, ready: Callable[[str, str], None]) -> None:
    async with AsyncExitStack() as held:
        session = await LocalSession.open(settings, serves=True)
        held.push_async_callback(session.close)
        local, mode = _mode(settings, session.home)
        listening = _listening(settings)
        held.callback(listening.close)
        metrics = await held.enter_async_context(observed(settings, session.home))
        serving = served(session.home, local=local, metrics=metrics)
        server = _Server(
            uvicorn.Config(
                serving.app,
                http=Connection,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                backlog=BACKLOG,
                timeout_graceful_shutdown=GRACE_S,
            )
        )
        held.enter_context(_signals(lambda: _stop(server, serving, session)))
        settle_memory()
        # The port is open: who asks before the server answers waits for it.
        held.enter_context(announced(session.home.folder, _address(listening)))
        answering = asyncio.ensure_future(server.serve(sockets=[listening]))
        while not (server.started or answering.done()):
            await asyncio.sleep(0.005)
        if server.started:
            ready(_address(listening), mode)
            held.push_async_callback(_ended, asyncio.ensure_future(adopt_all(session.home)))
        await answering


def _mode(settings: Settings, home: Embedded) -> tuple[By | None, str]:
    """Return whom requests without credentials are taken for, and who may ask, in words.

    Raises:
        InvalidInput: anybody could come in.
    """
    if Identity(home.access, settings, SystemClock()).configured:
        return None, "callers bring a token"
    if not home.parts.profile.local_owner:
        raise InvalidInput(
            f"under the profile {home.parts.profile.name} nobody comes in without credentials",
            hint="make a token first (runnotary token create), or name an identity provider (oidc_issuer)",
        )
    if not is_loopback(settings.host):
        raise InvalidInput(
            f"{settings.host} can be reached by others, and nothing says who may come in",
            hint="make a token first (runnotary token create), name an identity provider (oidc_issuer), "
            "or listen on 127.0.0.1",
        )
    owner = operating_user()
    return owner, f"local owner: whoever asks on this machine is {owner.principal}"


class _Server(uvicorn.Server):
    """A server that leaves signals to us: it would raise them again at its end."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _stop(server: uvicorn.Server, serving: Served, session: LocalSession) -> None:
    server.force_exit = server.should_exit
    server.should_exit = True
    session.drain()
    serving.closing.set()
    serving.release()


@contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


def _listening(settings: Settings) -> socket.socket:
    """Return a socket that listens on the address of the settings.

    Raises:
        InvalidInput: there is no such address. Conflict: somebody listens there already.
    """
    try:
        family, kind, proto, _, place = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (OSError, UnicodeError) as wrong:
        raise InvalidInput(f"host {settings.host}: {wrong}") from None
    listening = socket.socket(family, kind, proto)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(place)
        listening.listen(BACKLOG)
    except OSError as wrong:
        listening.close()
        where = f"{settings.host}:{settings.port}"
        raise Conflict(
            f"cannot listen on {where}: {wrong.strerror}", hint="choose another: --port N"
        ) from None
    listening.setblocking(False)
    return listening


def _address(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


async def adopt_all(home: Embedded) -> None:
    """Go on with every run that an earlier engine left open."""
    for run in home.store.open_runs():
        try:
            await home.engine.adopt(run)
        except Unreachable:
            home.engine.taken([run])
        except RunnotaryError as refusal:
            log.warning("a run cannot go on: %s", refusal.message)


async def _ended(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
