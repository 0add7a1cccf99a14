"""The keys of a home as its ledger knows them: which may have signed when, and who vouches for whom."""

from __future__ import annotations

import binascii
from base64 import b64decode
from typing import Final

import msgspec

from runnotary.core import notes
from runnotary.core.events import KeyChanged
from runnotary.core.notes import Note, PublicKey, Signature
from runnotary.store.keys import verified

_FOR_EVER: Final = 1 << 62


class Term(msgspec.Struct):
    """A key and the sizes of the log that it may have signed: from `first` to just before `end`."""

    key: PublicKey
    first: int
    end: int = _FOR_EVER
    revoked: bool = False


class KeyRing:
    """Every key that a ledger speaks of, oldest first."""

    def __init__(self) -> None:
        self._terms: dict[str, Term] = {}
        self._endorsed: dict[bytes, PublicKey] = {}
        """Public keys, each with the one that vouches for it."""

    def learn(self, event: KeyChanged, pos: int) -> None:
        """Take in one event of the ledger, at its position in the log.

        Raises:
            BadNote: what it names is no key.
        """
        key = notes.read_key(event.key)
        term = self._terms.get(event.key)
        if event.state != "active":
            if term is not None:
                term.end = min(term.end, pos)
                term.revoked |= event.state == "revoked"
        elif term is None:
            before = list(self._terms.values())
            self._terms[event.key] = Term(key, pos)
            # One that was known before, under any name, comes from nowhere: nobody goes in a circle.
            new = all(one.key.public != key.public for one in before)
            if before and new and event.endorsed and _endorses(before[-1].key, event):
                self._endorsed[key.public] = before[-1].key

    def signer(self, note: Note, size: int) -> PublicKey | None:
        """Return the key of this home that signed a checkpoint of this size while it was in use."""
        for term in self._terms.values():
            if term.first <= size < term.end and signed(note, term.key):
                return term.key
        return None

    def vouches(self, known: PublicKey, key: PublicKey) -> bool:
        """Tell whether who trusts a key can trust another: the same, or one that follows from it.

        A key that was revoked can be trusted for nothing, nor what follows from it.
        """
        here: PublicKey | None = key
        while here is not None and not self._revoked(here):
            if here.public == known.public:
                return True
            here = self._endorsed.get(here.public)
        return False

    def _revoked(self, key: PublicKey) -> bool:
        return any(term.revoked and term.key.public == key.public for term in self._terms.values())


def signed(note: Note, key: PublicKey) -> bool:
    """Tell whether a key has signed a note."""
    return any(key.made(one) and verified(key, one, note.text) for one in note.signatures)


def _endorses(before: PublicKey, event: KeyChanged) -> bool:
    try:
        data = b64decode(event.endorsed, validate=True)
    except (ValueError, binascii.Error):
        return False
    return verified(before, Signature(before.name, before.id, data), notes.endorsement(event.key).decode())
