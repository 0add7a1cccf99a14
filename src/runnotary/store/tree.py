"""The Merkle tree of a home, read from the leaves in `log` and the tiles above them.

A tile is the hash of a perfect subtree of 256 leaves, of 65,536, and so on; the writer keeps each in the
commit that completes it. Whatever else a proof needs is hashed again, at most 255 hashes for each level.
"""

from __future__ import annotations

from typing import Final

from runnotary.core import chain, merkle
from runnotary.core.errors import Damaged
from runnotary.core.merkle import TILE_LEVELS, TILE_WIDTH, Range
from runnotary.store.connection import Connection, transaction

_BLOCKS_HELD: Final = 64


class Nodes:
    """Hashes of perfect subtrees, by (level, index); good for as long as the log only grows.

    Raises:
        Damaged: leaves or tiles are missing.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection: Final = connection
        self._blocks: dict[tuple[int, int], list[list[bytes]]] = {}

    def __call__(self, level: int, index: int) -> bytes:
        tile, above = divmod(level, TILE_LEVELS)
        first = index << above
        block = first // TILE_WIDTH
        rows = self._block(tile, block, first % TILE_WIDTH + (1 << above))
        return rows[above][(first % TILE_WIDTH) >> above]

    def tile(self, level: int, index: int) -> bytes:
        """Make a tile anew, from what is below it."""
        return self._block(level - 1, index, TILE_WIDTH)[TILE_LEVELS][0]

    def _block(self, tile: int, block: int, needed: int) -> list[list[bytes]]:
        """Return up to 256 hashes of a level of tiles, and what stands above them in the block."""
        known = self._blocks.get((tile, block))
        if known is None or len(known[0]) < needed:
            known = _pyramid(self._read(tile, block))
            if len(known[0]) < needed:
                raise Damaged([f"log: leaves or tiles are missing below level {tile}, block {block}"])
            if len(self._blocks) >= _BLOCKS_HELD:
                self._blocks.clear()
            self._blocks[tile, block] = known
        return known

    def _read(self, tile: int, block: int) -> list[bytes]:
        first = block * TILE_WIDTH
        if tile:
            rows = self._connection.ask("tiles", (tile, first, first + TILE_WIDTH))
            return [row[0] for row in rows]
        rows = self._connection.ask("leaves", (first, first + TILE_WIDTH))
        return [chain.leaf_hash(*row) for row in rows]


def _pyramid(hashes: list[bytes]) -> list[list[bytes]]:
    rows = [hashes]
    while len(rows[-1]) > 1:
        below = rows[-1]
        rows.append([merkle.node(below[at], below[at + 1]) for at in range(0, len(below) - 1, 2)])
    return rows


def grown(connection: Connection) -> Range:
    """Return the tree of the whole log, ready to grow."""
    size = connection.ask("last_pos").fetchone()[0]
    nodes = Nodes(connection)
    return Range(size, [nodes(*one) for one in merkle.subtrees(0, size)])


def complete(connection: Connection) -> None:
    """Make the tiles that are missing, as in a home of an older release; the caller holds the transaction."""
    size = connection.ask("last_pos").fetchone()[0]
    level = 1
    while (due := size >> TILE_LEVELS * level) > 0:
        if connection.ask("count_tiles", (level,)).fetchone()[0] != due:
            nodes = Nodes(connection)
            known = {row[0] for row in connection.ask("tile_numbers", (level,))}
            for number in range(due):
                if number not in known:
                    connection.ask_many("append_tile", [(level, number, nodes.tile(level, number))])
        level += 1


def complete_now(connection: Connection) -> None:
    """Make the missing tiles in a transaction of their own."""
    with transaction(connection):
        complete(connection)
