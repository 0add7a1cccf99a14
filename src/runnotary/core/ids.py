"""Identifiers: UUIDv7 bits, written as the 26 letters of Crockford base32 (a valid ULID).

Time and chance are arguments, so the same inputs give the same id in a test and in a replay.
Time comes first: keys sort by creation, to the microsecond, and inserts stay local.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import Final

_ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_VALUE: Final = {letter: value for value, letter in enumerate(_ALPHABET)}
_PAIRS: Final = [high + low for high in _ALPHABET for low in _ALPHABET]
TEXT_LENGTH: Final = 26


def uuid7(at_us: int, chance: bytes) -> bytes:
    """Build the 16 bytes of a UUIDv7 (RFC 9562 §5.7) from a time in µs and 8 random bytes.

    The 12 bits between version and variant are the fraction of the millisecond (§6.2, method 3), the 62 bits
    behind the variant chance.
    """
    if len(chance) != 8:
        raise ValueError("a UUIDv7 takes 8 random bytes")
    milliseconds, rest = divmod(at_us, 1000)
    head = milliseconds << 16 | 0x7 << 12 | (rest << 12) // 1000
    tail = int.from_bytes(chance, "big") & (1 << 62) - 1
    return (head << 64 | 0x2 << 62 | tail).to_bytes(16, "big")


def to_text(raw: bytes) -> str:
    """Write 16 bytes as 26 letters: 130 bits, the two leading ones zero."""
    bits = int.from_bytes(raw, "big")
    return "".join([_PAIRS[bits >> shift & 0x3FF] for shift in range(120, -1, -10)])


def from_text(text: str) -> bytes:
    """Read 26 letters back into 16 bytes.

    Raises:
        ValueError: wrong length, a letter outside the alphabet, or more than 128 bits.
    """
    if len(text) != TEXT_LENGTH:
        raise ValueError(f"an id has {TEXT_LENGTH} letters, this one has {len(text)}")
    bits = 0
    try:
        for letter in text:
            bits = bits << 5 | _VALUE[letter]
    except KeyError as unknown:
        raise ValueError(f"an id has no letter {unknown}") from None
    return bits.to_bytes(16, "big") if bits >> 128 == 0 else _too_large()


def is_id(text: str) -> bool:
    """Tell whether 26 letters are an id."""
    try:
        return len(from_text(text)) > 0
    except ValueError:
        return False


def _too_large() -> bytes:
    raise ValueError("an id has at most 128 bits")


def created_us(raw: bytes) -> int:
    """Return the creation time held in an id, in µs, in steps of a millisecond: ids made elsewhere, or by
    earlier releases, have chance where ours have its fraction.
    """
    return int.from_bytes(raw[:6], "big") * 1000


def task_id(run: bytes, key: str) -> str:
    """Return the id of a task: derived from its run and key, so it is never stored."""
    return to_text(hashlib.sha256(b"runnotary.task.1" + run + key.encode()).digest()[:16])


@lru_cache(maxsize=1024)
def attempt_id(run: bytes, key: str, number: int) -> str:
    """Return the id of an attempt: derived, so a repeated start can only claim the same name."""
    seed = b"runnotary.attempt1" + run + number.to_bytes(4, "big") + key.encode()
    return to_text(hashlib.sha256(seed).digest()[:16])
