"""A copy of a record that can stand in for it, made while it is in use: always a home with its own database.

Rules of this file:

1. The database first, as one snapshot; then the files. A file is kept before an event names it and never
   changes, so the files copied afterwards hold all that the snapshot names.
2. A purge alone takes files away. If one was written since the snapshot, the copy may lack what the snapshot
   names, and is given up.
3. The copy gets its name when it is complete; until then it stands beside it under another one.
"""

from __future__ import annotations

import shutil
from contextlib import closing
from pathlib import Path

from runnotary.core import chain
from runnotary.core.errors import Conflict
from runnotary.store import files
from runnotary.store.carrying import copy_blobs
from runnotary.store.erased import ledgers_of
from runnotary.store.places import Place
from runnotary.store.sqlite import connect_reader
from runnotary.store.sqlite_place import SqlitePlace


def backup(source: Path | Place, target: Path) -> int:
    """Copy a record (of a home: that in its own database) to a folder that does not exist yet; return the
    number of blob files.

    Raises:
        FileMissing: there is no record here.
        Conflict: `target` exists, or runs were purged meanwhile.
    """
    place: Place = SqlitePlace(source) if isinstance(source, Path) else source
    if target.exists():
        raise Conflict(f"{target} exists", hint="name a folder that does not")
    growing = target.with_name(f".{target.name}.growing")
    shutil.rmtree(growing, ignore_errors=True)
    growing.mkdir(parents=True)
    try:
        place.copy_database(growing)
        count = copy_blobs(place.home, growing)
        if _has_purged(place, since=growing):
            raise Conflict("runs were purged while the copy was made", hint="make it again")
        files.sync_folder(growing)
        growing.rename(target)
        files.sync_folder(target.parent)
    except BaseException:
        shutil.rmtree(growing, ignore_errors=True)
        raise
    return count


def _has_purged(place: Place, *, since: Path) -> bool:
    """Tell whether a record has tombstones that an earlier copy of it has not."""
    with closing(connect_reader(since)) as copy, place.reading() as now:
        for name in ledgers_of(now):
            stream = chain.ledger_stream(name)
            row = copy.ask("head", (stream,)).fetchone()
            if now.ask("tombstones", (stream, 0 if row is None else row[0])).fetchone() is not None:
                return True
    return False
