"""Content files: how bytes get from one path to another without ever being half there.

Rules of this file:

1. A name appears by a rename of a file that is complete and on the disk; then the folder is synced. A crash
   or a full disk leaves a stray temporary file, never a wrong one.
2. Where the file system can share blocks (FICLONE) nothing is copied; elsewhere the kernel copies.
3. The mode is set, not inherited: kept files are read-only, whatever the umask.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Final

import msgspec

CHUNK: Final = 128 * 1024
READ_ONLY: Final = 0o444
EXECUTABLE: Final = 0o555
_FICLONE: Final = 0x40049409


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def sync_file(path: Path) -> None:
    """Make the content of a file durable."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


class Arriving(msgspec.Struct, frozen=True):
    """A file that has no name for good yet."""

    handle: int
    path: Path


@contextmanager
def arriving(temporary: Path) -> Iterator[Arriving]:
    """Open a new file to be filled; it is removed again unless it was renamed meanwhile."""
    handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        yield Arriving(handle, temporary)
    finally:
        os.close(handle)
        temporary.unlink(missing_ok=True)


def moving(path: Path, temporary: Path, least: int) -> AbstractContextManager[Arriving] | None:
    """Move a file to `temporary`, read-only and open; it is removed again unless it was renamed meanwhile.

    None, and nothing is done, if it has fewer bytes than `least`, is not a regular file of ours alone on the
    same file system, or if anybody has it open or mapped for writing: the kernel gives a read lease on a file
    only if nobody has (fcntl(2), F_SETLEASE).
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        if _is_ours(handle, temporary.parent, least):
            path.rename(temporary)
            if os.path.samestat(os.fstat(handle), os.stat(temporary, follow_symlinks=False)):
                return _arrived(handle, temporary)
            temporary.rename(path)
    except OSError:
        pass  # whoever copies it finds out what is wrong with it
    os.close(handle)
    return None


@contextmanager
def _arrived(handle: int, path: Path) -> Iterator[Arriving]:
    try:
        yield Arriving(handle, path)
    finally:
        os.close(handle)
        path.unlink(missing_ok=True)


def _is_ours(handle: int, beside: Path, least: int) -> bool:
    """Tell whether nobody but us can write to an open file, and see to it that nobody will."""
    found = os.fstat(handle)
    if not stat.S_ISREG(found.st_mode) or found.st_size < least or found.st_nlink != 1:
        return False
    if found.st_uid != os.geteuid() or found.st_dev != os.stat(beside).st_dev:
        return False
    os.fchmod(handle, READ_ONLY)
    try:
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(handle, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError:
        os.fchmod(handle, stat.S_IMODE(found.st_mode))
        return False
    return True


def settle(file: Arriving, target: Path) -> None:
    """Give a complete file its name for good: read-only, synced, renamed, the folder synced."""
    os.fchmod(file.handle, READ_ONLY)
    os.fsync(file.handle)
    file.path.rename(target)
    sync_folder(target.parent)


def write_all(handle: int, data: bytes | memoryview) -> None:
    """Write all of it; a short write is not an end."""
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def clone(source: int, target: int) -> bool:
    """Let both files share the same blocks, copied on write. False: not possible here."""
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        return False
    return True


def copy(source: int, target: int) -> None:
    """Copy a whole file inside the kernel."""
    left = os.fstat(source).st_size
    while left > 0:
        done = _copy_some(source, target, left)
        if done == 0:
            return
        left -= done


def _copy_some(source: int, target: int, count: int) -> int:
    try:
        return os.copy_file_range(source, target, count)
    except OSError:
        # Not between these two file systems, or not by this kernel.
        return os.sendfile(target, source, None, count)


def hash_file(source: int, also: Callable[[memoryview], None] | None = None) -> tuple[bytes, int]:
    """Hash from the file's present offset to its end, handing each piece on; return digest and size."""
    state = hashlib.sha256()
    buffer = bytearray(CHUNK)
    view = memoryview(buffer)
    size = 0
    while True:
        count = os.readv(source, [buffer])
        if count == 0:
            return state.digest(), size
        piece = view[:count]
        state.update(piece)
        if also is not None:
            also(piece)
        size += count


def hash_while_syncing(handle: int) -> tuple[bytes, int]:
    """Hash a file from its beginning while the disk takes it in; return digest and size."""
    failed: list[OSError] = []

    def sync() -> None:
        try:
            os.fsync(handle)
        except OSError as error:
            failed.append(error)

    beside = threading.Thread(target=sync)
    beside.start()
    try:
        return hash_file(handle)
    finally:
        beside.join()
        if failed:
            raise failed[0]


def take_in(source: int, target: int) -> tuple[bytes, int]:
    """Fill `target` with the content of `source`; digest and size are of what `target` then holds."""
    if clone(source, target):
        return hash_file(target)
    return hash_file(source, lambda piece: write_all(target, piece))
