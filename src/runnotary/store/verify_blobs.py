"""Checking the bytes: that each blob is what its name says, and that what the events name is here.

Rules of this file:

1. Small blobs and definitions are always read; files only in a deep check.
2. Files are hashed by several threads: hashing lets go of the interpreter, so it runs as fast as the
   processor can.
3. A deep check of one run reads the blobs that run names; one of the whole home reads all there are.
4. A blob that no event names is not damage: a crash between keeping and recording leaves one behind.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec

from runnotary.core.chain import stream_name
from runnotary.core.errors import BlobNotFound, Damaged
from runnotary.core.events import DefinitionChanged, Event, RunCreated
from runnotary.core.evidence import Named, blobs_in, blobs_in_value
from runnotary.core.flow import Flow
from runnotary.core.hashing import NotCanonical, canonical, digest_text, is_digest
from runnotary.core.trees import BadManifest, entries
from runnotary.store.blobs import LocalBlobs
from runnotary.store.connection import Connection
from runnotary.store.files import hash_file
from runnotary.store.report import Notebook

DEFINING: Final = frozenset({RunCreated, DefinitionChanged})
"""Events whose definition is looked at in every check, deep or not."""

_BATCH: Final = 512
_SEEN_MAX: Final = 200_000
_FOLDER: Final = re.compile(r"[0-9a-f]{2}")
_NAME: Final = re.compile(r"[0-9a-f]{62}")


class BlobCheck:
    """What one verification knows about blobs."""

    def __init__(
        self,
        home: Path,
        notes: Notebook,
        reader: Callable[[], Connection],
        *,
        deep: bool,
        one_run: bool = False,
    ) -> None:
        self._home = home
        self._notes = notes
        self.deep: Final = deep
        self._reads_named: Final = deep and one_run
        self._definitions: set[str] = set()
        self._coded: set[str] = set()
        self._seen: set[Named] = set()
        self.blobs: Final = LocalBlobs(home, reader, None)

    # --- what events name --------------------------------------------------------------------------

    def definition(self, digest: str, where: str) -> None:
        """Check a definition: here, its own hash, in canonical form."""
        self._definitions.add(digest)
        self._notes.counts["definitions"] += 1
        data = self._bytes(Named(digest, "bytes"), where)
        if data is None:
            return
        try:
            same = canonical(msgspec.json.decode(data)) == data
        except (msgspec.DecodeError, NotCanonical) as wrong:
            self._notes.found("definition", digest, f"is not canonical JSON: {wrong}")
            return
        if not same:
            self._notes.found("definition", digest, "is not in canonical form")

    def value(self, digest: str) -> Any:
        """Return the JSON value of a blob.

        Raises:
            BlobNotFound, Damaged, DecodeError: there is none.
        """
        return msgspec.json.decode(self.blobs.get(digest))

    def code(self, flow: Flow) -> None:
        """Check that the code a flow pins is here."""
        if self.deep and flow.hash not in self._coded:
            self._coded.add(flow.hash)
            for file in flow.code.values():
                self._need(Named(file.blob, "bytes"), f"code of {flow.hash}")

    def vouched(self, event: Event, stream: bytes, seq: int) -> None:
        """Check the definition an event names and, in a deep check, that every blob it names is here."""
        if isinstance(event, RunCreated | DefinitionChanged) and event.definition not in self._definitions:
            self.definition(event.definition, f"{stream_name(stream)} #{seq}")
        if self.deep:
            for named in blobs_in(event):
                if named not in self._seen:
                    self._need(named, f"{stream_name(stream)} #{seq}")

    def _need(self, named: Named, where: str) -> None:
        left = [named]
        while left:
            one = left.pop()
            if one in self._seen:
                continue
            if len(self._seen) >= _SEEN_MAX:
                self._seen.clear()
            self._seen.add(one)
            self._notes.counts["named"] += 1
            if self._reads_named:
                self._notes.counts["blobs"] += 1
                self._notes.counts["blobs_read"] += 1
            if one.form == "bytes" and self._reads_named:
                self._read(one, where)
            elif one.form == "bytes":
                if not (is_digest(one.digest) and self.blobs.has(one.digest)):
                    self._notes.found("missing_blob", one.digest, f"named by {where}, but not here")
            else:
                left += self._inside(one, where)

    def _read(self, named: Named, where: str) -> None:
        """Hash a blob; one in a file is never held in memory."""
        path = self.blobs.path(named.digest) if is_digest(named.digest) else None
        if path is None or not path.is_file():
            self._bytes(named, where)
        elif wrong := _wrong(path):
            self._notes.found("blob", named.digest, wrong)

    def _inside(self, named: Named, where: str) -> list[Named]:
        """Return what a manifest or a value names in turn."""
        data = self._bytes(named, where)
        if data is None:
            return []
        try:
            if named.form == "tree":
                return [Named(entry.blob, "bytes") for entry in entries(data)]
            return list(blobs_in_value(msgspec.json.decode(data)))
        except (BadManifest, msgspec.DecodeError) as wrong:
            self._notes.found("blob", named.digest, f"named by {where}: {wrong}")
            return []

    def _bytes(self, named: Named, where: str) -> bytes | None:
        if not is_digest(named.digest):
            self._notes.found("missing_blob", where, f"{named.digest!r} is not a digest")
            return None
        try:
            return self.blobs.get(named.digest)
        except BlobNotFound:
            self._notes.found("missing_blob", named.digest, f"named by {where}, but not here")
        except Damaged:
            self._notes.found("blob", named.digest, f"named by {where}, but the bytes are others")
        return None

    # --- what is kept --------------------------------------------------------------------------------

    def small(self, rows: Iterable[tuple[object, object]]) -> None:
        """Hash every blob in the table."""
        for name, data in rows:
            self._notes.counts["blobs"] += 1
            self._notes.counts["blobs_read"] += 1
            if not isinstance(name, bytes) or not isinstance(data, bytes):
                self._notes.found("type", f"blobs {name!r}", "a digest or its bytes are not a blob")
            elif sha256(data).digest() != name:
                self._notes.found("blob", digest_text(name), "the bytes in the table are others")

    def files(self) -> None:
        """Look at every file; hash them all if this is a deep check."""
        workers = os.cpu_count() or 1
        names = self._files()
        with ThreadPoolExecutor(workers, thread_name_prefix="runnotary-verify") as pool:
            while batch := list(islice(names, _BATCH)):
                self._notes.counts["blobs"] += len(batch)
                if self.deep:
                    self._notes.counts["blobs_read"] += len(batch)
                    for path, wrong in zip(batch, pool.map(_wrong, batch), strict=True):
                        if wrong:
                            self._notes.found("blob", f"sha256:{path.parent.name}{path.name}", wrong)

    def _files(self) -> Iterator[Path]:
        folder = self._home / "blobs"
        if not folder.is_dir():
            return
        for group in sorted(folder.iterdir()):
            if group.name == "new":
                continue
            if not _FOLDER.fullmatch(group.name) or not group.is_dir() or group.is_symlink():
                self._notes.found("blob", f"blobs/{group.name}", "is not a folder of blobs")
                continue
            for path in group.iterdir():
                if _NAME.fullmatch(path.name) and path.is_file() and not path.is_symlink():
                    yield path
                else:
                    self._notes.found("blob", f"blobs/{group.name}/{path.name}", "is not a blob")


def _wrong(path: Path) -> str:
    """Return what is wrong with a file, or nothing."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        try:
            raw, size = hash_file(handle)
        finally:
            os.close(handle)
    except OSError as error:
        return f"the file cannot be read: {error}"
    return "" if raw.hex() == path.parent.name + path.name else f"the {size} bytes in the file are others"
