"""The record of one process attempt: 512 bytes that survive a full disk, a dead engine and a dead keeper.

Pure and standard library only: the keeper, which is a script, and the engine share this file.
The layout is described in docs/keeper.md.
"""

import binascii
import os
import stat
import struct
from contextlib import suppress

SIZE = 512
VERSION = 1
MAGIC = b"RNATTEMP"
BLANK = "blank"  # the name of a record that has done its duty, in a folder that is used again

CLAIMED, RUNNING, EXITED = 1, 2, 3
STATES = {CLAIMED: "claimed", RUNNING: "running", EXITED: "exited"}

SCAN, CGROUP = 1, 2
CONTAINMENTS = {SCAN: "scan", CGROUP: "cgroup"}

LOG_FILES, MASKER, WORKING_DIRECTORY, EXEC = 1, 2, 3, 4
SPAWN_STEPS = {LOG_FILES: "log files", MASKER: "masker", WORKING_DIRECTORY: "working directory", EXEC: "exec"}

MASKER_DIED = 255  # log_errno of a masker that left no errno of its own

_FIELDS = (
    "version",
    "state",
    "containment",
    "spawn_step",
    "stop_signal",
    "log_errno",
    "attempt",
    "boot_id",
    "keeper_pid",
    "pid",
    "keeper_ticks",
    "start_ticks",
    "spawn_errno",
    "wait_status",
    "claimed_us",
    "started_us",
    "exited_us",
    "elapsed_us",
    "stop_us",
    "utime_us",
    "stime_us",
    "maxrss_kib",
    "stdout_size",
    "stderr_size",
    "survivors",
    "stuck",
)
_LAYOUT = struct.Struct("<8s HBBBBH 64s16s II QQ II QQQQQ QQQ QQ II 292x")
_CHECKSUM = struct.Struct("<I")
_NEW = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
_OLD = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Damaged(ValueError):
    """The bytes are not a whole record: the attempt is claimed, and nothing else is known."""


class Record:
    """What is known about one attempt; mutable, because the keeper fills it in as things happen."""

    version: int = VERSION
    state: int = CLAIMED
    containment: int = SCAN
    spawn_step: int = 0
    stop_signal: int = 0
    log_errno: int = 0
    attempt: str
    boot_id: bytes
    keeper_pid: int
    pid: int = 0
    keeper_ticks: int
    start_ticks: int = 0
    spawn_errno: int = 0
    wait_status: int = 0
    claimed_us: int = 0
    started_us: int = 0
    exited_us: int = 0
    elapsed_us: int = 0
    stop_us: int = 0
    utime_us: int = 0
    stime_us: int = 0
    maxrss_kib: int = 0
    stdout_size: int = 0
    stderr_size: int = 0
    survivors: int = 0
    stuck: int = 0

    def __init__(self, attempt: str, boot_id: bytes, keeper_pid: int, keeper_ticks: int) -> None:
        self.attempt = attempt
        self.boot_id = boot_id
        self.keeper_pid = keeper_pid
        self.keeper_ticks = keeper_ticks

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Record) and pack(self) == pack(other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Record({', '.join(f'{name}={getattr(self, name)!r}' for name in _FIELDS)})"


def pack(record: Record) -> bytes:
    """The 512 bytes of a record."""
    values = [getattr(record, name) for name in _FIELDS]
    values[6] = record.attempt.encode()
    body = _LAYOUT.pack(MAGIC, *values)
    return body + _CHECKSUM.pack(binascii.crc32(body))


def unpack(data: bytes) -> Record:
    """The record in these bytes; Damaged if they are not exactly one that `pack` made."""
    if len(data) != SIZE:
        raise Damaged(f"{len(data)} bytes instead of {SIZE}")
    body = data[: _LAYOUT.size]
    if _CHECKSUM.unpack_from(data, _LAYOUT.size)[0] != binascii.crc32(body):
        raise Damaged("the checksum is wrong")
    magic, *values = _LAYOUT.unpack(body)
    if magic != MAGIC or values[0] != VERSION:
        raise Damaged(f"magic {magic!r}, version {values[0]}: not a record of version {VERSION}")
    record = Record("", b"", 0, 0)
    record.__dict__.update(zip(_FIELDS, values, strict=True))
    record.attempt = values[6].rstrip(b"\0").decode()
    return record


def read(path: str | os.PathLike[str]) -> Record:
    """The record in a file. FileNotFoundError: never claimed, so never spawned."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            return unpack(os.pread(fd, SIZE + 1, 0))
        except Damaged:  # perhaps read in the middle of a write
            return unpack(os.pread(fd, SIZE + 1, 0))
    finally:
        os.close(fd)


def claim(folder: str, record: Record) -> int:
    """Writes the record and returns its descriptor. FileExistsError: the attempt has been claimed before.

    Any other OSError: nothing is claimed. A blank gets its content first and its name afterwards, by a link,
    which like O_EXCL happens once; it costs a fifth of a file that is made and preallocated.
    """
    fd = _blank(folder)
    if fd is not None:
        try:
            os.pwrite(fd, pack(record), 0)
            os.link(f"{folder}/{BLANK}", f"{folder}/record")
        except OSError:
            os.close(fd)
            raise
        with suppress(OSError):  # a second name of the record harms nobody
            os.unlink(f"{folder}/{BLANK}")
        return fd
    fd = os.open(f"{folder}/record", _NEW, 0o600)
    try:
        os.posix_fallocate(fd, 0, SIZE)
        os.pwrite(fd, pack(record), 0)
    except OSError:
        os.unlink(f"{folder}/record")
        os.close(fd)
        raise
    return fd


def _blank(folder: str) -> int | None:
    """The descriptor of a blank that is one: a file of ours with no other name and room for a record."""
    try:
        fd = os.open(f"{folder}/{BLANK}", _OLD)
    except OSError:
        return None
    found = os.fstat(fd)
    if stat.S_ISREG(found.st_mode) and found.st_nlink == 1 and found.st_size == SIZE and found.st_blocks:
        return fd
    os.close(fd)
    return None
