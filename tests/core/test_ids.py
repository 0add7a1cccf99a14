"""Ids: UUIDv7 bits, ULID letters, order of creation; ids of tasks and attempts that nobody stores."""

from __future__ import annotations

import hashlib
import uuid

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from runnotary.core.ids import attempt_id, created_us, from_text, task_id, to_text, uuid7

raw = st.binary(min_size=16, max_size=16)
times = st.integers(0, 2**48 * 1000 - 1)
chances = st.binary(min_size=8, max_size=8)


@given(times, chances)
def test_it_is_a_uuid_of_version_7(at: int, chance: bytes) -> None:
    made = uuid.UUID(bytes=uuid7(at, chance))
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert made.int >> 80 == at // 1000
    assert created_us(made.bytes) == at // 1000 * 1000


@given(times, chances)
def test_all_bits_that_are_not_time_are_chance(at: int, chance: bytes) -> None:
    chosen = (1 << 62) - 1
    assert int.from_bytes(uuid7(at, chance), "big") & chosen == int.from_bytes(chance, "big") & chosen


@given(times, chances, chances)
def test_they_sort_by_the_microsecond(at: int, one: bytes, other: bytes) -> None:
    assume(at + 1 < 2**48 * 1000)
    assert uuid7(at, one) < uuid7(at + 1, other)


def test_every_microsecond_of_a_millisecond_has_its_own_bits() -> None:
    made = [uuid7(1_700_000_000_000_000 + us, b"\xff" * 8) for us in range(1001)]
    assert sorted(set(made)) == made


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


@pytest.mark.parametrize("size", [0, 7, 9, 10])
def test_chance_has_eight_bytes(size: int) -> None:
    with pytest.raises(ValueError, match="8 random bytes"):
        uuid7(0, bytes(size))


@given(raw, st.text(st.characters(exclude_categories=["Cs"])), st.integers(1, 2**32 - 1))
def test_tasks_and_attempts_have_derived_ids(run: bytes, key: str, number: int) -> None:
    task = hashlib.sha256(b"runnotary.task.1" + run + key.encode()).digest()[:16]
    attempt = hashlib.sha256(b"runnotary.attempt1" + run + number.to_bytes(4, "big") + key.encode()).digest()[
        :16
    ]
    assert from_text(task_id(run, key)) == task
    assert from_text(attempt_id(run, key, number)) == attempt
