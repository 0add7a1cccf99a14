"""The tree and its proofs, against the definition in RFC 6962 §2.1 written down as it stands there."""

from __future__ import annotations

from functools import cache
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runnotary.core import merkle
from runnotary.core.merkle import BadProof, Range

SIZE = 300
LEAVES = [sha256(b"\x00" + index.to_bytes(4, "big")).digest() for index in range(SIZE)]
sizes = st.integers(1, SIZE)


@cache
def tree_hash(first: int, end: int) -> bytes:
    """MTH(D[first:end]) of the RFC, recursion and all."""
    count = end - first
    if count == 0:
        return sha256(b"").digest()
    if count == 1:
        return LEAVES[first]
    half = 1
    while half * 2 < count:
        half *= 2
    return sha256(b"\x01" + tree_hash(first, first + half) + tree_hash(first + half, end)).digest()


def node_of(level: int, index: int) -> bytes:
    assert (index + 1) << level <= SIZE, "only perfect subtrees are asked for"
    return tree_hash(index << level, (index + 1) << level)


def test_the_root_is_that_of_the_rfc_at_every_size() -> None:
    grown = Range()
    assert grown.root() == tree_hash(0, 0) == merkle.EMPTY
    for size, leaf in enumerate(LEAVES, start=1):
        assert len(list(grown.grow([leaf]))) == (size == 256)
        assert grown.size == size
        assert grown.root() == tree_hash(0, size) == merkle.span_root(0, size, node_of)


def test_a_tile_is_the_hash_of_256_leaves_and_then_of_256_tiles() -> None:
    grown, leaf = Range(), LEAVES[0]
    tiles = [tile for _ in range(2 * 256 * 256) for tile in grown.grow([leaf])]
    assert [tile[:2] for tile in tiles if tile[0] == 2] == [(2, 0), (2, 1)]
    assert [number for level, number, _ in tiles if level == 1] == list(range(512))
    first = Range()
    for _ in range(256):
        list(first.grow([leaf]))
    assert {digest for level, _, digest in tiles if level == 1} == {first.root()}
    assert tiles[256][2] == grown.roots[0] or len(grown.roots) == 1


def test_growing_goes_on_from_what_was_kept() -> None:
    for size in (0, 1, 2, 3, 127, 128, 255, 256):
        kept = Range(size, [node_of(*one) for one in merkle.subtrees(0, size)])
        for leaf in LEAVES[size:]:
            list(kept.grow([leaf]))
        assert kept.root() == tree_hash(0, SIZE)


@given(st.data())
def test_a_leaf_is_proven_at_its_place_and_at_no_other(data: st.DataObject) -> None:
    size = data.draw(sizes)
    index = data.draw(st.integers(0, size - 1))
    path, root = merkle.inclusion(index, size, node_of), tree_hash(0, size)
    merkle.check_inclusion(LEAVES[index], index, size, path, root)
    elsewhere = data.draw(st.integers(-1, size))
    if elsewhere != index:
        with pytest.raises(BadProof):
            merkle.check_inclusion(LEAVES[index], elsewhere, size, path, root)
    other = data.draw(st.integers(0, SIZE - 1))
    if other != index:
        with pytest.raises(BadProof):
            merkle.check_inclusion(LEAVES[other], index, size, path, root)


@given(st.data())
def test_no_other_path_proves_a_leaf(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, SIZE))
    index = data.draw(st.integers(0, size - 1))
    path, root = merkle.inclusion(index, size, node_of), tree_hash(0, size)
    at = data.draw(st.integers(0, len(path) - 1))
    flipped = bytes([path[at][0] ^ 1]) + path[at][1:]
    for forged in (path[:at] + path[at + 1 :], [*path, path[at]], [*path[:at], flipped, *path[at + 1 :]]):
        with pytest.raises(BadProof):
            merkle.check_inclusion(LEAVES[index], index, size, forged, root)


@given(st.data())
def test_a_tree_that_grew_is_shown_to_continue_the_old_one(data: st.DataObject) -> None:
    new = data.draw(sizes)
    old = data.draw(st.integers(1, new))
    path = merkle.consistency(old, new, node_of)
    merkle.check_consistency(old, new, path, tree_hash(0, old), tree_hash(0, new))
    other = data.draw(st.integers(1, SIZE))
    if other != old:
        with pytest.raises(BadProof):
            merkle.check_consistency(old, new, path, tree_hash(0, other), tree_hash(0, new))
    if other != new:
        with pytest.raises(BadProof):
            merkle.check_consistency(old, new, path, tree_hash(0, old), tree_hash(0, other))
    if path:
        at = data.draw(st.integers(0, len(path) - 1))
        for forged in (path[:at] + path[at + 1 :], [*path, path[at]]):
            with pytest.raises(BadProof):
                merkle.check_consistency(old, new, forged, tree_hash(0, old), tree_hash(0, new))


@pytest.mark.parametrize(("index", "size"), [(0, 0), (5, 5), (-1, 5)])
def test_there_is_no_proof_of_a_leaf_that_is_not_there(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="no leaf"):
        merkle.inclusion(index, size, node_of)


@pytest.mark.parametrize(("old", "new"), [(0, 5), (6, 5), (-1, 5)])
def test_a_smaller_or_an_empty_tree_continues_nothing(old: int, new: int) -> None:
    with pytest.raises(ValueError, match="cannot be shown"):
        merkle.consistency(old, new, node_of)
    with pytest.raises(BadProof):
        merkle.check_consistency(old, new, [], tree_hash(0, 1), tree_hash(0, 1))


def test_known_vectors_of_certificate_transparency() -> None:
    """Roots of the eight leaves that implementations of RFC 6962 are commonly tested with."""
    texts = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ]
    grown = Range()
    for text in texts:
        list(grown.grow([sha256(b"\x00" + bytes.fromhex(text)).digest()]))
    assert grown.root().hex() == "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"
