"""The 512 bytes: what goes in comes out, and nothing else is taken for a record."""

import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runnotary.executors import attempt_record
from runnotary.executors.attempt_record import Damaged, Record, pack, unpack


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
