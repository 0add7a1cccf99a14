"""Canonical form against an independent implementation, and digests."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import msgspec
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from runnotary.core import hashing
from runnotary.core.hashing import NotCanonical, canonical, digest, digest_bytes, digest_text, is_digest

EXACT = 2**53 - 1
text = st.text(st.characters(exclude_categories=["Cs"]))
scalars = st.none() | st.booleans() | text | st.floats(allow_nan=False, allow_infinity=False)
integers = st.integers(-EXACT, EXACT)


def documents(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(text, inner), max_leaves=20)


@given(documents(scalars | integers))
def test_it_is_rfc_8785(value: Any) -> None:
    assert canonical(value) == rfc8785.dumps(value)


@given(documents(st.none() | st.booleans() | text | st.integers()))
def test_integers_of_any_size_are_plain_digits(value: Any) -> None:
    assert json.loads(canonical(value)) == value
    assert canonical(value) == canonical(json.loads(canonical(value)))


@given(documents(scalars | integers))
def test_reading_and_writing_again_gives_the_same_bytes(value: Any) -> None:
    once = canonical(value)
    assert canonical(msgspec.json.decode(once)) == once


@given(st.dictionaries(text, integers, min_size=2))
def test_the_order_of_keys_does_not_matter(value: dict[str, int]) -> None:
    assert canonical(dict(reversed(value.items()))) == canonical(value)


def test_keys_are_ordered_by_utf16_units() -> None:
    # U+1F600 is D83D DE00 in UTF-16 and so comes before U+FB33, although its code point is greater.
    assert canonical({"\ufb33": 1, "\U0001f600": 2}) == '{"\U0001f600":2,"\ufb33":1}'.encode()


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (1e21, "1e+21"),
        (1e20, "100000000000000000000"),
        (-0.0, "0"),
        (0.1, "0.1"),
        (5e-324, "5e-324"),
        (10.0, "10"),
        (2**64, "18446744073709551616"),
        (-(2**53) - 1, "-9007199254740993"),
        ('\u2028 \x7f \x1f " \\ /', '"\u2028 \x7f \\u001f \\" \\\\ /"'),
        ((1, [2]), "[1,[2]]"),
        ({}, "{}"),
    ],
)
def test_spellings(value: Any, written: str) -> None:
    assert canonical(value) == written.encode()


@pytest.mark.parametrize(
    "value",
    [
        float("nan"),
        float("inf"),
        [float("-inf")],
        {1: 2},
        {"a": {None: 1}},
        "\ud800",
        {"\udfff": 1},
        b"x",
        {1, 2},
    ],
)
def test_what_has_no_canonical_form_is_refused(value: Any) -> None:
    with pytest.raises(NotCanonical):
        canonical(value)


def test_depth_is_limited() -> None:
    value: Any = 0
    for _ in range(hashing.DEPTH_MAX):
        value = [value]
    canonical(value)
    with pytest.raises(NotCanonical, match="deeper"):
        canonical([value])


@given(st.binary())
def test_a_digest_is_sha256_in_lower_hex(data: bytes) -> None:
    name = digest(data)
    assert name == "sha256:" + hashlib.sha256(data).hexdigest()
    assert is_digest(name)
    assert digest_text(digest_bytes(name)) == name


@pytest.mark.parametrize(
    "text", ["", "sha256:", "sha256:" + "A" * 64, "sha256:" + "a" * 63, "md5:" + "a" * 64, "a" * 64]
)
def test_what_is_no_digest(text: str) -> None:
    assert not is_digest(text)
