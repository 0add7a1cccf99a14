"""The folder of an attempt: what lies where, and how it comes and goes.

    <home>/attempts/<attempt id>/
        work/       the step's working directory: code, staged files, and what it makes
        inputs/     files of `with`, read-only, each in a folder of its own
        tmp/        TMPDIR
        output      $RUNNOTARY_OUTPUT          report      $RUNNOTARY_REPORT
        stdout  stderr  record  blank          the keeper's (docs/keeper.md)
        shell.json                             what `run shell` needs; no secret

Folders of steps that left nothing in them are used again, with their empty log files, an emptied `shell.json`
and the record as a blank: making and removing all that costs more than starting a process. The name of such a
spare begins with a dot, which no attempt id does.
"""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from typing import Any, Final

from runnotary.executors.attempt_record import BLANK

ROOM_MIN: Final = 16 << 20
"""Bytes: with less than this left on the disk, the folders of failed attempts are not kept."""

FULL_BELOW: Final = 64 << 10
"""Bytes: with less than this left, a step that failed has very likely failed for want of room."""

SPARES: Final = 32

_LOGS: Final = frozenset({"stdout", "stderr"})
_GONE: Final = frozenset({"output", "report"})
_USUAL: Final = frozenset({*_LOGS, *_GONE, "record", BLANK, "shell.json", "work", "tmp"})
_ROOMS: Final = ("work", "tmp")
_MODE: Final = 0o700


class Claimed(Exception):
    """The keeper has claimed this attempt before."""


class Folders:
    """The folders of every attempt of a home."""

    def __init__(self, attempts: str) -> None:
        self.path: Final = attempts
        self._spares: list[str] = []
        self._made = 0

    def prepare(self) -> None:
        """Make the folder of folders, and clear away the spares of an earlier engine."""
        os.makedirs(self.path, mode=_MODE, exist_ok=True)
        for name in os.listdir(self.path):
            if name.startswith(".spare-"):
                clear(f"{self.path}/{name}")

    def of(self, attempt: str) -> str:
        """Return where the folder of an attempt is, or would be."""
        return f"{self.path}/{attempt}"

    def has_room(self) -> bool:
        """Tell whether the disk has room to keep what is not needed."""
        return _free(self.path) >= ROOM_MIN

    def names(self) -> list[str]:
        """Return the attempts that have a folder."""
        try:
            return [name for name in os.listdir(self.path) if not name.startswith(".")]
        except FileNotFoundError:
            return []

    def make(self, attempt: str) -> str:
        """Make an empty folder, or empty the one that an interrupted start left.

        Raises:
            Claimed: it has a record, so something may have been spawned in it; nothing was touched.
        """
        folder = self.of(attempt)
        if self._spares:
            try:
                os.rename(self._spares[-1], folder)
            except OSError:
                pass  # there is one already
            else:
                self._spares.pop()
                return folder
        try:
            os.mkdir(folder, _MODE)
        except FileExistsError:
            if os.path.lexists(f"{folder}/record"):
                raise Claimed from None
            for name in os.listdir(folder):
                clear(f"{folder}/{name}")
        for room in _ROOMS:
            os.mkdir(f"{folder}/{room}", _MODE)
        return folder

    def try_recycle(self, attempt: str) -> bool:
        """Put the folder aside to be used again, if the attempt left nothing but the usual files."""
        folder = self.of(attempt)
        if len(self._spares) >= SPARES:
            return False
        try:
            if not all(_is_pristine(f"{folder}/{room}") for room in _ROOMS):
                return False
            names = os.listdir(folder)
            if not _USUAL.issuperset(names):
                return False
            for name in names:
                path = f"{folder}/{name}"
                # A blank beside its record is the same file, for a keeper died: only one name may stay.
                if name in _GONE or name == BLANK or (name in _LOGS and not _is_unused(path)):
                    os.unlink(path)
                elif name == "shell.json":
                    _empty(path)
            if "record" in names:
                os.rename(f"{folder}/record", f"{folder}/{BLANK}")
            self._made += 1
            spare = f"{self.path}/.spare-{self._made}"
            os.rename(folder, spare)
        except OSError:
            return False
        self._spares.append(spare)
        return True

    def remove(self, attempt: str) -> None:
        """Remove the folder with all that is in it; no error if there is none."""
        clear(self.of(attempt))

    def close(self) -> None:
        """Remove the spares."""
        while self._spares:
            clear(self._spares.pop())


def is_full(folder: str) -> bool:
    """Tell whether a step that writes into this folder finds no room."""
    return _free(folder) < FULL_BELOW


def _free(folder: str) -> int:
    state = os.statvfs(folder)
    return state.f_bavail * state.f_frsize


def _empty(path: str) -> None:
    """Take away what a file says, as the inputs of a run, which may be erased while its folder is a spare."""
    os.close(os.open(path, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK))


def _is_pristine(folder: str) -> bool:
    found = os.lstat(folder)
    return stat.S_ISDIR(found.st_mode) and stat.S_IMODE(found.st_mode) == _MODE and not os.listdir(folder)


def _is_unused(log: str) -> bool:
    found = os.lstat(log)
    return (
        stat.S_ISREG(found.st_mode)
        and found.st_size == 0
        and found.st_nlink == 1
        and found.st_mode & 0o777 == 0o600
    )


def clear(path: str) -> None:
    """Remove a file or a whole directory, also one whose directories a step made read-only."""
    try:
        if stat.S_ISDIR(os.lstat(path).st_mode):
            shutil.rmtree(path, onerror=_unlock)
        else:
            os.unlink(path)
    except FileNotFoundError:
        pass


def _unlock(remove: Callable[..., Any], path: str, _: object) -> None:
    """Open up the directory that refused, then try that one removal again."""
    parent = os.path.dirname(path)
    for folder in (parent, path):
        if stat.S_ISDIR(os.lstat(folder).st_mode):
            os.chmod(folder, _MODE)
    if os.path.isdir(path) and not os.path.islink(path):
        shutil.rmtree(path)
    else:
        os.unlink(path)
