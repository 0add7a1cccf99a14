"""Which blobs nothing in the record names any more.

Rules of this file:

1. When in doubt a blob is in use: text in an event that looks like a digest counts as one.
2. What is not in the events themselves is looked at as `verify` does: the code of a definition, the files of
   a tree, the files in a large value.
3. The log is read once, in pieces, like any stream (`log.py`), and then only what was appended since. What
   somebody is about to append is for `Blobs.discard` to see.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import Final

import msgspec

from runnotary.core import chain
from runnotary.core.errors import BlobNotFound, Damaged
from runnotary.core.evidence import Named, blobs_in, blobs_in_value
from runnotary.store.blobs import LocalBlobs
from runnotary.store.connection import Connection

_PIECE: Final = 1024
_DIGEST: Final = re.compile(rb"sha256:[0-9a-f]{64}")
_DEFINITION: Final = re.compile(rb'"definition":"(sha256:[0-9a-f]{64})"')
_NESTED: Final = (b'_large"', b'"tree":true', b'"$dir"')

Event = tuple[int, bytes, bytes | None]
"""Seq, envelope, body."""


class Unnamed:
    """Of some blobs, those that no event names but those of the streams `without`."""

    def __init__(
        self,
        reader: Callable[[], Connection],
        blobs: LocalBlobs,
        digests: Collection[str],
        without: Collection[bytes],
    ) -> None:
        self._reader: Final = reader
        self._blobs: Final = blobs
        self._left: Final = {digest.encode() for digest in digests}
        self._without: Final = frozenset(without)
        self._followed: Final[set[Named]] = set()
        self._pos: int | None = None

    def among(self, digests: Iterable[str]) -> set[str]:
        """Return which of these are such ones by now; reads the whole log at first, later what came since."""
        if self._pos is None:
            # First where the log ends, then what is in it: what comes meanwhile is read twice, not never.
            self._pos = self._reader().ask("last_pos").fetchone()[0]
            self._read_all()
        else:
            self._read_on(self._pos)
        return {digest for digest in digests if digest.encode() in self._left}

    def _read_all(self) -> None:
        place: tuple[bytes, int] = (b"", 0)
        while self._left:
            piece = self._reader().ask("events_after", (*place, _PIECE)).fetchall()
            self._look(row for stream, *row in piece if stream not in self._without)
            if len(piece) < _PIECE:
                return
            place = piece[-1][:2]

    def _read_on(self, pos: int) -> None:
        while changes := self._reader().ask("feed", (pos, _PIECE)).fetchall():
            for _, stream, from_seq, seq in changes:
                wanted = (stream, from_seq - 1, seq - from_seq + 1)
                # Also of a stream `without`: one that grows stays.
                self._look(self._reader().ask("read_stream", wanted))
            self._pos = pos = changes[-1][0]

    def _look(self, events: Iterable[Event]) -> None:
        """Strike out what some events name, directly or not."""
        there = [(seq, envelope, body) for seq, envelope, body in events if body is not None]
        text = b"\n".join(body for *_, body in there)
        self._left.difference_update(_DIGEST.findall(text))
        for digest in set(_DEFINITION.findall(text)):
            self._follow([Named(digest.decode(), "bytes")], within=True)
        if _may_nest(text):
            for event in there:
                if _may_nest(event[2]):
                    self._follow(blobs_in(chain.opened(*event).event))

    def _follow(self, found: Iterable[Named], *, within: bool = False) -> None:
        """Strike out what blobs hold that are trees or values or, with `within`, anything."""
        left = list(found)
        while left:
            named = left.pop()
            if named in self._followed or (named.form == "bytes" and not within):
                continue
            try:
                data = self._blobs.get(named.digest)
            except (BlobNotFound, Damaged):
                continue  # it names nothing that anybody could find
            self._followed.add(named)
            self._left.difference_update(_DIGEST.findall(data))
            if named.form == "value":
                left += blobs_in_value(msgspec.json.decode(data))


def groups_with(reader: Callable[[], Connection], text: bytes) -> Iterator[tuple[bytes, list[bytes]]]:
    """Yield each stream with bodies that hold these bytes, in whatever case, and these bodies, in pieces."""
    text, place = text.lower(), (b"", 0)
    while piece := reader().ask("events_after", (*place, _PIECE)).fetchall():
        found: dict[bytes, list[bytes]] = {}
        for stream, _, _, body in piece:
            if body is not None and text in body.lower():
                found.setdefault(stream, []).append(body)
        yield from found.items()
        place = piece[-1][:2]


def _may_nest(text: bytes) -> bool:
    return any(mark in text for mark in _NESTED)
