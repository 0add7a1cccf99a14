"""Blobs: under their own hash or not at all, read-only, and never half there."""

from __future__ import annotations

import errno
import mmap
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runnotary.core.errors import BlobNotFound, Damaged, FileMissing
from runnotary.core.hashing import EMPTY, digest
from runnotary.store import files
from runnotary.store.blobs import MOVED, SMALL
from runnotary.store.records import Records
from tests.store.places import Place

LARGE = bytes(range(256)) * 64
SIZES = [0, 1, SMALL - 1, SMALL, SMALL + 1, 3 * files.CHUNK + 7]


@pytest.fixture
def store(place: Place) -> Iterator[Records]:
    opened = place.open()
    yield opened
    opened.close()


@pytest.mark.parametrize("size", SIZES)
def test_bytes_come_back_under_their_digest(store: Records, tmp_path: Path, size: int) -> None:
    data = os.urandom(size)
    name = store.blobs.put(data)
    assert name == digest(data)
    assert store.blobs.has(name) and store.blobs.size(name) == size
    assert store.blobs.get(name) == data
    target = tmp_path / "staged"
    store.blobs.stage(name, target)
    assert target.read_bytes() == data


@pytest.mark.parametrize("size", SIZES)
def test_a_file_is_kept_by_its_content(store: Records, tmp_path: Path, size: int) -> None:
    source = tmp_path / "source"
    source.write_bytes(data := os.urandom(size))
    name, kept = store.blobs.put_file(source)
    assert (name, kept) == (digest(data), size)
    source.write_bytes(b"changed afterwards")
    assert store.blobs.get(name) == data
    assert store.blobs.path(name).exists() == (size >= SMALL)


def test_the_same_bytes_are_kept_once(store: Records, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(LARGE)
    name = store.blobs.put(LARGE)
    before = store.blobs.path(name).stat()
    assert store.blobs.put_file(source) == (name, len(LARGE))
    assert store.blobs.put(LARGE) == name
    after = store.blobs.path(name).stat()
    assert (before.st_ino, before.st_ctime_ns) == (after.st_ino, after.st_ctime_ns)


def test_known_content_is_not_read_again(store: Records, tmp_path: Path) -> None:
    name = store.blobs.put(LARGE)
    same_size = tmp_path / "same-size"
    same_size.write_bytes(bytes(len(LARGE)))
    assert store.blobs.put_file(same_size, known=name) == (name, len(LARGE))
    shorter = tmp_path / "shorter"
    shorter.write_bytes(LARGE[:-1])
    assert store.blobs.put_file(shorter, known=name)[0] == digest(LARGE[:-1])


def test_what_is_not_a_file_is_refused(store: Records, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    for name in ("missing", "pipe", "link", "missing/inside"):
        with pytest.raises(FileMissing):
            store.blobs.put_file(tmp_path / name)
    with pytest.raises(FileMissing):
        store.blobs.put_file(tmp_path)


def test_what_is_not_here_is_said_so(store: Records, tmp_path: Path) -> None:
    name = digest(b"never put")
    assert not store.blobs.has(name)
    for attempt in (
        lambda: store.blobs.get(name),
        lambda: store.blobs.size(name),
        lambda: store.blobs.stage(name, tmp_path / "target"),
    ):
        with pytest.raises(BlobNotFound):
            attempt()
    assert not (tmp_path / "target").exists()


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o077])
def test_modes_do_not_depend_on_the_umask(store: Records, tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        name = store.blobs.put(LARGE)
        store.blobs.stage(name, tmp_path / "data")
        store.blobs.stage(name, tmp_path / "program", executable=True)
    finally:
        os.umask(before)
    modes = [
        path.stat().st_mode & 0o777
        for path in (store.blobs.path(name), tmp_path / "data", tmp_path / "program")
    ]
    assert modes == [0o444, 0o444, 0o555]


def test_a_staged_file_is_a_file_of_its_own(store: Records, tmp_path: Path) -> None:
    name = store.blobs.put(LARGE)
    for number in range(2):
        target = tmp_path / f"staged{number}"
        store.blobs.stage(name, target)
        target.chmod(0o600)
        target.write_bytes(b"overwritten by a step")
        assert store.blobs.get(name) == LARGE


def test_nothing_is_staged_over_what_is_there(store: Records, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_text("mine")
    with pytest.raises(FileExistsError):
        store.blobs.stage(store.blobs.put(b"x"), target)
    assert target.read_text() == "mine"


def test_a_damaged_blob_never_reaches_a_step(store: Records, tmp_path: Path) -> None:
    name = store.blobs.put(LARGE)
    store.blobs.stage(name, tmp_path / "before")
    path = store.blobs.path(name)
    path.chmod(0o600)
    path.write_bytes(LARGE[:-1] + b"!")
    with pytest.raises(Damaged):
        store.blobs.get(name)
    with pytest.raises(Damaged):
        store.blobs.stage(name, tmp_path / "after")
    assert not (tmp_path / "after").exists()


def test_leftovers_of_a_crash_are_cleared_away(place: Place) -> None:
    store = place.open()
    stray = store.blobs.incoming / "1-1"
    store.close()
    stray.write_bytes(b"half")
    place.open().close()
    assert not stray.exists()


def test_the_empty_blob_has_its_name(store: Records) -> None:
    assert store.blobs.put(b"") == EMPTY


def test_a_copy_is_whole_where_blocks_cannot_be_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> int:
        raise OSError(errno.EXDEV, "not here")

    source = tmp_path / "source"
    source.write_bytes(data := os.urandom(3 * files.CHUNK + 1))
    for number, missing in enumerate(([], ["copy_file_range"])):
        for name in missing:
            monkeypatch.setattr(os, name, refuse)
        target = tmp_path / f"target{number}"
        with source.open("rb") as reading, target.open("wb") as writing:
            files.copy(reading.fileno(), writing.fileno())
        assert target.read_bytes() == data


FILLS_THE_DISK = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[3])
from tests.store.history import open_store
store = open_store(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
for attempt in (lambda: store.blobs.put(bytes(2_000_000)), lambda: store.blobs.put_file(Path(sys.argv[2]))):
    try:
        attempt()
    except OSError as error:
        print("refused", error.errno)
store.blobs.put(bytes(500_000))
store.close()
"""


def test_a_full_disk_leaves_nothing_half_stored(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(2_000_000))
    home = tmp_path / "home"
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", FILLS_THE_DISK, str(home), str(source), str(root)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == [f"refused {errno.EFBIG}"] * 2, done.stderr
    kept = [path for path in (home / "blobs").rglob("*") if path.is_file()]
    assert [path.stat().st_size for path in kept] == [500_000]


# --- files that nobody needs where they are ----------------------------------------------------------

MOVABLE = os.urandom(MOVED + 5)


@pytest.mark.parametrize("size", [*SIZES, MOVED - 1, MOVED, MOVED + 1])
def test_a_file_that_is_taken_is_kept_by_its_content(store: Records, tmp_path: Path, size: int) -> None:
    source = tmp_path / "source"
    source.write_bytes(data := os.urandom(size))
    name, kept = store.blobs.take_file(source)
    assert (name, kept) == (digest(data), size)
    assert store.blobs.get(name) == data
    assert source.exists() == (size < MOVED), "a large one is moved"
    assert list(store.blobs.incoming.iterdir()) == []


def test_a_moved_file_is_the_blob_itself_and_nobody_may_write_to_it(store: Records, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(MOVABLE)
    source.chmod(0o777)
    inode = source.stat().st_ino
    name, _ = store.blobs.take_file(source)
    found = store.blobs.path(name).stat()
    assert (found.st_ino, found.st_mode & 0o777) == (inode, 0o444)


def test_what_is_here_already_is_not_kept_twice(store: Records, tmp_path: Path) -> None:
    name = store.blobs.put(MOVABLE)
    before = store.blobs.path(name).stat()
    source = tmp_path / "source"
    source.write_bytes(MOVABLE)
    assert store.blobs.take_file(source) == (name, len(MOVABLE))
    assert store.blobs.path(name).stat().st_ino == before.st_ino
    assert not source.exists() and list(store.blobs.incoming.iterdir()) == []


def test_a_file_that_somebody_may_still_write_to_is_copied(store: Records, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(MOVABLE)
    with source.open("r+b") as writer:
        name, _ = store.blobs.take_file(source)
        writer.write(b"changed afterwards")
    assert source.read_bytes().startswith(b"changed afterwards")
    assert source.stat().st_mode & 0o200, "it was not touched"
    assert store.blobs.get(name) == MOVABLE


def test_a_file_that_is_mapped_for_writing_is_copied(store: Records, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(MOVABLE)
    with source.open("r+b") as file:
        mapped = mmap.mmap(file.fileno(), 0)
    name, _ = store.blobs.take_file(source)
    mapped[:7] = b"changed"
    mapped.close()
    assert store.blobs.get(name) == MOVABLE


def test_a_file_with_another_name_is_copied(store: Records, tmp_path: Path) -> None:
    source, other = tmp_path / "source", tmp_path / "other"
    source.write_bytes(MOVABLE)
    other.hardlink_to(source)
    name, _ = store.blobs.take_file(source)
    other.write_bytes(b"changed afterwards")
    assert store.blobs.get(name) == MOVABLE


def test_what_is_no_file_cannot_be_taken(store: Records, tmp_path: Path) -> None:
    for path in (tmp_path / "nothing", tmp_path):
        with pytest.raises(FileMissing):
            store.blobs.take_file(path)


def test_a_disk_that_fails_while_a_file_is_taken_keeps_nothing(
    store: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "source"
    source.write_bytes(MOVABLE)

    def fails(handle: int) -> None:
        raise OSError(errno.EIO, "the disk is gone")

    monkeypatch.setattr(os, "fsync", fails)
    with pytest.raises(OSError, match="the disk is gone"):
        store.blobs.take_file(source)
    monkeypatch.undo()
    assert not store.blobs.has(digest(MOVABLE)) and list(store.blobs.incoming.iterdir()) == []
