"""A copy of a home that can stand in for it, made while the home is in use.

Rules of this file:

1. The database first, as one snapshot by SQLite's own means; then the files. A file is kept before an event
   names it and never changes, so the files copied afterwards hold all that the snapshot names.
2. A purge alone takes files away. If one was written since the snapshot, the copy may lack what the snapshot
   names, and is given up.
3. The copy gets its name when it is complete; until then it stands beside it under another one.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import suppress
from pathlib import Path

from runnotary.core import chain
from runnotary.core.errors import Conflict
from runnotary.core.events import StreamErased
from runnotary.store import files
from runnotary.store.sqlite import connect_reader, database


def backup(home: Path, target: Path) -> int:
    """Copy a home's record to a folder that does not exist yet; return the number of blob files.

    Raises:
        FileMissing: there is no record here.
        Conflict: `target` exists, or runs were purged meanwhile.
    """
    if target.exists():
        raise Conflict(f"{target} exists", hint="name a folder that does not")
    growing = target.with_name(f".{target.name}.growing")
    shutil.rmtree(growing, ignore_errors=True)
    growing.mkdir(parents=True)
    try:
        _copy_database(home, growing)
        count = _copy_blobs(home / "blobs", growing / "blobs")
        if _has_purged(home, since=growing):
            raise Conflict("runs were purged while the copy was made", hint="make it again")
        files.sync_folder(growing)
        growing.rename(target)
        files.sync_folder(target.parent)
    except BaseException:
        shutil.rmtree(growing, ignore_errors=True)
        raise
    return count


def _copy_database(home: Path, growing: Path) -> None:
    source = connect_reader(home)
    try:
        copy = sqlite3.connect(database(growing), isolation_level=None)
        try:
            source.backup(copy)
            # The copy is one file: whoever opens it next may not be able to write beside it.
            copy.execute("PRAGMA journal_mode = DELETE")
        finally:
            copy.close()
    finally:
        source.close()


def _has_purged(home: Path, *, since: Path) -> bool:
    """Tell whether a home has tombstones that an earlier copy of its record has not."""
    copy, now = connect_reader(since), connect_reader(home)
    try:
        (pos,) = copy.ask("last_pos").fetchone()
        for _, stream, from_seq, seq in now.ask("feed", (pos, -1)):
            if stream[:1] == chain.LEDGER:
                events = now.ask("read_stream", (stream, from_seq - 1, seq - from_seq + 1))
                if any(event[2] and isinstance(chain.opened(*event).event, StreamErased) for event in events):
                    return True
        return False
    finally:
        copy.close()
        now.close()


def _copy_blobs(source: Path, target: Path) -> int:
    target.mkdir()
    count = 0
    for folder in sorted(source.iterdir()) if source.is_dir() else ():
        if folder.name == "new" or not folder.is_dir():
            continue
        (target / folder.name).mkdir()
        for path in sorted(folder.iterdir()):
            with suppress(FileNotFoundError):  # purged since it was listed: see rule 2
                _copy_file(path, target / folder.name / path.name)
                count += 1
        files.sync_folder(target / folder.name)
    files.sync_folder(target)
    return count


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
