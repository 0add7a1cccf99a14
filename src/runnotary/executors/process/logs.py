"""Keeps the captured output of an attempt: all of it hashed, of a very long one the beginning and the end.

An empty stream is no log at all (None): there is nothing to keep and nothing to prove.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Final

from runnotary.core.events import Log
from runnotary.core.hashing import PREFIX
from runnotary.executors.process.regular import opened, size_of
from runnotary.ports import Blobs

_CHUNK: Final = 1 << 20


def keep(path: str, blobs: Blobs, limit: int) -> Log | None:
    """Hash a stream and keep up to `limit` bytes of it; its writers are dead.

    Raises:
        OSError: it could not be kept, for instance because the disk is full.
    """
    size = size_of(path)
    if size == 0:
        return None
    if size <= limit:
        digest, size = blobs.put_file(Path(path))
        return Log(digest, size, digest)
    digest = hash_file(path)
    extract = f"{path}.kept"
    Path(extract).unlink(missing_ok=True)  # of an engine that died just here
    try:
        _extract(path, extract, size, limit, digest)
        blob, _ = blobs.put_file(Path(extract))
    finally:
        Path(extract).unlink(missing_ok=True)
    return Log(digest, size, blob, truncated=True)


def only_hashed(path: str) -> Log | None:
    """Describe a stream of which nothing could be kept."""
    try:
        size = size_of(path)
        return Log(hash_file(path), size, truncated=True) if size else None
    except OSError:
        return None


def hash_file(path: str) -> str:
    """Return the digest of a regular file, in constant memory."""
    state = hashlib.sha256()
    buffer = bytearray(_CHUNK)
    view = memoryview(buffer)
    handle = opened(path)
    try:
        while count := os.readv(handle, [buffer]):
            state.update(view[:count])
    finally:
        os.close(handle)
    return PREFIX + state.hexdigest()


def _extract(path: str, target: str, size: int, limit: int, digest: str) -> None:
    """Write the first and the last part of a file, with a line between them that says what is missing."""
    half = limit // 2
    missing = size - 2 * half
    line = f"\n--- {missing:,} bytes are left out here; all {size:,} have {digest} ---\n"
    with Path(path).open("rb", 0) as source, Path(target).open("xb", 0) as kept:
        _copy(source.fileno(), kept.fileno(), 0, half)
        kept.write(line.encode())
        _copy(source.fileno(), kept.fileno(), size - half, half)


def _copy(source: int, target: int, offset: int, count: int) -> None:
    while count > 0 and (done := os.sendfile(target, source, offset, count)):
        offset += done
        count -= done
