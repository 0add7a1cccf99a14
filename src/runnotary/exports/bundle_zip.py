"""The one form of zip that a bundle has: nothing compressed, one time, sorted names, no choice anywhere.

So the same members are the same file, byte for byte. `Layout` is what stands around members, for whoever
writes a bundle and for whoever checks one: `Zip` reads a file from front to end and compares it with that.
A zip's own directory, where others would look, is never believed and never followed.
"""

from __future__ import annotations

import json
import os
import re
import stat
import struct
import zlib
from collections.abc import Iterator
from hashlib import sha256
from typing import Any, BinaryIO, Final, NamedTuple

Json = Any
PIECE: Final = 1 << 20
WHOLE_MAX: Final = 1 << 28
LINE_MAX: Final = 1 << 20
"""Bytes that are held at a time: of a blob, of a member that is read as a whole, of a line."""

MANIFEST: Final = "MANIFEST"
README, VERIFIER, REPORT = "README.txt", "verify.py", "report.html"
EVENTS, LOG, PROOF = "events.jsonl", "log.jsonl", "proof.tlog-proof"
KEY, KEYS, TOMBSTONES = "key.vkey", "keys.jsonl", "tombstones.jsonl"
RUN, TASKS = "run.json", "tasks.json"
NEEDED: Final = frozenset({MANIFEST, README, VERIFIER, EVENTS, LOG, PROOF, KEY, KEYS, RUN, TASKS})
MEMBERS: Final = NEEDED | {REPORT, TOMBSTONES}
BLOB: Final = re.compile(r"blobs/sha256/[0-9a-f]{64}")

_LOCAL: Final = struct.Struct("<4s5H3I2H")
_ENTRY: Final = struct.Struct("<4s6H3I5H2I")
_END: Final = struct.Struct("<4s4H2IH")
_FULL: Final = 0xFFFFFFFF
_MANY: Final = 0xFFFF
_DAY: Final = 33  # 1980-01-01, the first that a zip can name
_FILE: Final = (stat.S_IFREG | 0o644) << 16


class Refused(Exception):
    """What is wrong with a bundle."""


class Layout:
    """What stands around members: a header before each, and a directory behind the last."""

    def __init__(self) -> None:
        self.offset = 0
        self.entries: list[bytes] = []

    def add(self, name: str, crc: int, size: int) -> bytes:
        """Return the header that stands before a member of this size in bytes."""
        raw, big, far = name.encode(), size >= _FULL, self.offset >= _FULL
        told, needed = min(size, _FULL), 45 if big or far else 20
        fixed = (needed, 0, 0, 0, _DAY, crc, told, told, len(raw))
        extra = struct.pack("<2H2Q", 1, 16, size, size) if big else b""
        header = _LOCAL.pack(b"PK\3\4", *fixed, len(extra)) + raw + extra
        wide = [size, size] * big + [self.offset] * far
        more = struct.pack(f"<2H{len(wide)}Q", 1, 8 * len(wide), *wide) if wide else b""
        place = (len(more), 0, 0, 0, _FILE, min(self.offset, _FULL))
        self.entries.append(_ENTRY.pack(b"PK\1\2", 3 << 8 | needed, *fixed, *place) + raw + more)
        self.offset += len(header) + size
        return header

    def end(self) -> bytes:
        """Return what stands behind the last member."""
        directory, count, at = b"".join(self.entries), len(self.entries), self.offset
        size, wide = len(directory), b""
        if count >= _MANY or at >= _FULL or size >= _FULL:
            wide = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 3 << 8 | 45, 45, 0, 0, count, count, size, at)
            wide += struct.pack("<4sIQI", b"PK\6\7", 0, at + size, 1)
        few = min(count, _MANY)
        end = _END.pack(b"PK\5\6", 0, 0, few, few, min(size, _FULL), min(at, _FULL), 0)
        return directory + wide + end


class Member(NamedTuple):
    """Where the bytes of a member stand, how many, and what they are."""

    offset: int
    size: int
    digest: str


class Zip:
    """A bundle as a file; every member was hashed when it was opened."""

    def __init__(self, file: BinaryIO) -> None:
        """Read it once, from front to end.

        Raises:
            Refused: it is of another form, cut off, or its bytes are not those of its checksums.
        """
        self._file: Final = file
        self._size: Final = file.seek(0, os.SEEK_END)
        self._layout: Final = Layout()
        self.members: Final[dict[str, Member]] = {}
        file.seek(0)
        if not self._size:
            raise Refused("the file is empty")
        mark = file.read(4)
        if mark != b"PK\3\4":
            raise Refused("this is no bundle: the file does not begin as a zip with members does")
        while mark == b"PK\3\4":
            self._take(mark)
            mark = file.read(4)
        expected = self._layout.end()
        found = mark + file.read(len(expected) - 3)
        if found != expected:
            raise Refused(_directory_wrong(found, self._layout.entries, expected))

    def _take(self, mark: bytes) -> None:
        """Check and hash the member that stands here."""
        head = mark + self._exactly(_LOCAL.size - 4, "a header")
        _, _, flags, method, _, _, crc, _, size, name_size, extra_size = _LOCAL.unpack(head)
        head += self._exactly(name_size, "a name")
        name = _allowed(head[_LOCAL.size :], self.members)
        if method or flags & 0x41:
            raise Refused(f"{name} is compressed or encrypted; a bundle holds bytes as they are")
        if size == _FULL and extra_size == 20:
            head += self._exactly(extra_size, "a header")
            size = struct.unpack("<4xQ8x", head[-20:])[0]
        if size > self._size - self._file.tell():
            raise Refused(f"{name} should have {size:,} bytes; the file is cut off, or that is not true")
        if self._layout.add(name, crc, size) != head:
            raise Refused(f"the header of {name} is not the one that a bundle has there")
        start, hashed, found = self._file.tell(), sha256(), 0
        for piece in self._pieces(name, size):
            hashed.update(piece)
            found = zlib.crc32(piece, found)
        if found != crc:
            raise Refused(f"{name} was changed: its bytes are not those of its checksum")
        self.members[name] = Member(start, size, "sha256:" + hashed.hexdigest())

    def _exactly(self, count: int, what: str) -> bytes:
        data = self._file.read(count)
        if len(data) != count:
            raise Refused(f"the file is cut off within {what}")
        return data

    def _pieces(self, name: str, size: int) -> Iterator[bytes]:
        while size:
            piece = self._exactly(min(size, PIECE), name)
            size -= len(piece)
            yield piece

    def member(self, name: str) -> Member:
        """Return where a member is.

        Raises:
            Refused: it is not here.
        """
        if name not in self.members:
            raise Refused(f"{shown(name)} is missing")
        return self.members[name]

    def read(self, name: str) -> bytes:
        """Return a member that is to be read as a whole.

        Raises:
            Refused: it is not here, longer than anybody should hold, or changed since it was hashed.
        """
        member = self.member(name)
        if member.size > WHOLE_MAX:
            raise Refused(f"{name} is longer than {WHOLE_MAX:,} bytes")
        self._file.seek(member.offset)
        data = self._file.read(member.size)
        if "sha256:" + sha256(data).hexdigest() != member.digest:
            raise Refused(f"{name} changed while it was read")
        return data

    def lines(self, name: str) -> Iterator[Json]:
        """Yield the JSON of each line of a member.

        Raises:
            Refused: it is not here, holds something else, or changed since it was hashed.
        """
        member, hashed = self.member(name), sha256()
        at, end = member.offset, member.offset + member.size
        while at < end:
            self._file.seek(at)
            line = self._file.readline(min(LINE_MAX, end - at))
            if not line.endswith(b"\n"):
                raise Refused(f"{name} holds a line that is too long, or does not end")
            hashed.update(line)
            at += len(line)
            yield parsed(line, name)
        if "sha256:" + hashed.hexdigest() != member.digest:
            raise Refused(f"{name} changed while it was read")


def _allowed(raw: bytes, members: dict[str, Member]) -> str:
    """Return the name of a member, if a bundle has one of that name, and here."""
    name = raw.decode("latin-1")
    if name not in MEMBERS and not BLOB.fullmatch(name):
        leads = name.startswith("/") or "\\" in name or ":" in name or ".." in name.split("/")
        raise Refused(f"{shown(name)} {'leads out of the bundle' if leads else 'is no member of a bundle'}")
    if name in members:
        raise Refused(f"{name} is there twice")
    if members and name < next(reversed(members)):
        raise Refused(f"{name} does not stand in its place: members are sorted by name")
    return name


def _directory_wrong(found: bytes, entries: list[bytes], expected: bytes) -> str:
    """Say how the directory of a zip differs from the one that its members have."""
    if found.startswith(expected):
        return "bytes follow behind the end of the bundle"
    if expected.startswith(found):
        return "the file is cut off: its directory is not complete"
    at = 0
    for entry in entries:
        there = found[at : at + len(entry)]
        if there != entry and len(there) == len(entry) and there[:4] == b"PK\1\2":
            name = entry[_ENTRY.size : _ENTRY.size + _ENTRY.unpack(entry[: _ENTRY.size])[10]].decode()
            if stat.S_ISLNK(_ENTRY.unpack(there[: _ENTRY.size])[15] >> 16):
                return f"{name} is a link"
            return f"the directory of the zip says something else of {name} than stands there"
        at += len(entry)
    return "the directory of the zip is not that of its members: more or fewer of them, or a comment"


def parsed(data: bytes, what: str) -> Json:
    """Read JSON.

    Raises:
        Refused: it is none.
    """
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as wrong:
        raise Refused(f"{shown(what)} is no JSON: {wrong}") from None


def blob_name(digest: str) -> str:
    """Return the name of the member that is a blob."""
    return "blobs/sha256/" + digest.removeprefix("sha256:")


def shown(text: str) -> str:
    """Write a foreign text so that it does nothing to a terminal."""
    return text if len(text) < 100 and text.isascii() and text.isprintable() else ascii(text[:100])
