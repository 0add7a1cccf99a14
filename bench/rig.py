"""A home to measure in: the product as it is, or the engine over ports that a comparison replaces."""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from bench.ports import InstantExecutor, NullStore
from runnotary import config
from runnotary.app.home import Embedded, Flows
from runnotary.app.signing import HomeKey
from runnotary.app.system import SystemChance, SystemClock, settle_memory
from runnotary.config import Settings
from runnotary.core import definition
from runnotary.core.events import By
from runnotary.core.permissions import local_owner
from runnotary.engine.loop import Engine
from runnotary.engine.parts import Parts
from runnotary.engine.service import Service, Submission
from runnotary.ports import Blobs, Store
from runnotary.store.log import SqliteStore
from runnotary.store.postgresql.servers import Server
from runnotary.store.postgresql.store import PostgresStore
from runnotary.store.records import Records

Json = Any
BY = By("user:bench", "os-user")


class Place:
    """An engine with its service and blobs: what a workload needs."""

    def __init__(self, engine: Engine, service: Service, blobs: Blobs, store: Store) -> None:
        self.engine = engine
        self.service = service
        self.blobs = blobs
        self.store = store

    def keep(self, document: Json) -> str:
        """Check a flow and keep its definition; returns the digest."""
        return self.blobs.put(definition.define(document).canonical)

    async def one(self, flow: str) -> bytes:
        """Submit a run and wait for its end; both are durable then."""
        run, _ = await self.service.submit(Submission(definition=flow), BY)
        await self.engine.ended(run)
        return run

    async def many(self, flow: str, number: int) -> None:
        """Submit this many at once and wait for all."""
        await asyncio.gather(*[self.one(flow) for _ in range(number)])

    async def took(self, flow: str, number: int = 1) -> float:
        """Seconds from the first submission to the last end."""
        started = time.perf_counter()
        if number == 1:
            await self.one(flow)
        else:
            await self.many(flow, number)
        return time.perf_counter() - started


def settings_in(home: str | Path, url: str = "") -> Settings:
    """The default settings, with the home in a folder of the bench; and the address of a shared database."""
    given = {"home": str(home), **({"database_url": url} if url else {})}
    return config.load(given, environ={}, cwd=Path(home).parent)


def new_home(folder: str) -> Path:
    """A path for a home that does not exist yet."""
    return Path(tempfile.mkdtemp(dir=folder)) / "home"


@asynccontextmanager
async def embedded(home: Path) -> AsyncIterator[Place]:
    """Open the product on a home."""
    async with _opened(Embedded(settings_in(home))) as place:
        yield place


@asynccontextmanager
async def shared(home: Path, url: str) -> AsyncIterator[Place]:
    """Open the product as a server of a shared database."""
    async with _opened(Embedded(settings_in(home, url), serves=True)) as place:
        yield place


@asynccontextmanager
async def _opened(opened: Embedded) -> AsyncIterator[Place]:
    settle_memory()  # as a server does
    try:
        yield Place(opened.engine, opened.service, opened.blobs, opened.store)
    finally:
        await opened.close()


@asynccontextmanager
async def replaced(home: Path, *, log: bool, slots: int = 8, url: str = "") -> AsyncIterator[Place]:
    """Open the real engine with attempts that end at once; without `log`, over a store that keeps nothing."""
    clock, chance = SystemClock(), SystemChance()
    real = _store_in(home, clock, chance, url)
    store: Store = real if log else NullStore()
    parts = Parts(store, real.blobs, clock, chance, Flows(real.blobs))
    engine = Engine(parts, InstantExecutor(), slots=slots)
    engine.open()
    service = Service(engine, parts, durability="full", caller_of=lambda by: local_owner(by.principal))
    try:
        yield Place(engine, service, real.blobs, store)
    finally:
        await engine.close()
        real.close()


def _store_in(home: Path, clock: SystemClock, chance: SystemChance, url: str) -> Records:
    signer = HomeKey(home)
    if not url:
        return SqliteStore.open(home, clock=clock, chance=chance, signer=signer)
    server = Server("bench", "bench")
    return PostgresStore.open(url, home, server=server, clock=clock, chance=chance, signer=signer)
