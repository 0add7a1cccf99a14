"""Ids: UUIDv7 bits, ULID letters, order of creation; ids of tasks and attempts that nobody stores."""

from __future__ import annotations

import hashlib
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runnotary.core.ids import attempt_id, created_us, from_text, task_id, to_text, uuid7

raw = st.binary(min_size=16, max_size=16)
times = st.integers(0, 2**48 - 1)
chances = st.binary(min_size=10, max_size=10)


@given(times, chances)
def test_it_is_a_uuid_of_version_7(milliseconds: int, chance: bytes) -> None:
    made = uuid.UUID(bytes=uuid7(milliseconds * 1000 + 999, chance))
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == milliseconds
    assert created_us(made.bytes) == milliseconds * 1000


@given(times, chances, chances)
def test_all_other_bits_are_chance(milliseconds: int, one: bytes, other: bytes) -> None:
    fixed = (0xF << 76) | (0x3 << 62)
    bits = int.from_bytes(uuid7(milliseconds * 1000, one), "big") & ~fixed & (1 << 80) - 1
    assert bits == int.from_bytes(one, "big") & ~fixed


@given(raw)
def test_letters_and_bytes_are_the_same_thing(value: bytes) -> None:
    text = to_text(value)
    assert len(text) == 26
    assert from_text(text) == value


@given(raw, raw)
def test_letters_sort_like_bytes(one: bytes, other: bytes) -> None:
    assert (to_text(one) < to_text(other)) == (one < other)


@pytest.mark.parametrize(
    "text", ["", "0" * 25, "0" * 27, "8" + "0" * 25, "I" + "0" * 25, "0" * 25 + "l", "é" * 26]
)
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="an id has"):
        from_text(text)


@pytest.mark.parametrize("size", [0, 9, 11])
def test_chance_has_ten_bytes(size: int) -> None:
    with pytest.raises(ValueError, match="10 random bytes"):
        uuid7(0, bytes(size))


@given(raw, st.text(st.characters(exclude_categories=["Cs"])), st.integers(1, 2**32 - 1))
def test_tasks_and_attempts_have_derived_ids(run: bytes, key: str, number: int) -> None:
    task = hashlib.sha256(b"runnotary.task.1" + run + key.encode()).digest()[:16]
    attempt = hashlib.sha256(b"runnotary.attempt1" + run + number.to_bytes(4, "big") + key.encode()).digest()[
        :16
    ]
    assert from_text(task_id(run, key)) == task
    assert from_text(attempt_id(run, key, number)) == attempt
