"""Which blobs nothing in the record names any more.

Rules of this file:

1. When in doubt a blob is in use: text in an event that looks like a digest counts as one.
2. What is not in the events themselves is looked at as `verify` does: the code of a definition, the files of
   a tree, the files in a large value.
3. The log is read in pieces, like any stream (`log.py`). What is appended behind the place that was reached
   is for `Blobs.discard` to see.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Collection, Iterable
from typing import Final

import msgspec

from runnotary.core import chain
from runnotary.core.errors import BlobNotFound, Damaged
from runnotary.core.events import CODES, DefinitionChanged, RunCreated
from runnotary.core.evidence import Named, blobs_in, blobs_in_value
from runnotary.store.blobs import LocalBlobs
from runnotary.store.statements import SQL

_PIECE: Final = 4096
_DIGEST: Final = re.compile(rb"sha256:[0-9a-f]{64}")
_NESTED: Final = (b'_large"', b'"tree":true', b'"$dir"')
_DEFINING: Final = frozenset(CODES[kind] for kind in (RunCreated, DefinitionChanged))


def unused(
    connection: sqlite3.Connection,
    blobs: LocalBlobs,
    digests: Collection[str],
    without: Collection[bytes],
) -> set[str]:
    """Return which of these blobs no event names but those of the streams `without`."""
    search = _Search(blobs, digests)
    place: tuple[bytes, int] = (b"", 0)
    skipped = set(without)
    while search.left:
        piece = connection.execute(SQL["events_after"], (*place, _PIECE)).fetchall()
        for stream, _, envelope, body in piece:
            if stream not in skipped and body is not None:
                search.look(envelope, body)
        if len(piece) < _PIECE:
            break
        place = piece[-1][:2]
    return {digest.decode() for digest in search.left}


class _Search:
    """What is left of some digests while the events that name them go by."""

    def __init__(self, blobs: LocalBlobs, digests: Iterable[str]) -> None:
        self.left: Final = {digest.encode() for digest in digests}
        self._blobs: Final = blobs
        self._seen: set[Named] = set()

    def look(self, envelope: bytes, body: bytes) -> None:
        """Strike out what an event names, directly or not."""
        self.left.difference_update(_DIGEST.findall(body))
        head = chain.unpack(envelope)
        if (head.code, head.version) in _DEFINING or any(mark in body for mark in _NESTED):
            event = chain.opened(0, envelope, body).event
            if isinstance(event, RunCreated | DefinitionChanged):
                self._text(Named(event.definition, "bytes"))
            self._follow(blobs_in(event))

    def _follow(self, found: Iterable[Named]) -> None:
        left = list(found)
        while left:
            named = left.pop()
            if named.form != "bytes" and named not in self._seen:
                data = self._text(named)
                if data and named.form == "value":
                    left += blobs_in_value(msgspec.json.decode(data))

    def _text(self, named: Named) -> bytes:
        """Strike out the digests in a blob; return its bytes, or none if that was done before."""
        if named in self._seen:
            return b""
        self._seen.add(named)
        try:
            data = self._blobs.get(named.digest)
        except (BlobNotFound, Damaged):
            return b""  # it names nothing that anybody could find
        self.left.difference_update(_DIGEST.findall(data))
        return data
