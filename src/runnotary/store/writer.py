"""The one writer: a thread that seals what is asked for and puts all that waits into one commit.

Rules of this file:

1. A commit holds whatever queued while the last one ran: no timer, no delay. An idle home answers after one
   commit, a busy one shares each commit among hundreds.
2. Every stream is checked on its own. One that is not as long as expected comes back `conflict`; the others
   are written.
3. If a commit fails, its parts are tried one at a time, and whichever fails alone is refused as `failed`.
4. Sealing needs the head before it, so it happens in this thread (`streams.py`); the bytes are made once and
   never again.
5. The tree over the log grows in the commit. What was committed is signed afterwards, soon after a run has
   ended (`sealing.py`); the checkpoint rides in the next commit, or in its own if none comes.
6. A run is erased together with its tombstone, if its stream still ends where the tombstone says; nothing is
   ever appended to it again.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from time import perf_counter
from typing import Any, Final, TypeVar

import msgspec

from runnotary.core import chain
from runnotary.core.errors import Conflict, Damaged
from runnotary.core.events import By, Event
from runnotary.core.notes import PublicKey
from runnotary.ports import Append, Beside, Chance, Change, Clock, KeyEnd, Meter, Refusal, Signer
from runnotary.store.ballast import Ballast, is_full
from runnotary.store.commit import Commit
from runnotary.store.outside import Outside
from runnotary.store.room import Room
from runnotary.store.sealing import LEDGER, Sealing
from runnotary.store.small_blobs import SmallBlobs
from runnotary.store.sqlite import Durability, checkpoint, rewritten
from runnotary.store.statements import SQL
from runnotary.store.streams import Result, Streams, failed, unwritten

log = logging.getLogger("runnotary.store")

Made = TypeVar("Made")
Watcher = Callable[[Sequence[Change]], None]
_APPENDS_MAX: Final = 4_096
_IDLE_S: Final = 1.0
_LINGER_S: Final = 0.005


class Asked(msgspec.Struct, frozen=True):
    """A batch and whoever waits for it."""

    batch: Sequence[Append]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[list[Result]]
    beside: Beside | None = None


Job = Callable[[], None]
"""Something else to do in the writer's thread, between two commits."""


class Writer:
    """Owns the writing connection from `start` to `close`."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        chance: Chance,
        clock: Clock,
        blobs: SmallBlobs,
        *,
        signer: Signer,
        outside: Outside,
        durability: Durability,
    ) -> None:
        self._connection = connection
        self._clock = clock
        self._ballast = Ballast(outside.home)
        self._room = Room(outside.home)
        self._blobs = blobs
        self.meter: Meter | None = None
        self._outside = outside
        self._durability = durability
        self.sealing = Sealing(connection, signer, outside, self._note)
        """Checkpoints; to be used in `do` only."""
        self._queue: SimpleQueue[Asked | Job | None] = SimpleQueue()
        self._streams = Streams(connection, chance)
        self.position: int = connection.execute(SQL["last_pos"]).fetchone()[0]
        """The last position that was committed; to be read in any thread."""
        self._asked: list[Asked] = []
        self._rested = False
        self._closed = False
        self._watchers: list[tuple[asyncio.AbstractEventLoop, Watcher]] = []
        self._thread = threading.Thread(target=self._run, name="runnotary-writer", daemon=True)

    def start(self) -> None:
        self._ballast.fill()
        self._thread.start()

    def ask(self, batch: Sequence[Append], beside: Beside | None = None) -> asyncio.Future[list[Result]]:
        """Queue a batch. The future is the running loop's; cancelling it does not take the batch back."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[list[Result]] = loop.create_future()
        if self._closed:
            future.set_result([unwritten(append, "the store is closed") for append in batch])
        else:
            self._queue.put(Asked(batch, loop, future, beside))
        return future

    def do(self, job: Callable[[], Made]) -> asyncio.Future[Made]:
        """Do something in the writer's thread, after what was asked before; the future has its result."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Made] = loop.create_future()

        def done() -> None:
            try:
                made, wrong = job(), None
            except Exception as error:  # noqa: BLE001 - it is whoever asked who has to know
                made, wrong = None, error
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(_tell, future, made, wrong)

        if self._closed:
            future.set_exception(Conflict("the store is closed"))
        else:
            self._queue.put(done)
        return future

    def checkpoint(self) -> str:
        """Return a durable note that covers all that is committed; in the writer's thread only.

        Raises:
            Damaged: nothing may be signed any more.
            Conflict: nothing can be signed now.
        """
        self.sealing.sign(self._streams.tree)
        self._keep_note()
        if self.sealing.halted:
            raise Damaged([f"no checkpoint is signed any more: {self.sealing.halted}"])
        if self.sealing.size < self.position:
            raise Conflict("no checkpoint could be signed just now", hint="the log of the engine says why")
        return self.sealing.note

    def change_key(self, name: str, state: KeyEnd, by: By, reason: str) -> PublicKey:
        """Sign what there is with the key in use, and then change it; in the writer's thread only.

        Raises:
            Damaged: nothing may be signed any more.
        """
        self.checkpoint()
        new = self.sealing.change_key(name, state, by, reason)
        self.checkpoint()
        return new

    def scrub(self, at_most: int) -> bool:
        """Write the database anew, unless it is larger than that; in the writer's thread only."""
        return rewritten(self._connection, at_most)

    def cosigned(self, note: str) -> None:
        """Keep a note that a witness has signed too; from any thread."""

        def keep() -> None:
            self.sealing.cosigned(note)
            self._keep_note()

        self._queue.put(keep)

    def watch(self, called: Watcher) -> None:
        """Call `called` after each commit from now on, in the loop that is running now."""
        self._watchers.append((asyncio.get_running_loop(), called))

    def close(self) -> None:
        """Write what is queued, move the write-ahead log into the database, and end."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
            self._thread.join()

    # --- the thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        going = True
        while going:
            asked, jobs, going = self._next()
            if asked:
                self._asked = asked
                results = self._settle([append for one in asked for append in one.batch])
                _wake(asked, results)
                self._room.keep()
                self._sign()
            for job in jobs:
                with _outlived():
                    job()
        self._settle([])
        with _outlived():
            self.sealing.sign(self._streams.tree)
        self._keep_note()
        checkpoint(self._connection)
        self._connection.close()
        self._ballast.drop()
        self._outside.close()

    def _next(self) -> tuple[list[Asked], list[Job], bool]:
        """Wait for something to do, then take all of it. False: this was the last."""
        patience = _LINGER_S if self.sealing.pending else None if self._rested else _IDLE_S
        try:
            one = self._queue.get(timeout=patience)
        except Empty:
            self._rest()
            return [], [], True
        self._rested = False
        asked: list[Asked] = []
        jobs: list[Job] = []
        count = 0
        while one is not None:
            if isinstance(one, Asked):
                asked.append(one)
                count += len(one.batch)
            else:
                jobs.append(one)
            if count >= _APPENDS_MAX:
                return asked, jobs, True
            try:
                one = self._queue.get_nowait()
            except Empty:
                return asked, jobs, True
        return asked, jobs, False

    def _rest(self) -> None:
        """Use a moment in which nobody asks: first for a checkpoint, then for the files."""
        if not self.sealing.pending:
            self._sign()
        if self.sealing.pending:
            self._keep_note()
            return
        checkpoint(self._connection)
        self._ballast.fill()
        self._rested = True

    # --- checkpoints -----------------------------------------------------------------------------

    def _sign(self) -> None:
        with _outlived():
            if self.sealing.due(self.position):
                self.sealing.sign(self._streams.tree)

    def _keep_note(self) -> None:
        """Commit the row of a checkpoint by itself, durably whatever the setting is."""
        if not self.sealing.pending:
            return
        try:
            self._synchronous("full")
            self._connection.execute(SQL["begin"])
            self.sealing.keep()
            self._connection.execute(SQL["commit"])
        except sqlite3.Error as error:
            self._forget()
            log.warning("the checkpoint could not be kept: %s", error)
            self.sealing.dropped()
        else:
            self.sealing.kept()
        finally:
            self._synchronous(self._durability)

    def _synchronous(self, durability: Durability) -> None:
        if self._durability != "full":
            self._connection.execute(f"PRAGMA synchronous = {durability}")

    def _note(self, facts: tuple[Event, ...]) -> None:
        """Write facts into the home's ledger.

        Raises:
            Conflict, NotRecorded: they could not be written.
        """
        head = self._streams.end(LEDGER)
        append = Append(LEDGER, head.seq, facts, self._clock.now(), chain.ENGINE_ACTOR)
        (result,) = self._settle([append])
        if isinstance(result, Refusal):
            raise result.error("the ledger of the home refuses a fact")

    def _settle(self, appends: list[Append]) -> list[Result]:
        """Commit all of it; if that fails, each part on its own. A full disk makes the ballast give way."""
        full = True
        while full:
            try:
                return self._commit(appends, trusting=True)
            except Exception as error:  # noqa: BLE001 - the thread must outlive any batch; see below
                self._forget()
                full = is_full(error) and self._ballast.drop()
        return [self._alone(append) for append in appends]

    def _alone(self, append: Append) -> Result:
        try:
            return self._commit([append], trusting=False)[0]
        except Exception as error:  # noqa: BLE001 - as above
            self._forget()
            refusal = failed if isinstance(error, sqlite3.IntegrityError) else unwritten
            return refusal(append, str(error) or type(error).__name__)

    def _forget(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute(SQL["rollback"])
        self._streams.forget()

    # --- one commit ------------------------------------------------------------------------------

    def _commit(self, appends: list[Append], *, trusting: bool) -> list[Result]:
        commit, results = self._streams.draft(appends, trusting=trusting)
        leaving, blobs = self._blobs.take_leaving(), self._blobs.take()
        if commit.events or blobs or leaving:
            started = perf_counter()
            try:
                self._write(commit, blobs, leaving)
            except BaseException:
                self._blobs.give_back(blobs, leaving)
                raise
            self._blobs.settled(blobs)
            self._streams.remember(commit)
            if commit.log:
                self.position = commit.log[-1][0]
                self.sealing.wanted |= commit.ends
            self._tell_watchers(commit)
            if self.meter is not None:
                self.meter.committed(perf_counter() - started, len(commit.events))
                self.meter.kept(sum(len(data) for _, data in blobs))
        return results

    def _write(self, commit: Commit, blobs: list[tuple[bytes, bytes]], leaving: list[bytes]) -> None:
        commit.write(self._connection, blobs, leaving)
        rides = self.sealing.pending and self._durability == "full"
        if rides:
            self.sealing.keep()
        self._tell_meanwhile()
        self._connection.execute(SQL["commit"])
        if rides:
            self.sealing.kept()

    def _tell_watchers(self, commit: Commit) -> None:
        changes = commit.changes()
        for loop, called in self._watchers if changes else ():
            with suppress(RuntimeError):  # the loop is closed: nobody watches any more
                loop.call_soon_threadsafe(called, changes)

    def _tell_meanwhile(self) -> None:
        """Wake those who have something to do while the disk is at work. Earlier they would be in our way:
        of two threads that compute only one gets on.
        """
        asked, self._asked = self._asked, []
        for one in asked:
            if one.beside is not None:
                with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                    one.loop.call_soon_threadsafe(one.beside.meanwhile)


@contextmanager
def _outlived() -> Iterator[None]:
    try:
        yield
    except Exception:
        log.exception("the writer goes on after this")


def _tell(future: asyncio.Future[Any], made: Any, wrong: Exception | None) -> None:
    if future.done():
        return
    if wrong is not None:
        future.set_exception(wrong)
    else:
        future.set_result(made)


def _wake(asked: list[Asked], results: list[Result]) -> None:
    """Hand out the results: one call into each loop, however many wait in it."""
    by_loop: dict[asyncio.AbstractEventLoop, list[tuple[asyncio.Future[list[Result]], list[Result]]]] = {}
    start = 0
    for one in asked:
        end = start + len(one.batch)
        own = results[start:end]
        if one.beside is not None and not any(isinstance(result, Refusal) for result in own):
            one.beside.durable()
        by_loop.setdefault(one.loop, []).append((one.future, own))
        start = end
    for loop, answers in by_loop.items():
        with suppress(RuntimeError):  # the loop is closed: nobody waits, and what was written stays written
            loop.call_soon_threadsafe(_answer, answers)


def _answer(answers: list[tuple[asyncio.Future[list[Result]], list[Result]]]) -> None:
    for future, results in answers:
        if not future.done():
            future.set_result(results)
