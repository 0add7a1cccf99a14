"""Bytes under their own hash: small ones in the database, large ones as files that nobody may write.

    blobs/ab/cdef…    the bytes whose digest is sha256:abcdef…, mode 0444
    blobs/new/        what is on its way; anything found here at the start is a leftover of a crash

Rules of this file:

1. A small blob rides in the next commit, so a step's log costs no sync of its own. A large one is on the
   disk, name and all, before `put` returns.
2. The digest is computed over the bytes that were kept, not over those that were meant.
3. What leaves is checked, so a damaged blob stops the reader instead of feeding a step. A file that was
   checked and has not changed since (inode, size, times) is not read a second time.
"""

from __future__ import annotations

import itertools
import os
import stat
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import Final

from runnotary.core.errors import BlobNotFound, Conflict, Damaged, FileMissing
from runnotary.core.hashing import digest, digest_bytes, digest_text
from runnotary.ports import Meter
from runnotary.store import files
from runnotary.store.connection import Connection
from runnotary.store.recent import Recent
from runnotary.store.small_blobs import SmallBlobs
from runnotary.store.writer import Writer

SMALL: Final = 16 * 1024
"""From this size on bytes are kept as a file, which costs two syncs: ten times its share of a commit."""

MOVED: Final = 1024 * 1024
"""From this size on it is worth the questions whether a file can be moved instead of copied."""

_CHECKED_MAX: Final = 4096
_Stamp = tuple[int, int, int, int]


class LocalBlobs:
    """The port `Blobs` on the local disk. `arriving` is None where nothing may be written."""

    def __init__(
        self,
        home: Path,
        reader: Callable[[], Connection],
        arriving: SmallBlobs | None,
        writer: Writer | None = None,
        incoming: Path | None = None,
    ) -> None:
        """`incoming` is where files arrive if others share the home: nobody else looks there."""
        self._incoming: Final = incoming or home / "blobs" / "new"
        self._recent: Final = Recent()
        self._writer: Final = writer
        self._folder = home / "blobs"
        self._reader = reader
        self._arriving = arriving
        self._number = itertools.count()
        self._folders: set[str] = set()
        self._checked: dict[str, _Stamp] = {}
        self.meter: Meter | None = None

    @property
    def incoming(self) -> Path:
        """Where bytes wait that are not kept yet; what a crash leaves there is cleared away by `prepare`."""
        return self._incoming

    def prepare(self) -> None:
        """Make the folders, and clear away what a crash left on its way."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self.incoming.mkdir(parents=True, exist_ok=True)
        for stray in self.incoming.iterdir():
            stray.unlink()

    def path(self, text: str) -> Path:
        """Return where the file of a digest is, if it is a file."""
        name = digest_bytes(text).hex()
        return self._folder / name[:2] / name[2:]

    # --- in --------------------------------------------------------------------------------------

    def put(self, data: bytes) -> str:
        """Keep bytes. Small ones become durable with the next append, large ones at once."""
        text = digest(data)
        if len(data) < SMALL:
            arriving = self._writable()
            with self._recent.guard:
                self._note(text)
                arriving.add(digest_bytes(text), bytes(data))
        elif not self._kept(text):
            with files.arriving(self._new()) as file:
                files.write_all(file.handle, data)
                self._keep(file, text)
        return text

    def put_file(self, path: Path, *, known: str = "") -> tuple[str, int]:
        """Keep a file's content; return the digest and size of what was kept.

        If content with the digest `known` and this size is here already, nothing is read.

        Raises:
            FileMissing: there is no such regular file.
        """
        source = _open_regular(path)
        try:
            expected = os.fstat(source).st_size
            if known:
                self.want(known)
                if self.has(known) and self.size(known) == expected:
                    return known, expected
            if expected < SMALL:
                data = os.read(source, SMALL)
                if len(data) < SMALL:
                    return self.put(data), len(data)
                os.lseek(source, 0, os.SEEK_SET)
            return self._take_in(source)
        finally:
            os.close(source)

    def take_file(self, path: Path) -> tuple[str, int]:
        """Keep a file that nobody needs where it is: a large one is moved, if nobody else can write to it.

        Raises:
            FileMissing: there is no such regular file.
        """
        self._writable()
        moving = files.moving(path, self.incoming / f"{os.getpid()}-{next(self._number)}", MOVED)
        if moving is None:
            return self.put_file(path)
        with moving as file:
            raw, size = files.hash_while_syncing(file.handle)
            text = digest_text(raw)
            if not self._kept(text):
                self._keep(file, text)
        return text, size

    def _take_in(self, source: int) -> tuple[str, int]:
        with files.arriving(self._new()) as file:
            raw, size = files.take_in(source, file.handle)
            text = digest_text(raw)
            if not self._kept(text):
                self._keep(file, text)
        return text, size

    def _kept(self, text: str) -> bool:
        """Note that somebody brings these bytes, and tell whether they are a file already."""
        with self._recent.guard:
            self._note(text)
            return self.path(text).exists()

    def _keep(self, file: files.Arriving, text: str) -> None:
        target = self.path(text)
        if target.parent.name not in self._folders:
            target.parent.mkdir(exist_ok=True)
            files.sync_folder(self._folder)
            self._folders.add(target.parent.name)
        files.settle(file, target)
        found = os.fstat(file.handle)
        self._note_checked(text, found)
        if self.meter is not None:
            self.meter.kept(found.st_size)

    def _new(self) -> Path:
        self._writable()
        return self.incoming / f"{os.getpid()}-{next(self._number)}"

    def _writable(self) -> SmallBlobs:
        if self._arriving is None:
            raise Conflict("this home is open for reading only")
        return self._arriving

    # --- away ------------------------------------------------------------------------------------

    def want(self, text: str) -> None:
        """Say that something is about to name these bytes: who discards blobs now leaves them."""
        with self._recent.guard:
            self._note(text)

    async def discard(self, named: Sequence[tuple[str, int]], unused: Collection[str]) -> list[str]:
        """Let go of those blobs that nothing names any more; return those that went.

        `named` are all blobs that the purged runs named, each with the position in the log where the last
        of these ended; what names others stands before them. A blob that somebody put or wanted after that
        stays, and so does all that is behind it. While other servers are at work all stay, for nobody here
        knows what they are about to name: `prune` takes them later.
        """
        arriving, gone, stay = self._writable(), [], False
        if self._writer is not None and not await self._writer.do(self._writer.is_alone):
            return []
        for text, ended in named:
            with self._recent.guard:
                settled = self._recent.settled(text, ended)
                if text not in unused:
                    continue
                stay = stay or not settled
                if stay:
                    continue
                arriving.drop(digest_bytes(text))
                self._checked.pop(text, None)
                self.path(text).unlink(missing_ok=True)
            gone.append(text)
        if gone and self._writer is not None:
            await self._writer.ask([])
        return gone

    def every(self) -> list[str]:
        """Return the digest of all bytes that are kept; those on their way are not among them."""
        small = [digest_text(row[0]) for row in self._reader().ask("blob_digests")]
        large = [
            f"sha256:{folder.name}{path.name}"
            for folder in sorted(self._folder.iterdir())
            if folder != self.incoming
            for path in sorted(folder.iterdir())
        ]
        return small + large

    def _note(self, text: str) -> None:
        self._recent.note(text, self._writer.position if self._writer is not None else 0)

    # --- out -------------------------------------------------------------------------------------

    def get(self, text: str) -> bytes:
        """Return the bytes, checked against the digest.

        Raises:
            BlobNotFound: not here.
            Damaged: the bytes are not those of the digest.
        """
        data = self._small(text)
        if data is None:
            try:
                with open(_open_regular(self.path(text)), "rb") as file:
                    data = file.read()
            except (OSError, FileMissing):
                raise _missing(text) from None
        if digest(data) != text:
            raise _damaged(text)
        return data

    def stage(self, text: str, target: Path, *, executable: bool = False) -> None:
        """Make the content available at `target`, as a file of its own that shares nothing writable.

        Raises:
            BlobNotFound: not here.
            Damaged: the bytes are not those of the digest; `target` is not made.
        """
        small = self._small(text)
        mode = files.EXECUTABLE if executable else files.READ_ONLY
        handle = os.open(target, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            if small is None:
                self._stage_file(text, handle)
            elif digest(small) == text:
                files.write_all(handle, small)
            else:
                raise _damaged(text)
            os.fchmod(handle, mode)
        except BaseException:
            target.unlink(missing_ok=True)
            raise
        finally:
            os.close(handle)

    def _stage_file(self, text: str, handle: int) -> None:
        try:
            source = os.open(self.path(text), os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            raise _missing(text) from None
        try:
            before = os.fstat(source)
            if self._checked.get(text) == _stamp(before):
                if not files.clone(source, handle):
                    files.copy(source, handle)
                return
            raw, _ = files.take_in(source, handle)
            if digest_text(raw) != text:
                raise _damaged(text)
            self._note_checked(text, before)
        finally:
            os.close(source)

    def has(self, text: str) -> bool:
        """Tell whether the bytes are here."""
        raw = digest_bytes(text)
        if self._arriving is not None and raw in self._arriving.waiting:
            return True
        if self._reader().ask("blob_size", (raw,)).fetchone() is not None:
            return True
        return self.path(text).exists()

    def size(self, text: str) -> int:
        """Return how many bytes there are.

        Raises:
            BlobNotFound: not here.
        """
        raw = digest_bytes(text)
        data = self._arriving.waiting.get(raw) if self._arriving is not None else None
        if data is not None:
            return len(data)
        row = self._reader().ask("blob_size", (raw,)).fetchone()
        if row is not None:
            return int(row[0])
        try:
            return self.path(text).stat().st_size
        except OSError:
            raise _missing(text) from None

    def _small(self, text: str) -> bytes | None:
        raw = digest_bytes(text)
        data = self._arriving.waiting.get(raw) if self._arriving is not None else None
        if data is not None:
            return data
        row = self._reader().ask("blob", (raw,)).fetchone()
        return None if row is None else row[0]

    def _note_checked(self, text: str, now: os.stat_result) -> None:
        if len(self._checked) >= _CHECKED_MAX:
            del self._checked[next(iter(self._checked))]
        self._checked[text] = _stamp(now)


def _open_regular(path: Path) -> int:
    try:
        # Not blocking, so that a pipe in place of a file is refused rather than waited for.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        raise FileMissing(f"{path} is not here") from None
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return handle
    os.close(handle)
    raise FileMissing(f"{path} is not a regular file")


def _stamp(now: os.stat_result) -> _Stamp:
    return now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns


def _missing(text: str) -> BlobNotFound:
    return BlobNotFound(f"{text} is not in this home")


def _damaged(text: str) -> Damaged:
    return Damaged([f"blob {text}: the bytes kept are not those of the digest"])
