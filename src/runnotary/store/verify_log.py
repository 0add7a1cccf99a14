"""Checking the log as a whole: the tree over it, every checkpoint, the keys, and what stands outside.

    a stream's chain      says what its events are, up to its head
    the log               says in what order heads were committed
    the tree              one hash for all of that, at every size
    a checkpoint          a signature of size and hash; it cannot be made again without the key

So an attacker who rewrites rows, and makes every hash anew, is left with checkpoints that do not fit. One who
takes them away as well is left with the checkpoint outside.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from itertools import islice, starmap
from typing import Any, Final

import msgspec

from runnotary.core import chain, merkle, notes
from runnotary.core.errors import Damaged
from runnotary.core.events import By, EngineNoted, KeyChanged
from runnotary.core.merkle import Range
from runnotary.core.notes import BadNote, Checkpoint, Note, PublicKey
from runnotary.core.times import to_text as time_text
from runnotary.store.connection import Connection
from runnotary.store.key_ring import KeyRing, signed
from runnotary.store.report import Notebook, Proven, Restoration
from runnotary.store.sealing import LEDGER, RESTORED
from runnotary.store.tree import Nodes

Outside = tuple[str, str]
"""Where a checkpoint was found outside the database, and its text."""

GIVEN: Final = "the checkpoint given"


class Trust(msgspec.Struct, frozen=True):
    """What whoever verifies brings along: a key and witnesses they know, a checkpoint they kept."""

    key: PublicKey | None = None
    witnesses: tuple[PublicKey, ...] = ()
    checkpoint: str | None = None


class _Restored(msgspec.Struct, frozen=True):
    """Data of an `engine.noted` of kind `restored`."""

    by: By
    checkpoint: str
    reason: str = ""
    lost: str = ""


class LogCheck:
    """The checks of one home's log."""

    def __init__(self, connection: Connection, notebook: Notebook, trust: Trust) -> None:
        self._connection: Final = connection
        self._notebook: Final = notebook
        self._trust: Final = trust
        self._keys: Final = KeyRing()
        self._origins: list[tuple[int, str]] = []
        self._backups: list[tuple[str, Any]] = []
        self._notes: dict[int, Note] = {}
        self._elsewhere: list[str] = []
        self._size = 0
        self._learn()

    def whole(self, outside: Sequence[Outside]) -> Proven | None:
        """Check tree, tiles and checkpoints, and those that went out; return what the newest proves."""
        for size, text in self._connection.ask("all_checkpoints"):
            self._read(f"checkpoint {size}", text, size)
        brought = self._brought(outside)
        restored = [one for where, text in self._backups if (one := self._given(where, text))]
        roots = self._walk({*self._notes, *(made.size for made, _ in (*brought, *restored))})
        for size, note in self._notes.items():
            self._compare(f"checkpoint {size}", notes.read_checkpoint(note.text), roots)
        for made, where in restored:
            self._compare(where, made, roots)
        for made, where in brought:
            self._compare(where, made, roots, code="rollback")
            if made.size > max(self._notes, default=0) and where != GIVEN:
                self._notebook.found(
                    "checkpoint", where, f"the home has no checkpoint of {made.size} entries"
                )
        return self._proven()

    def covers(self, streams: Sequence[bytes], outside: Sequence[Outside]) -> Proven | None:
        """Check that the newest checkpoint covers streams to their ends; return what it proves."""
        self._size = self._connection.ask("last_pos").fetchone()[0]
        nodes = Nodes(self._connection)
        for made, where in self._brought(outside):
            self._compare(where, made, self._roots(made.size, nodes), code="rollback")
        row = self._connection.ask("newest_checkpoint").fetchone()
        note = None if row is None else self._read(f"checkpoint {row[0]}", row[1], row[0])
        covered = False
        if note is not None:
            made = notes.read_checkpoint(note.text)
            if made.size > self._size:
                self._compare(f"checkpoint {made.size}", made, {})
            else:
                checked = [self._covers(stream, made, nodes) for stream in streams]
                covered = all(checked)
        proven = self._proven()
        return proven if covered else None

    def _covers(self, stream: bytes, made: Checkpoint, nodes: Nodes) -> bool:
        end = self._connection.ask("log_end", (stream,)).fetchone()
        if end is None or end[2] > made.size:
            return False
        seq, head, pos = end
        try:
            path = merkle.inclusion(pos - 1, made.size, nodes)
            merkle.check_inclusion(chain.leaf_hash(stream, seq, head), pos - 1, made.size, path, made.root)
        except (Damaged, ValueError) as wrong:
            where = f"checkpoint {made.size}"
            self._notebook.found("checkpoint", where, f"log {pos} is not covered by it: {wrong}")
            return False
        return True

    def _brought(self, outside: Sequence[Outside]) -> list[tuple[Checkpoint, str]]:
        """Read the checkpoints that were kept outside the database, by the home or by who verifies."""
        given = self._trust.checkpoint
        texts = outside if given is None else (*outside, (GIVEN, given))
        self._elsewhere = [text for _, text in texts]
        return [one for where, text in texts if (one := self._given(where, text))]

    # --- inside ------------------------------------------------------------------------------------

    def _roots(self, size: int, nodes: Nodes) -> dict[int, bytes]:
        """Return the root that the log has at a size, by its stored tiles; none if it cannot be made."""
        with suppress(Damaged):
            return {size: merkle.span_root(0, size, nodes)}
        return {}

    def _learn(self) -> None:
        """Read from the ledger which keys may sign from when on, and what the log is called from when on."""
        for seq, envelope, body in self._connection.ask("noted", (LEDGER,)):
            if seq == 1:
                self._learn_origin(seq)
            try:
                record = chain.opened(seq, envelope, body)
                event = record.event
                pos = self._connection.ask("pos_of", (LEDGER, seq)).fetchone()[0]
            except (ValueError, TypeError):
                continue  # The walk over the streams reports it.
            if isinstance(event, EngineNoted) and event.kind == RESTORED:
                self._learn_origin(seq)
                self._restored(pos, record.at, event.data)
            elif isinstance(event, KeyChanged):
                try:
                    self._keys.learn(event, pos)
                except BadNote as wrong:
                    self._notebook.found("key", event.key, str(wrong))

    def _restored(self, pos: int, at: int, data: Any) -> None:
        """Note what the ledger says of a restore; the checkpoint that it names is checked with the others."""
        where = f"the restore at log {pos}"
        try:
            said = msgspec.convert(data, _Restored)
            lost = notes.read_checkpoint(notes.read_note(said.lost).text).size if said.lost else 0
        except (msgspec.ValidationError, BadNote) as wrong:
            self._notebook.found("log", where, f"does not say what was restored: {wrong}")
            return
        if said.checkpoint:  # a backup may be older than its home's first one
            self._backups.append((f"{where}, its backup's checkpoint", said.checkpoint))
        told = Restoration(
            time=time_text(at), by=said.by.principal, reason=said.reason, entries=pos - 1, lost=lost
        )
        self._notebook.restores.append(told)

    def _learn_origin(self, seq: int) -> None:
        """Take an event of the home's ledger for the one that opened the log, whatever it said."""
        head = self._connection.ask("head_at", (LEDGER, seq)).fetchone()
        row = self._connection.ask("pos_of", (LEDGER, seq)).fetchone()
        if head is not None and row is not None:
            self._origins.append((row[0], notes.origin_of(head[0])))

    def _read(self, where: str, text: Any, size: int) -> Note | None:
        """Read and check a stored checkpoint apart from its root."""
        made = self._given(where, text if isinstance(text, str) else repr(text))
        if made is None:
            return None
        if made[0].size != size:
            self._notebook.found("checkpoint", where, f"it is of {made[0].size} entries")
            return None
        self._notebook.counts["checkpoints"] += 1
        self._notes[size] = note = notes.read_note(text)
        return note

    def _given(self, where: str, text: str) -> tuple[Checkpoint, str] | None:
        """Read a checkpoint and check who signed it, and for which log."""
        try:
            note = notes.read_note(text)
            made = notes.read_checkpoint(note.text)
        except BadNote as wrong:
            self._notebook.found("checkpoint", where, f"cannot be read: {wrong}")
            return None
        known = [name for pos, name in self._origins if pos <= made.size]
        if made.origin not in known[-1:]:
            self._notebook.found("checkpoint", where, f"is of another log: {made.origin}")
        if self._keys.signer(note, made.size) is None:
            self._notebook.found(
                "checkpoint", where, "no key of this home that was in use then has signed it"
            )
        return made, where

    def _walk(self, sizes: set[int]) -> dict[int, bytes]:
        """Make the tree anew, compare its tiles, and return its roots at these sizes."""
        tree, roots = Range(), dict[int, bytes]()
        stored = {(level, number): digest for level, number, digest in self._connection.ask("all_tiles")}
        leaves = starmap(chain.leaf_hash, self._connection.ask("all_leaves"))
        for size in [*sorted(sizes), None]:
            some = islice(leaves, None if size is None else max(size - tree.size, 0))
            for level, number, digest in tree.grow(some):
                if stored.pop((level, number), None) != digest:
                    wrong = "is not the hash of what is below it"
                    self._notebook.found("log", f"tile {level}/{number}", wrong)
            if tree.size == size:
                roots[size] = tree.root()
        for level, number in stored:
            self._notebook.found("log", f"tile {level}/{number}", "stands over nothing")
        self._size = tree.size
        return roots

    def _compare(
        self, where: str, made: Checkpoint, roots: dict[int, bytes], *, code: str = "checkpoint"
    ) -> None:
        if made.size > self._size:
            what = (
                f"says that the log had {made.size} entries; it has {self._size}: an older copy, or cut off"
            )
            self._notebook.found("rollback", where, what)
        elif roots.get(made.size) != made.root:
            self._notebook.found(
                code, where, f"the first {made.size} entries of the log are not those it was made of"
            )

    def _witnessed(self, note: Note, witness: PublicKey) -> bool:
        """Tell whether a witness has signed a checkpoint, here or where else it was kept."""
        copies = [note]
        for text in self._elsewhere:
            with suppress(BadNote):
                copies.append(notes.read_note(text))
        return any(copy.text == note.text and signed(copy, witness) for copy in copies)

    def _proven(self) -> Proven | None:
        if not self._notes:
            if self._trust.key is not None:
                wrong = f"there is none, and so nothing that the key {self._trust.key.name} has signed"
                self._notebook.found("key", "checkpoints", wrong)
            return None
        size = max(self._notes)
        note = self._notes[size]
        key = self._keys.signer(note, size)
        pinned = self._trust.key
        vouched = pinned is not None and key is not None and self._keys.vouches(pinned, key)
        if pinned is not None and not vouched:
            wrong = f"the key {pinned.name} ({pinned.id.hex()}) neither signed it nor vouches for who did"
            self._notebook.found("key", f"checkpoint {size}", wrong)
        last = self._connection.ask("last_pos").fetchone()[0]
        return Proven(
            size=size,
            uncovered=last - size,
            key="" if key is None else key.name,
            pinned=vouched,
            witnesses=tuple(one.name for one in self._trust.witnesses if self._witnessed(note, one)),
        )
