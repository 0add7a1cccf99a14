"""What happens, as it happens: the events of one run, or of all that a caller may see, from any point on.

Rules of this file:

1. A follower pulls: it reads the record from where it stands and sleeps until a commit wakes it. So nothing
   is buffered for it, nothing can be lost or doubled, and one that is slow delays nobody.
2. Where a follower stands is in the record: `seq` in a run's stream, the position in the log for all streams.
   It means the same after a reconnect and after a restart of the server.
3. Followers of one run share its newest frames, written once.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, Final

import msgspec

from runnotary.core import events as ev
from runnotary.core.chain import LEDGER, RUN, Recorded, run_stream, stream_name
from runnotary.core.ids import to_text
from runnotary.core.permissions import Action, People, Visible, Who, granted, visible
from runnotary.core.rows import RunRow
from runnotary.core.states import TERMINAL
from runnotary.core.times import to_text as time_text
from runnotary.engine.questions import people_of
from runnotary.ports import Change, Store

Json = Any
PIECE: Final = 256
"""Frames that are read, and shared, at a time."""

MARK_BITS: Final = 20
WHOLE: Final = (1 << MARK_BITS) - 1
"""In a mark: all events of that commit."""

ENDED: Final = "end"
OF_LEDGERS: Final = (ev.DefinitionChanged, ev.StreamErased)
"""What everybody who may read a namespace is told of its ledger; the rest is for its admins to look up."""

_encode: Final = msgspec.json.Encoder().encode


class Frame(msgspec.Struct, frozen=True):
    """One thing that happened: `id` is where to go on after it, `data` a JSON object as text."""

    id: str
    type: str
    data: bytes = b""


class Tail:
    """The end of one run's stream, for everybody who follows it: its newest frames, and the run's row.

    `grown` is called after each commit; between two of them nothing is read twice.
    """

    def __init__(self, store: Store, run: bytes) -> None:
        self._store: Final = store
        self._id: Final = run
        self._of: Final = {"run": to_text(run)}
        self._stream: Final = run_stream(run)
        self._frames: deque[Frame] = deque(maxlen=2 * PIECE)
        self._last = 0
        self._row: RunRow | None = None
        self._unread = self._stale = True
        self.waiting: Final[set[asyncio.Event]] = set()

    def grown(self) -> None:
        """Take notice of a commit, and wake who waits for it."""
        self._unread = self._stale = True
        for event in self.waiting:
            event.set()

    def row(self) -> RunRow | None:
        """Return the run as of the last commit; None if it was purged."""
        if self._stale:
            self._row, self._stale = self._store.run(self._id), False
        return self._row

    def after(self, seq: int) -> list[Frame]:
        """Return some of the frames after `seq`, in order; none if there are none now."""
        if seq < self._last - len(self._frames):
            return [self._frame(one) for one in islice(self._store.read(self._stream, seq), PIECE)]
        if seq >= self._last and self._unread:
            self._read_on(seq)
        missing = min(self._last - seq, len(self._frames))
        return list(islice(self._frames, len(self._frames) - missing, None)) if missing > 0 else []

    def _read_on(self, seq: int) -> None:
        if seq > self._last:
            self._frames.clear()
            self._last = seq
        entries = list(islice(self._store.read(self._stream, self._last), PIECE))
        self._unread = len(entries) == PIECE
        for entry in entries:
            self._frames.append(self._frame(entry))
            self._last = entry.seq

    def _frame(self, entry: Recorded) -> Frame:
        return frame(str(entry.seq), self._of, entry)


def frame(mark: str, of: dict[str, str], entry: Recorded) -> Frame:
    """Return an event of a run or of another stream as a frame."""
    name = ev.NAMES[type(entry.event)]
    said = {**of, "seq": entry.seq, "time": time_text(entry.at), "type": name}
    return Frame(mark, name, _encode(said | {"details": msgspec.to_builtins(entry.event)}))


class Following:
    """Followers of one home."""

    def __init__(self, store: Store) -> None:
        self._store: Final = store
        self._tails: dict[bytes, Tail] = {}
        self._waiting: set[asyncio.Event] = set()
        self._released = False
        store.watch(self._grown)

    async def ended(self, run: bytes, seconds: float) -> None:
        """Return when a run is over, after so many seconds, or when `release` is called."""
        with self._tail(run) as (tail, woken):
            try:
                async with asyncio.timeout(seconds):
                    while not self._released and (row := tail.row()) and row.status not in TERMINAL:
                        await woken.wait()
                        woken.clear()
            except TimeoutError:
                return

    def release(self) -> None:
        """Let everybody go who waits for the end of a run, now and later: the server is about to end."""
        self._released = True
        for tail in self._tails.values():
            tail.grown()

    async def run(self, who: Who, found: RunRow, after: int) -> AsyncGenerator[list[Frame], None]:
        """Yield the events of a run after `after` as they happen, some at a time, and `end` once it is over.

        Stops without `end` when the caller may see the run no longer.
        """
        seq = min(after, found.seq)
        with self._tail(found.id) as (tail, woken):
            while (row := tail.row()) is not None and Action.READ in granted(who.caller, people_of(row)):
                frames = tail.after(seq)
                if frames:
                    yield frames
                    seq = int(frames[-1].id)
                    continue
                if row.status in TERMINAL and row.seq <= seq:
                    yield [Frame("", ENDED, _encode({"run": to_text(row.id), "status": row.status}))]
                    return
                await woken.wait()
                woken.clear()

    async def all(self, who: Who, after: int) -> AsyncGenerator[list[Frame], None]:
        """Yield the events of every run the caller may see, after a mark that a frame had; 0 is the first.

        They come some at a time, or none: whoever takes them gives way to others in between.
        """
        pos, done = place_of(after)
        shown = visible(who.caller)
        woken = asyncio.Event()
        self._waiting.add(woken)
        try:
            while True:
                woken.clear()
                changes = self._store.feed(pos, PIECE)
                for change in changes:
                    yield list(self._frames(who, shown, change, done))
                    pos, done = change.pos, 0
                if not changes:
                    await woken.wait()
        finally:
            self._waiting.discard(woken)

    # --- inside ------------------------------------------------------------------------------------

    def _grown(self, changes: Sequence[Change]) -> None:
        for stream in {change.stream for change in changes}:
            tail = self._tails.get(stream)
            if tail is not None:
                tail.grown()
        for event in self._waiting:
            event.set()

    @contextmanager
    def _tail(self, run: bytes) -> Iterator[tuple[Tail, asyncio.Event]]:
        """Yield the run's tail, and an event that is set by every commit of the run."""
        stream, woken = run_stream(run), asyncio.Event()
        tail = self._tails.get(stream)
        if tail is None:
            tail = self._tails[stream] = Tail(self._store, run)
        tail.waiting.add(woken)
        try:
            yield tail, woken
        finally:
            tail.waiting.discard(woken)
            if not tail.waiting:
                self._tails.pop(stream, None)

    def _frames(self, who: Who, shown: Visible, change: Change, done: int) -> Iterator[Frame]:
        """Yield the events of one commit of one stream that the caller may see, but for the first `done`."""
        kind, name = change.stream[:1], change.stream[1:]
        if kind == RUN:
            row = self._store.run(name)
            if row is None or not shown.shows(people_of(row)):
                return
            of = {"run": to_text(name)}
        elif kind == LEDGER and self._may_read(who, name.decode()):
            of = {"stream": stream_name(change.stream)}
        else:
            return
        before = change.from_seq - 1
        for entry in islice(self._store.read(change.stream, before + done), change.seq - before - done):
            if kind == RUN or isinstance(entry.event, OF_LEDGERS):
                yield frame(str(mark(change.pos, entry.seq - before)), of, entry)

    def _may_read(self, who: Who, namespace: str) -> bool:
        return Action.READ in granted(who.caller, People(namespace))


def mark(pos: int, done: int) -> int:
    """Return where a follower of all streams stands: so many events of the commit at a position are done.

    Positions and events have one order, so marks do; a mark stays exact in a JavaScript number up to
    position 2^33.
    """
    return pos << MARK_BITS | min(done, WHOLE)


def place_of(after: int) -> tuple[int, int]:
    """Return the position to go on after, and how many events of the next one are done."""
    pos, done = after >> MARK_BITS, after & WHOLE
    return (pos, 0) if done in (0, WHOLE) else (pos - 1, done)
