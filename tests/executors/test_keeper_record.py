"""The 512 bytes: what goes in comes out, and nothing else is taken for a record."""

import os
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runnotary.executors import attempt_record
from runnotary.executors.attempt_record import Damaged, Record, pack, unpack
from runnotary.executors.process.folders import Folders


def sample() -> Record:
    record = Record("attempt-1", bytes(range(16)), 4_194_303, 2**40)
    record.state, record.pid, record.wait_status, record.stop_signal = attempt_record.EXITED, 77, 0x8B, 15
    record.stdout_size, record.survivors = 2**50, 3
    return record


@given(
    attempt=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", fullmatch=True),
    state=st.sampled_from(sorted(attempt_record.STATES)),
    status=st.integers(0, 0xFFFF),
    micros=st.integers(0, 2**63),
)
def test_a_record_survives_the_round_trip(attempt: str, state: int, status: int, micros: int) -> None:
    record = sample()
    record.attempt, record.state, record.wait_status, record.exited_us = attempt, state, status, micros
    data = pack(record)
    assert len(data) == attempt_record.SIZE
    assert unpack(data) == record


@pytest.mark.parametrize("offset", range(attempt_record.SIZE))
def test_any_changed_byte_is_noticed(offset: int) -> None:
    data = bytearray(pack(sample()))
    for bit in range(8):
        data[offset] ^= 1 << bit
        with pytest.raises(Damaged):
            unpack(bytes(data))
        data[offset] ^= 1 << bit


@given(st.binary(max_size=600))
def test_other_bytes_are_not_a_record(data: bytes) -> None:
    with pytest.raises(Damaged):
        unpack(data)


def test_the_layout_is_the_documented_one() -> None:
    data = pack(sample())
    assert data[:8] == b"RNATTEMP"
    assert struct.unpack_from("<HB", data, 8) == (1, 3)
    assert data[16:80].rstrip(b"\0") == b"attempt-1"
    assert struct.unpack_from("<II", data, 96) == (4_194_303, 77)
    assert struct.unpack_from("<I", data, 124) == (0x8B,)
    assert struct.unpack_from("<Q", data, 192) == (2**50,)
    assert struct.unpack_from("<I", data, 208) == (3,)


def test_an_empty_or_longer_file_is_damaged_and_none_is_none(tmp_path: Path) -> None:
    path = tmp_path / "record"
    with pytest.raises(FileNotFoundError):
        attempt_record.read(path)
    for content in (b"", pack(sample())[:-1], pack(sample()) + b"\0"):
        path.write_bytes(content)
        with pytest.raises(Damaged):
            attempt_record.read(path)
    path.write_bytes(pack(sample()))
    assert attempt_record.read(path).pid == 77


@pytest.mark.parametrize("blank", [False, True])
def test_an_attempt_is_claimed_once_with_room_for_its_end(tmp_path: Path, blank: bool) -> None:
    if blank:
        os.close(attempt_record.claim(str(tmp_path), Record("earlier", bytes(16), 1, 1)))
        (tmp_path / "record").rename(tmp_path / attempt_record.BLANK)
    os.close(attempt_record.claim(str(tmp_path), sample()))
    assert attempt_record.read(tmp_path / "record") == sample()
    assert os.stat(tmp_path / "record").st_blocks
    assert [path.name for path in tmp_path.iterdir()] == ["record"]
    with pytest.raises(FileExistsError):
        os.close(attempt_record.claim(str(tmp_path), Record("another", bytes(16), 1, 1)))
    assert attempt_record.read(tmp_path / "record") == sample()


@pytest.mark.parametrize("kind", ["a link", "another name of a file", "too long", "a directory", "a pipe"])
def test_only_a_file_of_its_own_is_taken_for_a_blank(tmp_path: Path, kind: str) -> None:
    other, blank = tmp_path / "other", tmp_path / attempt_record.BLANK
    other.write_bytes(bytes(attempt_record.SIZE))
    make = {
        "a link": lambda: blank.symlink_to(other),
        "another name of a file": lambda: blank.hardlink_to(other),
        "too long": lambda: blank.write_bytes(bytes(attempt_record.SIZE + 1)),
        "a directory": blank.mkdir,
        "a pipe": lambda: os.mkfifo(blank),
    }
    make[kind]()
    os.close(attempt_record.claim(str(tmp_path), sample()))
    assert attempt_record.read(tmp_path / "record") == sample()
    assert other.read_bytes() == bytes(attempt_record.SIZE)


def test_a_folder_in_which_a_step_put_a_link_is_not_used_again(tmp_path: Path) -> None:
    folders, other = Folders(str(tmp_path / "attempts")), tmp_path / "other"
    folders.prepare()
    other.write_text("mine")
    Path(folders.make("A1"), "shell.json").symlink_to(other)
    assert not folders.try_recycle("A1")
    assert other.read_text() == "mine"


@pytest.mark.parametrize("left", ["record", "record and blank, one file"])
def test_a_folder_is_used_again_with_its_record_as_a_blank(tmp_path: Path, left: str) -> None:
    folders = Folders(str(tmp_path))
    folder = folders.make("A1")
    os.close(attempt_record.claim(folder, sample()))
    if left != "record":  # a keeper that died between the two names
        os.link(f"{folder}/record", f"{folder}/{attempt_record.BLANK}")
    Path(folder, "shell.json").write_text('{"patient": "P-4711"}')
    assert folders.try_recycle("A1")
    again = Path(folders.make("A2"))
    assert sorted(os.listdir(again)) == [attempt_record.BLANK, "shell.json", "tmp", "work"]
    assert (again / "shell.json").read_text() == ""
