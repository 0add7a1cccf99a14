"""The one writer: a thread that seals what is asked for and puts all that waits into one commit.

Rules of this file:

1. A commit holds whatever queued while the last one ran: no timer, no delay. An idle store answers after one
   commit, a busy one shares each commit among hundreds.
2. Every stream is checked on its own. One that is not as long as expected comes back `conflict`; the others
   are written.
3. If a commit fails, its parts are tried one at a time; a part is what was to follow in one stream. One that
   the database refuses by its content comes back `failed`; one for which there was no room, or that the disk
   refused, `unwritten`.
4. Sealing needs the head before it, so it happens in this thread (`streams.py`); the bytes are made once and
   never again.
5. The tree over the log grows in the commit. What was committed is signed afterwards, soon after a run has
   ended (`sealing.py`); the checkpoint rides in the next commit, or in its own if none comes.
6. A run is erased together with its tombstone, if its stream still ends where the tombstone says; nothing is
   ever appended to it again.

What a database needs besides is said by a class of its own (`sqlite_writer.py`, `postgresql/writer.py`).
"""

from __future__ import annotations

import asyncio
import logging
import threading
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from time import perf_counter
from typing import Final

from runnotary.core import chain
from runnotary.core.errors import Conflict, Damaged
from runnotary.core.events import By, Event
from runnotary.core.notes import PublicKey
from runnotary.ports import Append, Chance, Change, Clock, KeyEnd, Meter, Refusal, Signer
from runnotary.store.asking import Asked, Asking, wake
from runnotary.store.commit import Commit
from runnotary.store.connection import Connection, transaction
from runnotary.store.outside import Outside
from runnotary.store.sealing import LEDGER, Sealing
from runnotary.store.small_blobs import SmallBlobs
from runnotary.store.streams import Result, Streams, goes_on

log = logging.getLogger("runnotary.store")

Watcher = Callable[[Sequence[Change]], None]
_LINGER_S: Final = 0.005


class Writer:
    """Owns the writing connection from `start` to `close`."""

    idle_seconds: float = 1.0
    """How long nobody may have asked when there is time for other work."""

    def __init__(
        self,
        connection: Connection,
        chance: Chance,
        clock: Clock,
        blobs: SmallBlobs,
        *,
        signer: Signer,
        outside: Outside,
    ) -> None:
        self._connection = connection
        self._clock: Final = clock
        self._blobs: Final = blobs
        self.meter: Meter | None = None
        self._outside: Final = outside
        self.sealing: Final = Sealing(connection, signer, outside, self._note)
        """Checkpoints; to be used in `do` only."""
        self._asking: Final = Asking()
        self.ask: Final = self._asking.ask
        self.do: Final = self._asking.do
        self._streams: Final = Streams(connection, chance)
        self.position: int = connection.ask("last_pos").fetchone()[0]
        """The last position that was committed; to be read in any thread."""
        self._asked: list[Asked] = []
        self._rested = False
        self._watchers: list[tuple[asyncio.AbstractEventLoop, Watcher]] = []
        self._thread: Final = threading.Thread(target=self._run, name="runnotary-writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def checkpoint(self) -> str:
        """Return a durable note that covers all that is committed; in the writer's thread only.

        Raises:
            Damaged: nothing may be signed any more.
            Conflict: nothing can be signed now.
        """
        self._lead()
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

    def signed(self, text: str) -> str:
        """Return the manifest of a bundle as a signed note; in the writer's thread only.

        Raises:
            Damaged: nothing may be signed any more.
        """
        self._lead()
        return self.sealing.signed(text)

    @abstractmethod
    def scrub(self, at_most: int) -> bool:
        """Write the database anew, unless it is larger than that; in the writer's thread only."""

    def cosigned(self, note: str) -> None:
        """Keep a note that a witness has signed too; from any thread."""

        def keep() -> None:
            self.sealing.cosigned(note)
            self._keep_note()

        self._asking.put(keep)

    def watch(self, called: Watcher) -> None:
        """Call `called` after each commit from now on, in the loop that is running now."""
        self._watchers.append((asyncio.get_running_loop(), called))

    def close(self) -> None:
        """Write what is queued, and end."""
        if self._asking.close():
            self._thread.join()

    # --- what a database needs besides ------------------------------------------------------------

    def is_alone(self) -> bool:
        """Tell whether nobody else writes to the record; in the writer's thread only."""
        return True

    def _lead(self) -> None:
        """See that this writer gives positions and signs; of several on one database one does."""

    def _leads(self) -> bool:
        return True

    @abstractmethod
    def _again(self, error: Exception) -> bool:
        """Tell whether a batch that failed so may be tried again as a whole, after doing what that needs."""

    @abstractmethod
    def _refusal(self, append: Append, error: Exception) -> Refusal:
        """Return what it means that an append could not be written, alone."""

    def _durably(self, on: bool) -> None:
        """Let a commit be durable whatever the setting is, or not any more."""

    def _committed(self) -> None:
        """Do what follows a commit, before anybody asks again."""

    def _idle(self) -> bool:
        """Use a moment in which nobody asks; True if nothing is to be done before somebody does."""
        return True

    @abstractmethod
    def _end(self) -> None:
        """Let go of the database."""

    # --- the thread ------------------------------------------------------------------------------

    def _run(self) -> None:
        going = True
        while going:
            patience = _LINGER_S if self.sealing.pending else None if self._rested else self.idle_seconds
            found = self._asking.next(patience)
            if found is None:
                with _outlived():
                    self._rest()
                continue
            asked, jobs, going = found
            self._rested = False
            if asked:
                self._asked = asked
                results = self._settle([append for one in asked for append in one.batch])
                wake(asked, results)
                self._committed()
                self._sign()
            for job in jobs:
                with _outlived():
                    job()
        self._settle([])
        if self._leads():
            with _outlived():
                self.sealing.sign(self._streams.tree)
            self._keep_note()
        with _outlived():
            self._end()
        self._outside.close()

    def _rest(self) -> None:
        """Use a moment in which nobody asks: first for a checkpoint, then for the files."""
        if not self.sealing.pending:
            self._sign()
        if self.sealing.pending:
            self._keep_note()
            return
        self._rested = self._idle()

    # --- checkpoints -----------------------------------------------------------------------------

    def _sign(self) -> None:
        with _outlived():
            if self._leads() and self.sealing.due(self.position):
                self.sealing.sign(self._streams.tree)

    def _keep_note(self) -> None:
        """Commit the row of a checkpoint by itself, durably whatever the setting is."""
        if not self.sealing.pending:
            return
        try:
            self._durably(True)
            with transaction(self._connection):
                self._guard()
                self.sealing.keep()
        except self._connection.Error as error:
            self._forget()
            log.warning("the checkpoint could not be kept: %s", error)
            self.sealing.dropped()
        else:
            self.sealing.kept()
        finally:
            self._durably(False)

    def _guard(self) -> None:
        """Let the transaction fail if this writer may not give positions any more."""

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

    # --- one commit ------------------------------------------------------------------------------

    def _settle(self, appends: list[Append]) -> list[Result]:
        """Commit all of it; if that fails, what follows in each stream on its own."""
        trusting = going = True
        while going:
            try:
                return self._commit(appends, trusting=trusting)
            except Exception as error:  # noqa: BLE001 - the thread must outlive any batch; see below
                self._forget()
                trusting, going = False, self._again(error)
        return [result for part in _parts(appends) for result in self._alone(part)]

    def _alone(self, part: list[Append]) -> list[Result]:
        wrong: Exception | None = None
        while wrong is None:
            try:
                return self._commit(part, trusting=False)
            except Exception as error:  # noqa: BLE001 - as above
                self._forget()
                wrong = self._final(error)
        return [self._refusal(append, wrong) for append in part]

    def _final(self, error: Exception) -> Exception | None:
        """Return why something cannot be written; None if it may be tried again."""
        try:
            return None if self._again(error) else error
        except Exception as worse:  # noqa: BLE001 - as above
            return worse

    def _forget(self) -> None:
        if self._connection.in_transaction:
            with suppress(self._connection.Error):
                self._connection.ask("rollback")
        self._streams.forget()

    def _commit(self, appends: list[Append], *, trusting: bool) -> list[Result]:
        commit, results = self._draft(appends, trusting=trusting)
        leaving, blobs = self._blobs.take_leaving(), self._blobs.take()
        if commit.log or blobs or leaving:
            started = perf_counter()
            try:
                self._write(commit, blobs, leaving)
            except BaseException:
                self._blobs.give_back(blobs, leaving)
                raise
            self._blobs.settled(blobs)
            self._streams.remember(commit)
            if commit.log and commit.placed:
                self.position = commit.log[-1][0]
                self.sealing.wanted |= commit.ends
            self._tell_watchers(commit.changes())
            if self.meter is not None:
                self.meter.committed(perf_counter() - started, len(commit.events))
                self.meter.kept(sum(len(data) for _, data in blobs))
        return results

    def _draft(self, appends: list[Append], *, trusting: bool) -> tuple[Commit, list[Result]]:
        return self._streams.draft(appends, trusting=trusting)

    @abstractmethod
    def _write(self, commit: Commit, blobs: list[tuple[bytes, bytes]], leaving: list[bytes]) -> None:
        """Commit; on return all of it is durable."""

    def _tell_watchers(self, changes: Sequence[Change]) -> None:
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


def _parts(appends: Sequence[Append]) -> list[list[Append]]:
    """Return what may be written one without the other: never the events of one turn of a run."""
    parts: list[list[Append]] = []
    for append in appends:
        if goes_on(append, parts[-1][-1] if parts else None):
            parts[-1].append(append)
        else:
            parts.append([append])
    return parts


@contextmanager
def _outlived() -> Iterator[None]:
    try:
        yield
    except Exception:
        log.exception("the writer goes on after this")
