"""Where a home is served: the file `server` in it names the address as long as the server holds a lock on it.

So what a killed server left behind counts for nothing, and nobody asks whoever has its port now.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

NAME: Final = "server"
LONGEST: Final = 4096


@contextmanager
def announced(home: Path, url: str) -> Iterator[None]:
    """Let others on this machine know where a home is served; whoever calls has the home."""
    handle = os.open(home / NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)  # a reader has it for a moment at most
        os.ftruncate(handle, 0)
        os.pwrite(handle, url.encode(), 0)
        yield
        os.ftruncate(handle, 0)
    finally:
        os.close(handle)


def address_of(home: Path) -> str:
    """Return where a home is served now; "" if it is not."""
    try:
        handle = os.open(home / NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(handle, LONGEST, 0).decode()
    finally:
        os.close(handle)
    return ""
