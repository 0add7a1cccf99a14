"""One home and the parts over it: a reader for questions, an engine for work.

A home has at most one engine; the lock is a `flock` on `<home>/lock`, so it frees itself however the engine
dies. The socket of a live engine is named by the file `<home>/engine` and lies in the same private runtime
directory as the keeper's. Reading needs neither.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import msgspec

from runnotary.app import stores
from runnotary.app.seats import LOCK, Seat, attempt_folder, free_seat, held, is_free, seat_of
from runnotary.app.system import SystemChance, SystemClock
from runnotary.config import Settings
from runnotary.core import definition
from runnotary.core.errors import HomeLocked
from runnotary.core.flow import Flow
from runnotary.core.profile import PROFILES, Profile
from runnotary.engine.access import Access
from runnotary.engine.loop import Engine
from runnotary.engine.parts import Parts
from runnotary.engine.proofs import Proofs
from runnotary.engine.questions import Questions
from runnotary.engine.reader import Reader
from runnotary.engine.service import Service
from runnotary.executors.process import rendezvous
from runnotary.executors.process.executor import ProcessExecutor, ProcessSettings
from runnotary.executors.process.several import Inherited, SeveralExecutors
from runnotary.executors.secrets import Secrets
from runnotary.ports import Blobs
from runnotary.store.blobs import LocalBlobs
from runnotary.store.records import Records

Json = Any
FLOWS_HELD: Final = 256


class Flows:
    """Definitions by digest, compiled; the most recent ones stay in memory."""

    def __init__(self, blobs: Blobs) -> None:
        self._blobs: Final = blobs
        self._compiled = lru_cache(FLOWS_HELD)(self._compile)

    def __call__(self, digest: str) -> Flow:
        return self._compiled(digest)

    def _compile(self, digest: str) -> Flow:
        return definition.compile(msgspec.json.decode(self._blobs.get(digest)))


class HomeFiles:
    """Where bytes of a home lie as files."""

    def __init__(self, home: Path, blobs: LocalBlobs) -> None:
        self._home: Final = home.absolute()
        self._blobs: Final = blobs

    def stream(self, attempt: str, kind: str) -> Path:
        """Return where a running attempt writes `stdout` or `stderr`."""
        return attempt_folder(self._home, attempt) / kind

    def blob(self, digest: str) -> Path | None:
        """Return the file that a large blob is."""
        path = self._blobs.path(digest)
        return path if path.is_file() else None


def proofs_of(settings: Settings, store: Records, parts: Parts, reader: Reader) -> Proofs:
    """Return what a home can prove."""

    def check(**words: Json) -> Json:
        from runnotary.app.verifying import checked

        return checked(settings, **words)

    return Proofs(store, parts, Questions(reader, HomeFiles(settings.home, store.blobs)), check)


def store_of(reader: Reader) -> Records:
    """Return the store that a reader of a record here reads."""
    assert isinstance(reader.store, Records)
    return reader.store


@contextmanager
def reading(settings: Settings) -> Iterator[Reader]:
    """Open the home for questions.

    Raises:
        RunNotFound: nothing was ever recorded there. RolledBack: what was is gone, or older.
    """
    store = stores.opened_read_only(settings)
    try:
        yield Reader(store, store.blobs, Flows(store.blobs))
    finally:
        store.close()


class Embedded:
    """An engine in this process, holding its folder's lock from `open` to `close`.

    The folder is the home or, if several servers share a database, one of our own in it.
    """

    def __init__(self, settings: Settings, *, serves: bool = False) -> None:
        """Take the lock and connect the parts; the event loop must be running.

        `serves`: it lasts, and goes on with runs that other servers left.

        Raises:
            HomeLocked: another engine holds the home.
        """
        self.settings: Final = settings
        self._seat: Final = free_seat(settings.home) if settings.shared else locked(settings.home)
        self.folder: Final = self._seat.folder
        self._threads: Final = ThreadPoolExecutor(thread_name_prefix="home")
        asyncio.get_running_loop().set_default_executor(self._threads)
        clock, chance = SystemClock(), SystemChance()
        try:
            self.store: Final = stores.opened(settings, self._seat, serves=serves)
        except BaseException:
            self._seat.close()
            raise
        self.blobs: Final = self.store.blobs
        flows = Flows(self.blobs)
        own = self._executor(self.folder)
        self.executor: Final = (
            SeveralExecutors(self._seat.name, own, self._inherit) if settings.shared else own
        )
        parts = Parts(self.store, self.blobs, clock, chance, flows, profile_of(settings))
        self.parts: Final = parts
        self.access: Final = Access(parts)
        place = self._seat.name if settings.shared else ""
        self.engine: Final = Engine(parts, self.executor, slots=settings.slots, place=place)
        self.engine.open()
        if settings.shared:
            self.store.watch(self.access.grown)
        self.service: Final = Service(
            self.engine,
            parts,
            durability=settings.durability,
            caller_of=lambda by: self.access.who(by).caller,
        )
        self.reader: Final = Reader(self.store, self.blobs, flows)
        self.proofs: Final = proofs_of(settings, self.store, parts, self.reader)

    async def close(self) -> None:
        """Let go of the home; attempts that run live on under the keeper."""
        await self.engine.close()
        await self.executor.close()
        await self._threads_ended()
        self.store.close()
        self._seat.close()

    def _executor(self, folder: Path) -> ProcessExecutor:
        settings = self.settings
        return ProcessExecutor(
            folder,
            self.blobs,
            Secrets(command=settings.secret_command.split()),
            settings=ProcessSettings(log_limit=settings.log_limit),
        )

    def _inherit(self, name: str) -> Inherited | None:
        """Take the folder of a server that is gone, with its keeper."""
        seat = seat_of(self.settings.home, name)
        return Inherited(self._executor(seat.folder), seat.close) if seat is not None else None

    async def _threads_ended(self) -> None:
        """Wait for what still reads or writes in threads, though nobody waits for it any more.

        A connection that is closed while another thread reads from it takes the process with it.
        """
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor())  # for what else is done in this loop
        await loop.run_in_executor(None, self._threads.shutdown)


def profile_of(settings: Settings) -> Profile:
    """Return what is demanded of everybody: by the profile, and by settings that make it stricter."""
    profile = PROFILES[settings.profile]
    allowed = profile.self_approval and settings.self_approval == "allowed"
    return msgspec.structs.replace(profile, self_approval=allowed)


def locked(home: Path) -> Seat:
    """Take a home for this process; closing what is returned lets go of it.

    Raises:
        HomeLocked: another engine works there.
    """
    home.mkdir(parents=True, exist_ok=True)
    seat = held(home)
    if seat is None:
        raise HomeLocked(f"another engine works in {home}")
    return seat


def is_locked(home: Path) -> bool:
    """Tell whether an engine works in the home now; asking stands in nobody's way."""
    return (home / LOCK).exists() and not is_free(home)


def engine_socket(home: Path) -> Path:
    """Return where the engine of a home listens, in a private directory that is made and checked."""
    return Path(rendezvous.socket_of(str(home), os.environ)).parent / "engine.sock"
