"""What one commit holds: events, their log rows and tiles, the rows that follow from them, what is erased."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from runnotary.core import chain
from runnotary.core.merkle import Range
from runnotary.ports import Change, Erasure
from runnotary.store.connection import Connection
from runnotary.store.projections import Drafts


class Head(msgspec.Struct, frozen=True):
    """The end of a stream: what the next event is chained to. Nothing follows on one that was `erased`.

    One that `waits` has no position in the log yet.
    """

    seq: int
    hash: bytes
    at: int
    erased: bool = False
    waits: bool = False


class Commit:
    """A commit in the making."""

    __slots__ = (
        *("blank", "ends", "erased", "events", "follows", "heads", "log", "placed", "rows", "spans", "tiles"),
    )

    def __init__(self) -> None:
        self.events: list[tuple[bytes, int, bytes, bytes]] = []
        self.heads: dict[bytes, Head] = {}
        self.spans: dict[bytes, tuple[int, int]] = {}
        self.rows = Drafts()
        self.erased: dict[bytes, Erasure] = {}
        self.blank: list[tuple[bytes, int]] = []
        self.log: list[tuple[int, bytes, int, int, bytes]] = []
        self.tiles: list[tuple[int, int, bytes]] = []
        self.placed = True
        """Its entries of the log have positions; else they are 0, and another server will give them."""
        self.follows: list[tuple[bytes, int]] = []
        """Events that must be there, and still say something: what follows them may follow the end of a run,
        and another server may purge or erase it meanwhile.
        """
        self.ends = False
        """Something ends with it: a checkpoint should follow soon."""

    def close_log(self, tree: Range | None) -> None:
        """Give each stream its log row and its leaf in the tree; without one they are not placed yet."""
        for stream, (pos, from_seq) in self.spans.items():
            head = self.heads[stream]
            self.log.append((pos, stream, from_seq, head.seq, head.hash))
        if tree is not None:
            self.tiles += tree.grow(
                chain.leaf_hash(stream, seq, head) for _, stream, _, seq, head in self.log
            )

    def changes(self) -> list[Change]:
        """Return what watchers are told; nothing if it has no positions yet."""
        entries = self.log if self.placed else ()
        return [Change(pos, stream, from_seq, seq) for pos, stream, from_seq, seq, _ in entries]

    def write(
        self,
        connection: Connection,
        blobs: Sequence[tuple[bytes, bytes]],
        leaving: Sequence[bytes],
    ) -> None:
        """Write all of it, with the blobs that come and go, in the transaction that the caller has begun."""
        erases = bool(self.erased or self.blank or leaving)
        if erases:  # what goes is overwritten, not only forgotten
            connection.overwrite(True)
            self._erase(connection, leaving)
            connection.overwrite(False)
        if blobs:
            connection.ask_many("put_blob", blobs)
        connection.ask_many("append_event", self.events)
        if self.placed:
            connection.ask_many("append_log", self.log)
        else:
            connection.ask_many("append_pending", [entry[1:] for entry in self.log])
        if self.tiles:
            connection.ask_many("append_tile", self.tiles)
        self.rows.write(connection)

    def _erase(self, connection: Connection, leaving: Sequence[bytes]) -> None:
        for stream, erasure in self.erased.items():
            connection.ask("erase_bodies" if erasure.bodies else "erase_events", (stream,))
            connection.ask("erase_run", (erasure.run,))
            connection.ask("erase_tasks", (erasure.run,))
            connection.ask_many("erase_use", [(blob, erasure.run) for blob in erasure.blobs])
            if erasure.key is not None:
                connection.ask("erase_key", erasure.key)
        connection.ask_many("erase_body", self.blank)
        connection.ask_many("drop_blob", [(digest,) for digest in leaving])
