"""The Merkle tree over the log: its root, and proofs that a leaf is in it and that it only ever grew.

    inner node = SHA-256( 01 ‖ left ‖ right )        a leaf is already hashed (`core/chain.leaf_hash`)

Trees and proofs are those of RFC 6962 §2.1. A perfect subtree of 2^level leaves is named by `(level, index)`
and never changes again. 256 of them make one of eight levels further up, which the store keeps as a *tile*: a
proof in a log of any size reads a few hundred hashes. Nothing here recurses over the tree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256
from typing import Final

EMPTY: Final = sha256(b"").digest()
TILE_LEVELS: Final = 8
TILE_WIDTH: Final = 1 << TILE_LEVELS

NodeOf = Callable[[int, int], bytes]
"""Hash of the perfect subtree `(level, index)`."""


class BadProof(ValueError):
    """A proof that does not lead to the root it should."""


def node(left: bytes, right: bytes) -> bytes:
    """Hash an inner node."""
    return sha256(b"\x01" + left + right).digest()


class Range:
    """The roots of the perfect subtrees that make up a tree of `size` leaves, largest first.

    A tree grows by these alone: adding a leaf costs one hash on average, and the root at most 64.
    """

    __slots__ = ("roots", "size")

    def __init__(self, size: int = 0, roots: Sequence[bytes] = ()) -> None:
        self.size = size
        self.roots = list(roots)

    def grow(self, leaves: Iterable[bytes]) -> Iterator[tuple[int, int, bytes]]:
        """Add leaves; yield the tiles that they complete: level in tiles, index, hash. Exhaust it."""
        roots = self.roots
        for leaf in leaves:
            self.size += 1
            left, level, whole = self.size, 0, leaf
            while not left & 1:
                whole = sha256(b"\x01" + roots.pop() + whole).digest()
                left >>= 1
                level += 1
                if not level % TILE_LEVELS:
                    yield level // TILE_LEVELS, left - 1, whole
            roots.append(whole)

    def root(self) -> bytes:
        """Return the root of the tree."""
        if not self.roots:
            return EMPTY
        whole = self.roots[-1]
        for left in reversed(self.roots[:-1]):
            whole = node(left, whole)
        return whole


def subtrees(start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yield the perfect subtrees (level, index) that leaves `start` to `end` consist of, largest first.

    `start` is a multiple of the largest power of two within their number, as it is for every node of a tree.
    """
    for level in reversed(range((end - start).bit_length())):
        if (end - start) >> level & 1:
            yield level, start >> level
            start += 1 << level


def span_root(start: int, end: int, node_of: NodeOf) -> bytes:
    """Return the hash of the node above the leaves `start` to `end` - 1."""
    return Range(end - start, [node_of(*one) for one in subtrees(start, end)]).root()


def inclusion(index: int, size: int, node_of: NodeOf) -> list[bytes]:
    """Return the audit path of a leaf in the tree of the first `size` leaves, from its sibling up (§2.1.1).

    Raises:
        ValueError: there is no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"no leaf {index} in a tree of {size}")
    path: list[bytes] = []
    start, end = 0, size
    while end - start > 1:
        middle = start + _half(end - start)
        if index < middle:
            path.append(span_root(middle, end, node_of))
            end = middle
        else:
            path.append(span_root(start, middle, node_of))
            start = middle
    return path[::-1]


def consistency(old: int, new: int, node_of: NodeOf) -> list[bytes]:
    """Return the proof that the tree of `old` leaves is the beginning of that of `new` leaves (§2.1.2).

    Raises:
        ValueError: the old tree is the larger one, or empty.
    """
    if not 0 < old <= new:
        raise ValueError(f"a tree of {new} leaves cannot be shown to continue one of {old}")
    path: list[bytes] = []
    start, end = 0, new
    while old != end:
        middle = start + _half(end - start)
        if old <= middle:
            path.append(span_root(middle, end, node_of))
            end = middle
        else:
            path.append(span_root(start, middle, node_of))
            start = middle
    if start:
        path.append(span_root(start, end, node_of))
    return path[::-1]


def check_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """Check an audit path (RFC 9162 §2.1.3.2).

    Raises:
        BadProof: it does not lead from this leaf, at this place, to this root.
    """
    if not 0 <= index < size:
        raise BadProof(f"no leaf {index} in a tree of {size}")
    here, last, hashed = index, size - 1, leaf
    for beside in path:
        if not last:
            raise BadProof("the path is too long")
        if here & 1 or here == last:
            hashed = node(beside, hashed)
            here, last = _climbed(here, last)
        else:
            hashed = node(hashed, beside)
        here >>= 1
        last >>= 1
    if last or hashed != root:
        raise BadProof("the path does not lead to the root")


def check_consistency(old: int, new: int, path: Sequence[bytes], old_root: bytes, new_root: bytes) -> None:
    """Check that one tree continues another (RFC 9162 §2.1.4.2).

    Raises:
        BadProof: it does not, or this path does not show it.
    """
    if not 0 < old <= new:
        raise BadProof(f"a tree of {new} leaves cannot continue one of {old}")
    if old == new:
        if path or old_root != new_root:
            raise BadProof("two trees of one size differ")
        return
    steps = list(path) if old & (old - 1) else [old_root, *path]
    here, last = old - 1, new - 1
    while here & 1:
        here >>= 1
        last >>= 1
    if not steps:
        raise BadProof("the path is empty")
    before = after = steps[0]
    for beside in steps[1:]:
        if not last:
            raise BadProof("the path is too long")
        if here & 1 or here == last:
            before, after = node(beside, before), node(beside, after)
            here, last = _climbed(here, last)
        else:
            after = node(after, beside)
        here >>= 1
        last >>= 1
    if last or (before, after) != (old_root, new_root):
        raise BadProof("the path does not lead to both roots")


def _half(count: int) -> int:
    """Return the largest power of two below `count`."""
    return 1 << (count - 1).bit_length() - 1


def _climbed(here: int, last: int) -> tuple[int, int]:
    """Go up from a node that is the last of its level until it has a sibling to its left."""
    while here and not here & 1:
        here >>= 1
        last >>= 1
    return here, last
