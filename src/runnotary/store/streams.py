"""How appends become a commit: every stream checked on its own, events sealed, positions and leaves given.

What is remembered between commits (the ends of streams, the last position, the tree) is only ever a copy of
what is committed, and is dropped whenever something unexpected happens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from runnotary.core import chain, events
from runnotary.core.merkle import Range
from runnotary.ports import Append, Appended, Chance, Refusal
from runnotary.store import tree
from runnotary.store.commit import Commit, Head
from runnotary.store.connection import Connection

Result = Appended | Refusal

Entry = tuple[bytes, int, int, bytes]
"""A stream in the log: first and last event of a commit, and the head after it."""

_HEADS_MAX: Final = 16_384
_EMPTY: Final = Head(0, chain.GENESIS, 0)
_ENDS: Final = frozenset(
    {
        events.RunFinished,
        events.RunUpdated,
        events.RunHeld,
        events.RunAnnotated,
        events.AccessChanged,
        events.StreamErased,
    }
)
"""After these a checkpoint is made soon; what only goes on waits for one of them, or for a moment of rest."""

_AFTER_END: Final[frozenset[type[events.Event]]] = frozenset(
    {events.RunUpdated, events.RunHeld, events.RunAnnotated}
)
"""These may follow the end of a run."""


class Unplaced(Exception):
    """An event would stand in the log before one that it follows, or is about, which has no position yet."""


class Streams:
    """The streams of one home; used in the writer's thread only."""

    def __init__(self, connection: Connection, chance: Chance) -> None:
        self._connection: Final = connection
        self._chance: Final = chance
        self._heads: dict[bytes, Head] = {}
        self._placing: dict[bytes, int] = {}
        """Up to where streams get positions before what is drafted now."""
        self._pos: int | None = None
        self._tree: Range | None = None

    def draft(
        self,
        appends: Sequence[Append],
        *,
        trusting: bool,
        places: bool = True,
        before: Sequence[Entry] = (),
    ) -> tuple[Commit, list[Result]]:
        """Seal what is asked for. It counts only when it is committed: then `remember` it, else `forget`.

        Without `places` somebody else gives positions. `before` are entries of others that get theirs first.

        Raises:
            Unplaced: an entry of another must get its position first that is not among them.
        """
        commit = Commit()
        self._placing = {stream: seq for stream, _, seq, _ in before}
        for stream, from_seq, seq, head in before:
            self._heads.pop(stream, None)
            commit.log.append((self._next_pos(len(commit.log)), stream, from_seq, seq, head))
        commit.ends, commit.placed = bool(before), places
        nonces = self._chance.token(chain.NONCE_SIZE * sum(len(append.events) for append in appends))
        results: list[Result] = []
        used = 0
        before_it: Append | None = None
        for append in appends:
            if goes_on(append, before_it) and isinstance(results[-1], Refusal):
                results.append(results[-1])
            else:
                results.append(self._seal(append, commit, nonces, used, trusting))
            before_it = append
            used += chain.NONCE_SIZE * len(append.events)
        if commit.spans or before:
            commit.close_log(self.tree() if places else None)
        return commit, results

    def remember(self, commit: Commit) -> None:
        """The commit is durable."""
        for stream, head in commit.heads.items():
            self._heads.pop(stream, None)
            self._heads[stream] = head
        for stream in commit.erased:
            self._heads.pop(stream, None)
        while len(self._heads) > _HEADS_MAX:
            del self._heads[next(iter(self._heads))]
        if commit.log and commit.placed:
            self._pos = commit.log[-1][0]

    def forget(self) -> None:
        """Something went wrong: look everything up again."""
        self._heads.clear()
        self._pos = self._tree = None

    def tree(self) -> Range:
        """Return the tree of what is committed, or about to be."""
        if self._tree is None:
            self._tree = tree.grown(self._connection)
        return self._tree

    def end(self, stream: bytes) -> Head:
        """Return the end of a stream."""
        known = self._heads.get(stream)
        if known is not None:
            return known
        row = self._connection.ask("head", (stream,)).fetchone()
        return _EMPTY if row is None else Head(row[0], row[1], chain.unpack(row[2]).at, *map(bool, row[3:]))

    def _seal(self, append: Append, commit: Commit, nonces: bytes, used: int, trusting: bool) -> Result:
        stream = append.stream
        head = commit.heads.get(stream) or self._head(append, commit, trusting)
        if stream in commit.erased:
            return Refusal(stream, "conflict", "the run was purged")
        if head.erased:
            return Refusal(stream, "conflict", "the run was erased", head.seq)
        if refusal := self._kept(append, commit):
            return refusal
        if head.seq != append.expected_seq:
            return Refusal(stream, "conflict", f"the stream has {head.seq} events", head.seq)
        if not append.events:
            return failed(append, "nothing to append")
        sealed: list[tuple[bytes, int, bytes, bytes]] = []
        seq, prev, at = head.seq, head.hash, max(append.at, head.at)
        try:
            for event in append.events:
                seq += 1
                nonce = nonces[used : used + chain.NONCE_SIZE]
                one = chain.seal(stream, seq, prev, at, append.actor, event, nonce)
                if len(one.body) > events.BODY_MAX + chain.NONCE_SIZE:
                    return failed(
                        append, f"event {seq} has {len(one.body)} bytes, more than {events.BODY_MAX}"
                    )
                sealed.append((stream, seq, one.envelope, one.body))
                prev = one.hash
                used += chain.NONCE_SIZE
        except Exception as error:  # noqa: BLE001 - whatever cannot be encoded is this stream's own fault
            return failed(append, f"event {seq} cannot be written: {error}")
        pos, from_seq = commit.spans.setdefault(
            stream,
            (self._next_pos(len(commit.log) + len(commit.spans)) if commit.placed else 0, head.seq + 1),
        )
        if head.seq and append.events[0].__class__ in _AFTER_END and stream not in commit.heads:
            commit.follows.append((stream, head.seq))
        commit.events += sealed
        commit.ends |= append.events[-1].__class__ in _ENDS
        commit.heads[stream] = Head(seq, prev, at)
        commit.rows.add(append.rows, new=from_seq == 1)
        commit.erased.update((chain.run_stream(erasure.run), erasure) for erasure in append.erase)
        commit.blank += ((stream, seq) for seq in append.blank)
        return Appended(stream, seq, prev, pos)

    def _kept(self, append: Append, commit: Commit) -> Refusal | None:
        """Refuse a tombstone of a run whose stream does not end any more where it says."""
        for erasure in append.erase:
            stream = chain.run_stream(erasure.run)
            head = commit.heads.get(stream) or self.end(stream)
            if stream in commit.erased or (head.seq, head.hash) != (erasure.seq, erasure.head):
                return Refusal(stream, "conflict", f"the stream has {head.seq} events", head.seq)
            self._see_placed(stream, head, commit)
        return None

    def _head(self, append: Append, commit: Commit, trusting: bool) -> Head:
        """Return a stream's end. Whoever expects it to be empty is believed at first: the key will tell."""
        if trusting and append.expected_seq == 0 and append.stream not in self._heads:
            return _EMPTY
        head = self.end(append.stream)
        if head.seq != append.expected_seq and append.stream in self._heads:
            del self._heads[append.stream]  # what was remembered may be old: others write too
            head = self.end(append.stream)
        self._see_placed(append.stream, head, commit)
        return head

    def _see_placed(self, stream: bytes, head: Head, commit: Commit) -> None:
        """See that what this commit says of the end of a stream stands behind it in the log."""
        if commit.placed and head.waits and self._placing.get(stream, 0) < head.seq:
            raise Unplaced(chain.stream_name(stream))

    def _next_pos(self, drafted: int) -> int:
        if self._pos is None:
            self._pos = self._connection.ask("last_pos").fetchone()[0]
        return self._pos + drafted + 1


def goes_on(append: Append, before: Append | None) -> bool:
    """Tell whether an append is the rest of what the one before it begins: of one turn, by another actor.

    Then neither is written without the other.
    """
    return before is not None and (append.stream, append.expected_seq) == (
        before.stream,
        before.expected_seq + len(before.events),
    )


def failed(append: Append, message: str) -> Refusal:
    """Return the refusal of an append that can never be written."""
    return Refusal(append.stream, "failed", message)


def away(append: Append, message: str) -> Refusal:
    """Return the refusal of an append whose database cannot be reached now."""
    return Refusal(append.stream, "away", message)


def unwritten(append: Append, message: str) -> Refusal:
    """Return the refusal of an append that the database did not take."""
    return Refusal(append.stream, "unwritten", message)
