"""What follows the record by position: metrics, log lines, traces.

Rules of this file:

1. The log is the only feed. A turn of the engine does nothing for a consumer; it reads what was committed,
   a few commits at a time, so that it holds nobody up.
2. Nothing about a consumer is stored. One begins where the log ends when it is made, and what it needs of
   before it reads from the stream.
3. A consumer that fails is logged and goes on with the next event: the record needs none of them.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final, Protocol

from runnotary.core.chain import RUN, Recorded
from runnotary.core.errors import Damaged
from runnotary.ports import Change, Store

PIECE: Final = 16
"""Commits of a stream that are read at a time: about a millisecond."""

log = logging.getLogger("runnotary.consumers")


class Consumer(Protocol):
    """Takes every event once, in the order of the log."""

    def __call__(self, stream: bytes, entry: Recorded, /) -> None: ...


class Consumers:
    """The consumers of one home. The event loop must be running."""

    def __init__(self, store: Store, consumers: Sequence[Consumer]) -> None:
        """Of runs on which other engines work they are told nothing: those tell theirs."""
        self._store: Final = store
        self._consumers: Final = consumers
        self._loop: Final = asyncio.get_running_loop()
        self._pos = store.position()
        self._under_way = self._closed = False
        store.watch(self._grown)

    @property
    def position(self) -> int:
        """The last position of the log that every consumer has seen."""
        return self._pos

    def close(self) -> None:
        """Take what is committed so far, and no more."""
        while not self._closed and self._piece():
            continue
        self._closed = True

    def _grown(self, changes: Sequence[Change]) -> None:
        if not self._under_way and not self._closed:
            self._under_way = True
            self._loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        self._under_way = False  # if the store fails now, the next commit begins again
        if not self._closed and self._piece():
            self._under_way = True
            self._loop.call_soon(self._go_on)

    def _piece(self) -> bool:
        """Take some of what is new; False if there was nothing."""
        changes = self._store.feed(self._pos, PIECE)
        for change in changes:
            if change.stream[:1] != RUN or self._store.is_ours(change.stream[1:]):
                for entry in self._entries(change):
                    self._tell(change.stream, entry)
            self._pos = change.pos
        return bool(changes)

    def _entries(self, change: Change) -> Iterator[Recorded]:
        try:
            first = change.from_seq - 1
            yield from islice(self._store.read(change.stream, first), change.seq - first)
        except Damaged:
            return  # erased meanwhile

    def _tell(self, stream: bytes, entry: Recorded) -> None:
        for consumer in self._consumers:
            try:
                consumer(stream, entry)
            except Exception:
                log.exception("a consumer of the log failed; it goes on with the next event")
