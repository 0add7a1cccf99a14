"""The one writer: a thread that seals what is asked for and puts all that waits into one commit.

Rules of this file:

1. A commit holds whatever queued while the last one ran: no timer, no delay. An idle home answers after one
   commit, a busy one shares each commit among hundreds.
2. Every stream is checked on its own. One that is not as long as expected comes back `conflict`; the others
   are written.
3. If a commit fails, its parts are tried one at a time, and whichever fails alone is refused as `failed`.
4. Sealing needs the head before it, so it happens here; the bytes are made once and never again.
5. What is remembered between commits (heads, the last position) is only ever a copy of what is committed,
   and is dropped whenever something unexpected happens.
6. A run is erased together with its tombstone, if its stream still ends where the tombstone says; nothing is
   ever appended to it again.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from time import perf_counter
from typing import Final

import msgspec

from runnotary.core import chain
from runnotary.core.events import BODY_MAX
from runnotary.ports import Append, Appended, Beside, Chance, Change, Erasure, Meter, Refusal
from runnotary.store.ballast import Ballast, is_full
from runnotary.store.projections import Drafts
from runnotary.store.room import Room
from runnotary.store.small_blobs import SmallBlobs
from runnotary.store.sqlite import checkpoint
from runnotary.store.statements import SQL

Result = Appended | Refusal
Watcher = Callable[[Sequence[Change]], None]
_HEADS_MAX: Final = 16_384
_APPENDS_MAX: Final = 4_096
_IDLE_S: Final = 1.0


class Head(msgspec.Struct, frozen=True):
    """The end of a stream: what the next event is chained to."""

    seq: int
    hash: bytes
    at: int


_EMPTY: Final = Head(0, chain.GENESIS, 0)


class Asked(msgspec.Struct, frozen=True):
    """A batch and whoever waits for it."""

    batch: Sequence[Append]
    loop: asyncio.AbstractEventLoop
    future: asyncio.Future[list[Result]]
    beside: Beside | None = None


class _Commit:
    """What one commit will hold."""

    __slots__ = ("erased", "events", "heads", "log", "rows", "spans")

    def __init__(self) -> None:
        self.events: list[tuple[bytes, int, bytes, bytes]] = []
        self.heads: dict[bytes, Head] = {}
        self.spans: dict[bytes, tuple[int, int]] = {}
        self.rows = Drafts()
        self.erased: dict[bytes, Erasure] = {}
        self.log: list[tuple[int, bytes, int, int, bytes]] = []

    def close_log(self) -> None:
        for stream, (pos, from_seq) in self.spans.items():
            head = self.heads[stream]
            self.log.append((pos, stream, from_seq, head.seq, head.hash))


class Writer:
    """Owns the writing connection from `start` to `close`."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        chance: Chance,
        blobs: SmallBlobs,
        *,
        ballast: Ballast,
        room: Room,
    ) -> None:
        self._connection = connection
        self._ballast = ballast
        self._room = room
        self._chance = chance
        self._blobs = blobs
        self.meter: Meter | None = None
        self._queue: SimpleQueue[Asked | None] = SimpleQueue()
        self._heads: dict[bytes, Head] = {}
        self._pos: int | None = None
        self.position: int = connection.execute(SQL["last_pos"]).fetchone()[0]
        """The last position that was committed; to be read in any thread."""
        self._asked: list[Asked] = []
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
            future.set_result([_failed(append, "the store is closed") for append in batch])
        else:
            self._queue.put(Asked(batch, loop, future, beside))
        return future

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
            asked, going = self._next()
            if asked:
                self._asked = asked
                results = self._settle([append for one in asked for append in one.batch])
                _wake(asked, results)
                self._room.keep()
        self._settle([])
        checkpoint(self._connection)
        self._connection.close()
        self._ballast.drop()

    def _next(self) -> tuple[list[Asked], bool]:
        """Wait for something to do, then take all of it. False: this was the last."""
        try:
            one = self._queue.get(timeout=_IDLE_S)
        except Empty:
            checkpoint(self._connection)
            self._ballast.fill()
            one = self._queue.get()
        asked: list[Asked] = []
        count = 0
        while one is not None:
            asked.append(one)
            count += len(one.batch)
            if count >= _APPENDS_MAX:
                return asked, True
            try:
                one = self._queue.get_nowait()
            except Empty:
                return asked, True
        return asked, False

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
            return _failed(append, str(error) or type(error).__name__)

    def _forget(self) -> None:
        if self._connection.in_transaction:
            self._connection.execute(SQL["rollback"])
        self._heads.clear()
        self._pos = None

    # --- one commit ------------------------------------------------------------------------------

    def _commit(self, appends: list[Append], *, trusting: bool) -> list[Result]:
        commit = _Commit()
        nonces = self._chance.token(chain.NONCE_SIZE * sum(len(append.events) for append in appends))
        results: list[Result] = []
        used = 0
        for append in appends:
            results.append(self._seal(append, commit, nonces, used, trusting))
            used += chain.NONCE_SIZE * len(append.events)
        commit.close_log()
        leaving, blobs = self._blobs.take_leaving(), self._blobs.take()
        if commit.events or blobs or leaving:
            started = perf_counter()
            try:
                self._write(commit, blobs, leaving)
            except BaseException:
                self._blobs.give_back(blobs, leaving)
                raise
            self._blobs.settled(blobs)
            self._remember(commit)
            self._tell_watchers(commit)
            if self.meter is not None:
                self.meter.committed(perf_counter() - started, len(commit.events))
                self.meter.kept(sum(len(data) for _, data in blobs))
        return results

    def _write(self, commit: _Commit, blobs: list[tuple[bytes, bytes]], leaving: list[bytes]) -> None:
        connection = self._connection
        if commit.erased or leaving:  # what goes is overwritten, not only forgotten
            connection.execute("PRAGMA secure_delete = ON")
        connection.execute(SQL["begin"])
        if commit.erased or leaving:
            self._erase(commit, leaving)
            connection.execute("PRAGMA secure_delete = OFF")
        if blobs:
            connection.executemany(SQL["put_blob"], blobs)
        connection.executemany(SQL["append_event"], commit.events)
        connection.executemany(SQL["append_log"], commit.log)
        commit.rows.write(connection)
        self._tell_meanwhile()
        connection.execute(SQL["commit"])

    def _erase(self, commit: _Commit, leaving: list[bytes]) -> None:
        connection = self._connection
        for stream, erasure in commit.erased.items():
            connection.execute(SQL["erase_events"], (stream,))
            connection.execute(SQL["erase_run"], (erasure.run,))
            connection.execute(SQL["erase_tasks"], (erasure.run,))
            if erasure.key is not None:
                connection.execute(SQL["erase_key"], erasure.key)
        connection.executemany(SQL["drop_blob"], [(digest,) for digest in leaving])

    def _tell_watchers(self, commit: _Commit) -> None:
        changes = [Change(pos, stream, from_seq, seq) for pos, stream, from_seq, seq, _ in commit.log]
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

    def _remember(self, commit: _Commit) -> None:
        for stream, head in commit.heads.items():
            self._heads.pop(stream, None)
            self._heads[stream] = head
        for stream in commit.erased:
            self._heads.pop(stream, None)
        while len(self._heads) > _HEADS_MAX:
            del self._heads[next(iter(self._heads))]
        if commit.log:
            self._pos = self.position = commit.log[-1][0]

    def _seal(self, append: Append, commit: _Commit, nonces: bytes, used: int, trusting: bool) -> Result:
        stream = append.stream
        head = commit.heads.get(stream) or self._head(append, trusting)
        if stream in commit.erased:
            return Refusal(stream, "conflict", "the run was purged")
        if refusal := self._kept(append, commit):
            return refusal
        if head.seq != append.expected_seq:
            return Refusal(stream, "conflict", f"the stream has {head.seq} events", head.seq)
        if not append.events:
            return _failed(append, "nothing to append")
        sealed: list[tuple[bytes, int, bytes, bytes]] = []
        seq, prev, at = head.seq, head.hash, max(append.at, head.at)
        try:
            for event in append.events:
                seq += 1
                nonce = nonces[used : used + chain.NONCE_SIZE]
                one = chain.seal(stream, seq, prev, at, append.actor, event, nonce)
                if len(one.body) > BODY_MAX + chain.NONCE_SIZE:
                    return _failed(append, f"event {seq} has {len(one.body)} bytes, more than {BODY_MAX}")
                sealed.append((stream, seq, one.envelope, one.body))
                prev = one.hash
                used += chain.NONCE_SIZE
        except Exception as error:  # noqa: BLE001 - whatever cannot be encoded is this stream's own fault
            return _failed(append, f"event {seq} cannot be written: {error}")
        pos, from_seq = commit.spans.setdefault(stream, (self._next_pos(len(commit.spans)), head.seq + 1))
        commit.events += sealed
        commit.heads[stream] = Head(seq, prev, at)
        commit.rows.add(append.rows, new=from_seq == 1)
        commit.erased.update((chain.run_stream(erasure.run), erasure) for erasure in append.erase)
        return Appended(stream, seq, prev, pos)

    def _kept(self, append: Append, commit: _Commit) -> Refusal | None:
        """Refuse a tombstone of a run whose stream does not end any more where it says."""
        for erasure in append.erase:
            stream = chain.run_stream(erasure.run)
            head = commit.heads.get(stream) or self._stored_head(stream)
            if stream in commit.erased or (head.seq, head.hash) != (erasure.seq, erasure.head):
                return Refusal(stream, "conflict", f"the stream has {head.seq} events", head.seq)
        return None

    def _head(self, append: Append, trusting: bool) -> Head:
        """Return a stream's end. Whoever expects it to be empty is believed at first: the key will tell."""
        if trusting and append.expected_seq == 0 and append.stream not in self._heads:
            return _EMPTY
        return self._stored_head(append.stream)

    def _stored_head(self, stream: bytes) -> Head:
        known = self._heads.get(stream)
        if known is not None:
            return known
        row = self._connection.execute(SQL["head"], (stream,)).fetchone()
        return _EMPTY if row is None else Head(row[0], row[1], chain.unpack(row[2]).at)

    def _next_pos(self, drafted: int) -> int:
        if self._pos is None:
            self._pos = self._connection.execute(SQL["last_pos"]).fetchone()[0]
        return self._pos + drafted + 1


def _failed(append: Append, message: str) -> Refusal:
    return Refusal(append.stream, "failed", message)


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
        try:
            loop.call_soon_threadsafe(_answer, answers)
        except RuntimeError:
            # The loop is closed: nobody waits any more, and what was written stays written.
            continue


def _answer(answers: list[tuple[asyncio.Future[list[Result]], list[Result]]]) -> None:
    for future, results in answers:
        if not future.done():
            future.set_result(results)
