"""The files of a home on their way to another one: blobs, the key, the checkpoint outside the database."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

from runnotary.store import files, keys, outside

BLOBS: Final = "blobs"
_ARRIVING: Final = "new"


def copy_blobs(home: Path, growing: Path) -> int:
    """Copy the blob files of a home to one that has none yet; return how many there are."""
    source, target = home / BLOBS, growing / BLOBS
    target.mkdir()
    count = 0
    for folder in sorted(source.iterdir()) if source.is_dir() else ():
        if folder.name == _ARRIVING or not folder.is_dir():
            continue
        (target / folder.name).mkdir()
        for path in sorted(folder.iterdir()):
            with suppress(FileNotFoundError):  # purged since it was listed: whoever copies looks for that
                _copy_file(path, target / folder.name / path.name)
                count += 1
        files.sync_folder(target / folder.name)
    files.sync_folder(target)
    return count


def copy_identity(home: Path, growing: Path) -> None:
    """Copy what makes a home the one that signs: its key, and the newest checkpoint that it let out."""
    for name in (keys.FILE, keys.NEXT, outside.FILE):
        with suppress(FileNotFoundError):
            shutil.copy(home / name, growing / name)
            files.sync_file(growing / name)


def is_stranger(home: Path, other: Path) -> bool:
    """Tell whether a home has a key or a checkpoint that is not the other one's."""
    return any(
        (home / name).exists() and _read(home / name) != _read(other / name)
        for name in (keys.FILE, outside.FILE)
    )


def put_files(copy: Path, home: Path) -> None:
    """Move blobs and key into a home, durably. Before there is a record that needs them."""
    (home / BLOBS).mkdir(parents=True, exist_ok=True)
    for folder in sorted((copy / BLOBS).iterdir()):
        target = home / BLOBS / folder.name
        target.mkdir(exist_ok=True)
        for path in folder.iterdir():
            os.replace(path, target / path.name)
        files.sync_folder(target)
    files.sync_folder(home / BLOBS)
    for name in (keys.FILE, keys.NEXT):
        with suppress(FileNotFoundError):
            os.replace(copy / name, home / name)
    files.sync_folder(home)


def put_checkpoint(copy: Path, home: Path) -> None:
    """Move the checkpoint into a home, durably. After the record is there: the one that lies there until then
    is the only word of what was lost.
    """
    with suppress(FileNotFoundError):
        os.replace(copy / outside.FILE, home / outside.FILE)
        files.sync_folder(home)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _copy_file(path: Path, target: Path) -> None:
    source = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        copy = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            if not files.clone(source, copy):
                files.copy(source, copy)
            os.fchmod(copy, files.READ_ONLY)
            os.fsync(copy)
        finally:
            os.close(copy)
    finally:
        os.close(source)
