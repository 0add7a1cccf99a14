"""Small blobs on their way into the next commit, or out of the home with it."""

from __future__ import annotations

from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Final

_WRITTEN_MAX: Final = 4_096


class SmallBlobs:
    """Bytes on their way into the next commit, readable meanwhile.

    No lock: the dicts are only looked up by key, and the queue says in which order keys arrived. What was
    written lately is not written again: every attempt brings the same evidence of where it ran.

    What is dropped goes with the next commit, unless that brings it back.
    """

    __slots__ = ("_leaving", "_order", "_written", "waiting")

    def __init__(self) -> None:
        self.waiting: dict[bytes, bytes] = {}
        self._leaving: SimpleQueue[bytes] = SimpleQueue()
        self._order: SimpleQueue[bytes] = SimpleQueue()
        self._written: dict[bytes, None] = {}

    def add(self, digest: bytes, data: bytes) -> None:
        if digest not in self.waiting and digest not in self._written:
            self.waiting[digest] = data
            self._order.put(digest)

    def take(self) -> list[tuple[bytes, bytes]]:
        taken: dict[bytes, bytes] = {}
        while True:
            try:
                digest = self._order.get_nowait()
            except Empty:
                return list(taken.items())
            data = self.waiting.get(digest)
            if data is not None:
                taken[digest] = data

    def take_leaving(self) -> list[bytes]:
        taken: list[bytes] = []
        with suppress(Empty):
            while True:
                taken.append(self._leaving.get_nowait())
        for digest in taken:
            self._written.pop(digest, None)
        return taken

    def give_back(self, taken: list[tuple[bytes, bytes]], leaving: list[bytes]) -> None:
        for digest, _ in taken:
            self._order.put(digest)
        for digest in leaving:
            self._leaving.put(digest)

    def stay(self) -> None:
        """Let none go that was about to: somebody else may need it."""
        with suppress(Empty):
            while True:
                self._leaving.get_nowait()

    def drop(self, digest: bytes) -> None:
        """Let a blob go with the next commit. Whoever adds it from now on writes it again."""
        self._written.pop(digest, None)
        self._leaving.put(digest)

    def settled(self, taken: list[tuple[bytes, bytes]]) -> None:
        for digest, _ in taken:
            self._written[digest] = None
            self.waiting.pop(digest, None)
        while len(self._written) > _WRITTEN_MAX:
            del self._written[next(iter(self._written))]
