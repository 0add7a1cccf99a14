"""Opens what a step left behind without trusting it: no link is followed, no pipe is waited for."""

from __future__ import annotations

import errno
import os
import stat
from typing import Final

_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK


def opened(path: str) -> int:
    """Return a descriptor of a regular file.

    Raises:
        OSError: it is not there, or is something else (EINVAL).
    """
    handle = os.open(path, _FLAGS)
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return handle
    os.close(handle)
    raise OSError(errno.EINVAL, "not a regular file", path)


def size_of(path: str) -> int:
    """Return the size of a regular file, 0 if there is none."""
    try:
        found = os.lstat(path)
    except OSError:
        return 0
    return found.st_size if stat.S_ISREG(found.st_mode) else 0
