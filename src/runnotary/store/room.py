"""Zeroed room ahead in the write-ahead log.

A commit that makes the log longer also makes the file system write down the new length, which takes as
long again as the commit itself. One that writes over bytes that are there already does not. So whenever the
log has grown, a piece of zeros is put behind it, at a moment when nobody waits: it becomes durable with the
next commit. A frame of zeros does not carry the salt of the log, so SQLite's recovery ends before it (SQLite
file format, section 4.3), and appending can overwrite nothing.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import Final

from runnotary.store.sqlite import CHECKPOINT_PAGES, FILE

FIRST: Final = 64 << 10
LONGEST: Final = 1 << 20
_PAGE: Final = 4096 + 24
_ZEROS: Final = bytes(LONGEST)

LIMIT: Final = (CHECKPOINT_PAGES + 64) * _PAGE
"""Bytes: the length at which the log begins anew, and one commit more."""


class Room:
    """Keeps room in the log of one home; used by the writer's thread between two commits."""

    def __init__(self, home: Path) -> None:
        self._path: Final = f"{home}/{FILE}-wal"
        self._known = 0
        self._piece = FIRST

    def keep(self) -> None:
        """Put zeros behind the log if it has grown; a full disk has none to give, and needs none."""
        with suppress(OSError):
            size = os.stat(self._path).st_size
            if size < self._known:  # it was truncated: begin small again
                self._piece = FIRST
            if size > self._known and size < LIMIT:
                size += self._extend(min(self._piece, LIMIT - size))
                self._piece = min(2 * self._piece, LONGEST)
            self._known = size

    def _extend(self, length: int) -> int:
        handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            return os.write(handle, memoryview(_ZEROS)[:length])
        finally:
            os.close(handle)
