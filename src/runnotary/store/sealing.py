"""Checkpoints: the size and root of the log, signed by the writer after the commits that they cover.

    commit → sign → keep (a row, in the next commit or in one of its own) → publish (outside the database)

Rules of this file:

1. Only what is durable is signed: a root that a failed commit would have had never gets a signature. Only
   what is kept durably is published: no crash makes a home look rolled back.
2. One size has one root. Before the first signature the newest checkpoint is compared with the log; if it is
   larger, or of another root, the sealer halts and says so. Runs go on; `verify` names what nothing covers.
3. A key signs nothing before the ledger knows it, and nothing after the ledger says that it is out of use.
4. Of every 1,024 sizes the newest checkpoint stays: any other root can be made again from the log.
"""

from __future__ import annotations

import logging
from base64 import b64encode
from collections.abc import Callable
from time import monotonic
from typing import Final

from runnotary.core import chain, merkle, notes
from runnotary.core.errors import Damaged, RunnotaryError
from runnotary.core.events import By, EngineNoted, Event, KeyChanged
from runnotary.core.merkle import Range
from runnotary.core.notes import BUNDLE, Checkpoint, Note, PublicKey, Signature, endorsement
from runnotary.ports import KeyEnd, Signer
from runnotary.store.connection import Connection
from runnotary.store.outside import Outside, fuller
from runnotary.store.tree import Nodes

KEPT_EVERY: Final = 1_024
REST_SECONDS: Final = 1.0
"""What goes on without an end is covered at least this often."""

LEDGER: Final = chain.ledger_stream("default")
RESTORED: Final = "restored"
ENGINE: Final = By("service:engine", "engine")

log = logging.getLogger("runnotary.sealing")


class Sealing:
    """The checkpoints of one home; used in the writer's thread only."""

    def __init__(
        self,
        connection: Connection,
        signer: Signer,
        outside: Outside,
        append: Callable[[tuple[Event, ...]], None],
    ) -> None:
        """`append` writes facts into the home's ledger, durably."""
        self._connection: Final = connection
        self._signer: Final = signer
        self._outside: Final = outside
        self._append: Final = append
        self._origin = ""
        self._key: PublicKey | None = None
        self._pending: tuple[int, str] | None = None
        self._last = monotonic()
        self.wanted = False
        """Something ended: what is committed should be covered soon."""
        self.halted = ""
        """Why nothing is signed any more."""
        self._size = 0
        self.note = ""
        """The newest checkpoint."""
        self.covered = 0
        """How many entries the newest durable checkpoint covers; to be read in any thread."""
        self.look()

    def look(self) -> None:
        """See what was signed last, as of now: another server may have done that since."""
        row = self._connection.ask("newest_checkpoint").fetchone()
        self._size, self.note = (0, "") if row is None else (row[0], fuller(self._outside.home, row[1]))
        self._before = (self._size, self.note)
        self.covered = self._size
        self._pending, self._key = None, None

    @property
    def size(self) -> int:
        """How many entries of the log the newest checkpoint covers."""
        return self._size

    @property
    def pending(self) -> bool:
        """Tell whether a signed note has no row yet."""
        return self._pending is not None

    def due(self, size: int) -> bool:
        """Tell whether a log of this size should be signed now."""
        late = monotonic() - self._last > REST_SECONDS
        return size > self._size and (self.wanted or late) and not self.halted

    def sign(self, tree: Callable[[], Range]) -> None:
        """Sign what is committed, unless that is signed or must not be.

        `tree` is asked for it after the key is known: that may write into the ledger.
        """
        try:
            self._prepare()
            now = tree()
            if self.halted or self._key is None or now.size == self._size:
                return
            text = Checkpoint(self._origin, now.size, now.root()).text
            note = Note(text, (Signature(self._key.name, self._key.id, self._signer.sign(text.encode())),))
        except (Damaged, ValueError) as wrong:
            self.halted = str(wrong)
            log.error("no checkpoint is signed any more: %s", wrong)
            return
        except (self._connection.Error, OSError, RunnotaryError) as wrong:  # a full disk, perhaps
            log.warning("no checkpoint was signed now, it is tried again after a while: %s", wrong)
            self._last, self.wanted = monotonic(), False
            return
        self._before = (self._size, self.note)
        self._size, self.note = now.size, str(note)
        self._pending = (self._size, self.note)
        self._last, self.wanted = monotonic(), False

    def signed(self, text: str) -> str:
        """Return the manifest of a bundle as a signed note; nothing else is signed on demand.

        Raises:
            ValueError: it is something else.
            Damaged: the sealer has halted.
        """
        if not text.startswith(f"{BUNDLE}\n"):
            raise ValueError("only the manifest of a bundle is signed on demand")
        self._prepare()
        if self.halted or self._key is None:
            raise Damaged([f"nothing is signed any more: {self.halted}"])
        signature = Signature(self._key.name, self._key.id, self._signer.sign(text.encode()))
        return str(Note(text, (signature,)))

    def cosigned(self, note: str) -> None:
        """Take a note back that a witness has signed, if it is still the newest."""
        made = notes.read_note(note)
        if self._pending is None and made.text == notes.read_note(self.note).text:
            self.note = note
            self._pending = (self._size, note)

    def keep(self) -> None:
        """Write the row of the signed note; the caller holds the transaction.

        If it cannot be written, what else the transaction holds is not to suffer: the note is dropped.
        """
        if self._pending is None:
            return
        size, note = self._pending
        first = (size - 1) // KEPT_EVERY * KEPT_EVERY
        try:
            self._connection.ask("put_checkpoint", (size, note))
            self._connection.ask("thin_checkpoints", (first, size))
        except self._connection.Error as wrong:
            if not self._connection.survives(wrong):
                raise
            log.warning("the checkpoint could not be kept: %s", wrong)
            self.dropped()

    def dropped(self) -> None:
        """The row could not be written: sign again when something happens."""
        if self._pending is not None and self._pending[0] > self._before[0]:
            self._size, self.note = self._before
            self.wanted = True
        self._pending = None

    def kept(self) -> None:
        """The commit with the row is durable: let the note out."""
        if self._pending is not None:
            self.covered, note = self._pending
            self._outside.publish(note)
            self._pending = None

    def change_key(self, name: str, state: KeyEnd, by: By, reason: str) -> PublicKey:
        """Put a new key in the place of the one in use, which the ledger then calls `state`.

        What was committed so far must have been signed.

        Raises:
            Damaged: the sealer has halted.
        """
        self._prepare()
        if self.halted or self._key is None:
            raise Damaged([f"no key can be changed: {self.halted}"])
        new = self._signer.draw(name or self._origin)
        old = KeyChanged(self._key.text, state, by, reason)
        endorsed = "" if state == "revoked" else b64encode(self._signer.sign(endorsement(new.text))).decode()
        self._append((old, KeyChanged(new.text, "active", by, reason, endorsed)))
        self._key = None  # whatever happens next: the old one signs nothing more
        self._signer.renew()
        self._key = new
        return new

    # --- inside ------------------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Read or make the key and the name of the log, and see that what was signed last holds."""
        if self._key is not None or self.halted:
            return
        opened_by, states = 1, dict[str, str]()
        for seq, envelope, body in self._connection.ask("noted", (LEDGER,)).fetchall():
            event = chain.opened(seq, envelope, body).event if body is not None else None
            if isinstance(event, EngineNoted) and event.kind == RESTORED:
                opened_by = seq
            elif isinstance(event, KeyChanged):
                states[event.key] = event.state
        row = self._connection.ask("head_at", (LEDGER, opened_by)).fetchone()
        if row is None:
            raise Damaged([f"{chain.stream_name(LEDGER)} #{opened_by}: the log does not know this event"])
        self._origin = notes.origin_of(row[0])
        self._check_newest()
        self._key = self._key_in_use(states)

    def _key_in_use(self, states: dict[str, str]) -> PublicKey:
        """Return the key of the home; the ledger is told if it does not know it. `states` are by the ledger.

        Raises:
            Damaged: the ledger says that it is out of use.
        """
        active = sorted(key for key, state in states.items() if state == "active")
        key = self._signer.public_key(self._origin, active)
        if (state := states.get(key.text, "active")) != "active":
            said = f"the key in the home's log.key ({key.id.hex()}) is {state}"
            raise Damaged([f"{said}; bring back the file of the one in use, or remove it: a new key is made"])
        if key.text not in active:
            if active:
                log.warning("the key that signed here is gone: %s signs from now on", key.text)
            gone = (KeyChanged(one, "retired", ENGINE, "its file is gone") for one in active)
            self._append((*gone, KeyChanged(key.text, "active", ENGINE)))
        return key

    def _check_newest(self) -> None:
        if self._size:
            made = notes.read_checkpoint(notes.read_note(self.note).text)
            entries = self._connection.ask("last_pos").fetchone()[0]
            if entries < self._size:
                raise Damaged([f"the log has {entries} entries, and a checkpoint of {self._size} was signed"])
            if made.size != self._size or self._root(made.size) != made.root:
                raise Damaged([f"checkpoint {self._size}: the log has another root at that size"])

    def _root(self, size: int) -> bytes:
        return merkle.span_root(0, size, Nodes(self._connection))
