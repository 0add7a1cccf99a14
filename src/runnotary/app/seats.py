"""The folders of the servers that share a record: one for each, with its lock, its keeper and its attempts.

    <home>/servers/<host>-<number>/

A server takes the first folder of its host whose lock is free, and with it the keeper and the attempts of
the server that had it before. A lock frees itself however a process dies, so whoever gets it knows that
nobody works there any more.
"""

from __future__ import annotations

import fcntl
import os
import re
import socket
from itertools import count
from pathlib import Path
from typing import Final

FOLDER: Final = "servers"
LOCK: Final = "lock"


def host_name() -> str:
    """Return the name of this host, as it may stand in the name of a folder."""
    return re.sub(r"[^a-z0-9.]+", "-", socket.gethostname().lower()).strip("-.") or "host"


class Seat:
    """A server's folder, held from `taken` to `close`."""

    def __init__(self, folder: Path, handle: int) -> None:
        self.folder: Final = folder
        self._handle: Final = handle

    @property
    def name(self) -> str:
        return self.folder.name

    def close(self) -> None:
        """Let go of the folder; what lies in it stays."""
        os.close(self._handle)


def free_seat(home: Path) -> Seat:
    """Take the first folder of this host that nobody holds; make one if all are held."""
    host = host_name()
    for number in count(1):
        seat = seat_of(home, f"{host}-{number}", make=True)
        if seat is not None:
            return seat
    raise AssertionError("unreachable")


def seat_of(home: Path, name: str, *, make: bool = False) -> Seat | None:
    """Take the folder of a server; None if it is held, is not here, or is another host's."""
    if not _is_here(name):
        return None
    folder = home / FOLDER / name
    if make:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return held(folder, make=make)


def is_vacant(home: Path, name: str) -> bool:
    """Tell whether the process of a server of this host is known to be dead; asking disturbs nobody."""
    return _is_here(name) and is_free(home / FOLDER / name)


def held(folder: Path, *, make: bool = True) -> Seat | None:
    """Take a folder by its lock; None if somebody holds it."""
    flags = os.O_RDWR | os.O_CLOEXEC | (os.O_CREAT if make else 0)
    try:
        handle = os.open(folder / LOCK, flags, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(handle)
        return None
    return Seat(folder, handle)


def is_free(folder: Path) -> bool:
    """Tell whether a folder has a lock that nobody holds."""
    try:
        handle = os.open(folder / LOCK, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(handle)
    return True


def attempt_folder(home: Path, attempt: str) -> Path:
    """Return the folder of an attempt, whichever server has it."""
    own = home / "attempts" / attempt
    if own.exists():
        return own
    return next((home / FOLDER).glob(f"*/attempts/{attempt}"), own)


def _is_here(name: str) -> bool:
    return re.fullmatch(re.escape(host_name()) + r"-[0-9]+", name) is not None
