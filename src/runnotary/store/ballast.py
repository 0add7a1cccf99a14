"""Space put aside, so that a full disk cannot keep the end of a run out of the record.

A step may fill the disk that the home lies on. Its failure must still be written, and the ends of whatever
runs beside it: then this file gives way, once, and is filled again when there is room. A home at rest has
none.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Final

SIZE: Final = 4 * 1024 * 1024
"""Bytes: some eighty commits of a step each."""


class Ballast:
    """The file `<home>/ballast`; holds nothing but its size."""

    def __init__(self, home: Path) -> None:
        self._path: Final = home / "ballast"

    def fill(self) -> None:
        """Take the space, as far as there is any; a disk that is full already has none to put aside."""
        with suppress(OSError):
            handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                if os.fstat(handle).st_size < SIZE:
                    os.posix_fallocate(handle, 0, SIZE)
            finally:
                os.close(handle)

    def drop(self) -> bool:
        """Give the space back; False: there was none."""
        try:
            held = self._path.stat().st_size
            self._path.unlink()
        except OSError:
            return False
        return held > 0


def is_full(error: Exception) -> bool:
    """Tell whether SQLite failed for want of space."""
    return (
        isinstance(error, sqlite3.OperationalError)
        and getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL
    )
