"""Proofs checked where they arrive: nobody who sends one need be believed."""

from __future__ import annotations

import struct
from base64 import b64decode
from typing import Any

from runnotary.app.evidence import asked
from runnotary.app.verifying import trust_of
from runnotary.config import Settings
from runnotary.core import chain, merkle, notes
from runnotary.core.errors import Damaged, RolledBack
from runnotary.core.merkle import BadProof
from runnotary.core.notes import BadNote, Note
from runnotary.store.key_ring import signed

Json = Any


def proof_of(settings: Settings, run: str = "", entry: int = 0) -> Json:
    """Return the proof that a run, or an entry of the log, is in a checkpoint, once it holds.

    Raises:
        Damaged: it is no proof of that, or the key of the settings has not signed its checkpoint.
    """
    made = asked(settings, "proof", **({"run": run} if run else {"entry": entry}))
    try:
        proof = notes.read_proof(made["proof"])
        point = notes.read_checkpoint(proof.note.text)
        stream = _stream(made["stream"])
        leaf = chain.leaf_hash(stream, made["events"], bytes.fromhex(made["head"]))
        merkle.check_inclusion(leaf, proof.index, point.size, proof.path, point.root)
        another = entry not in (0, proof.index + 1)
        if run and not run.startswith("@"):
            another = not made["stream"].startswith(f"run/{run.upper()}")
        if another:
            raise BadProof(f"it is of entry {proof.index + 1}, {made['stream']}")
    except (ValueError, TypeError, AttributeError, KeyError, struct.error) as wrong:  # whatever was sent
        raise Damaged([f"the proof does not hold: {wrong}"]) from None
    _is_known(settings, proof.note)
    return made


def continuation(settings: Settings, old: str, new: str | int) -> Json:
    """Return the proof that the log of a kept checkpoint, the text `old`, is the beginning of a later one.

    `new` is the text of another, or the size of one that is asked for; 0 is the newest.

    Raises:
        RolledBack: the later one is shorter.
        Damaged: one is no checkpoint, it is no beginning, or the key of the settings has not signed
            the later one.
    """
    note = _read(new if isinstance(new, str) else asked(settings, "checkpoint", size=new)["note"])
    before, after = notes.read_checkpoint(_read(old).text), notes.read_checkpoint(note.text)
    if before.size > after.size:
        cut = f"the log had {before.size} entries, and now {after.size}: an older copy, or cut off"
        raise RolledBack([cut])
    made = asked(settings, "consistency", old=before.size, new=after.size)
    try:
        path = [b64decode(one, validate=True) for one in made["path"]]
        merkle.check_consistency(before.size, after.size, path, before.root, after.root)
    except (ValueError, TypeError, KeyError) as wrong:
        raise Damaged([f"the log of {after.size} entries does not continue it: {wrong}"]) from None
    return made | {"known": _is_known(settings, note)}


def _read(text: str) -> Note:
    """Read a checkpoint.

    Raises:
        Damaged: it is none.
    """
    try:
        note = notes.read_note(text)
        notes.read_checkpoint(note.text)
    except BadNote as wrong:
        raise Damaged([f"this is no checkpoint: {wrong}"]) from None
    return note


def _stream(name: str) -> bytes:
    kind, _, rest = name.partition("/")
    return chain.ledger_stream(rest) if kind == "ledger" else chain.named_stream(name)


def _is_known(settings: Settings, note: Note) -> bool:
    """Tell whether the key of the settings, if there is one, has signed a note.

    Raises:
        Damaged: there is one, and it has not.
    """
    key = trust_of(settings).key
    if key is not None and not signed(note, key):
        hint = "if another is in use since, see: runnotary key list"
        raise Damaged([f"the key {key.name} ({key.id.hex()}) has not signed the checkpoint"], hint=hint)
    return key is not None
