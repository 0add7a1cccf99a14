"""What a home can prove: checkpoints of its log, proofs for those who kept one, and its keys.

Rules of this file:

1. A checkpoint tells nothing but a size and a hash: whoever may read somewhere may have it. A proof of an
   entry is for those who may read its stream.
2. Keys are the home's: only an admin of everything changes them.
"""

from __future__ import annotations

import asyncio
import threading
from base64 import b64encode
from typing import Any, Final, Protocol

import msgspec

from runnotary.core import chain, notes
from runnotary.core.errors import Conflict, InvalidInput, NotFound
from runnotary.core.events import KeyChanged
from runnotary.core.permissions import EVERYWHERE, Action, People, Who, require
from runnotary.core.times import to_text as time_text
from runnotary.engine.ledger import LedgerWriter
from runnotary.engine.parts import Parts
from runnotary.engine.questions import Questions
from runnotary.ports import Log

Json = Any


class Check(Protocol):
    """Verifies what is named, everything if nothing is; returns a report."""

    def __call__(
        self,
        *,
        run: bytes | None = None,
        task: str = "",
        flow: tuple[str, str] | None = None,
        deep: bool = False,
    ) -> Json: ...


class Proofs:
    """The proofs of one home. `questions` decide what of it a caller may see."""

    def __init__(self, log: Log, parts: Parts, questions: Questions, check: Check) -> None:
        """`check` verifies a run, the runs of a flow or everything, and returns what it found."""
        self._check: Final = check
        self._checking: Final = threading.Lock()
        self._changing: Final = asyncio.Lock()
        self._log: Final = log
        self._store: Final = parts.store
        self._questions: Final = questions
        self._ledger: Final = LedgerWriter(parts)

    # --- checkpoints -----------------------------------------------------------------------------

    async def checkpoint(self, who: Who, size: int = 0, *, fresh: bool = False) -> Json:
        """Return the newest checkpoint, that of a size, or with `fresh` one that covers all there is.

        Raises:
            NotFound: there is none.
            Damaged: nothing may be signed any more.
        """
        self._questions.require_somewhere(who)
        note = await self._log.checkpoint() if fresh else self._log.note(size)
        if not note:
            raise NotFound(
                f"no checkpoint of {size} entries is kept" if size else "no checkpoint was made yet"
            )
        return checkpoint_document(note) | {"entries": self._store.position()}

    async def proof(self, who: Who, run: str = "", entry: int = 0) -> Json:
        """Return the proof that a run, to its last event, or an entry of the log is in the newest checkpoint.

        Raises:
            RunNotFound, NotFound: there is none, or not for this caller.
            InvalidInput: both are named, or neither.
        """
        if bool(run) == bool(entry):
            raise InvalidInput("name a run or an entry of the log")
        if run:
            stream = chain.run_stream(self._questions.seen(who, run).id)
            entry = self._store.placed(stream, self._store.head(stream)[0])
        found = self._log.entry(entry)
        if found is None or not self._shown(who, found[0]):
            raise NotFound(f"the log has no entry {entry}")
        note = self._log.note()
        if not note or notes.read_checkpoint(notes.read_note(note).text).size < entry:
            note = await self._log.checkpoint()
        return self._proof(entry, found, note)

    def _proof(self, entry: int, found: tuple[bytes, int, bytes], text: str) -> Json:
        stream, seq, head = found
        note = notes.read_note(text)
        size = notes.read_checkpoint(note.text).size
        path = self._log.inclusion(entry, size)
        return {
            "stream": chain.stream_name(stream),
            "events": seq,
            "head": head.hex(),
            "entry": entry,
            "leaf": b64encode(chain.leaf_hash(stream, seq, head)).decode(),
            "path": [b64encode(one).decode() for one in path],
            "checkpoint": checkpoint_document(text),
            "proof": str(notes.Proof(entry - 1, tuple(path), note)),
        }

    def _shown(self, who: Who, stream: bytes) -> bool:
        """Tell whether the caller may read a stream; a run that was purged only who may read everything."""
        if stream[:1] == chain.RUN:
            row = self._store.run(stream[1:])
            return self._questions.shows(who, row) if row is not None else self._reads(who, EVERYWHERE)
        namespace = stream[1:].decode() if stream[:1] == chain.LEDGER else EVERYWHERE
        return self._reads(who, namespace)

    def _reads(self, who: Who, namespace: str) -> bool:
        return self._questions.reads(who, namespace)

    def consistency(self, who: Who, old: int, new: int) -> Json:
        """Return the proof that the log of `new` entries continues that of `old` ones; 0 is all there is.

        Raises:
            InvalidInput: the log never had so many, or the old one is empty or the larger one.
        """
        self._questions.require_somewhere(who)
        new = new or self._store.position()
        if new > self._store.position():
            raise InvalidInput(f"the log has {self._store.position()} entries, not {new}")
        try:
            path = self._log.consistency(old, new)
        except ValueError as wrong:
            raise InvalidInput(str(wrong)) from None
        return {"old": old, "new": new, "path": [b64encode(one).decode() for one in path]}

    # --- verification ----------------------------------------------------------------------------

    def verify(
        self,
        who: Who,
        *,
        run: str = "",
        task: str = "",
        flow: str = "",
        namespace: str = "",
        deep: bool = False,
    ) -> Json:
        """Check a run, or a task of it, the runs of a flow, or everything; return what was found.

        Blocks for as long as it takes; everything is checked for one caller at a time.

        Raises:
            RunNotFound, TaskNotFound: there is none, or not for this caller.
            PermissionDenied: the caller may not read all that is to be checked.
            InvalidInput: a run and a flow are named, or a task without its run.
            Conflict: somebody else has everything checked now.
        """
        if (run and flow) or (task and not run):
            raise InvalidInput("name a run, a task of a run, or a flow")
        if run:
            row = self._questions.seen(who, run)
            if task:
                task = self._questions.task(who, run, task)["key"]
            return self._check(run=row.id, task=task, deep=deep)
        within = (namespace or "default") if flow else EVERYWHERE
        require(who.caller, Action.READ, People(within))
        if not self._checking.acquire(blocking=False):
            raise Conflict("a verification is under way", hint="ask again when it is over")
        try:
            return self._check(flow=(within, flow) if flow else None, deep=deep)
        finally:
            self._checking.release()

    # --- keys ------------------------------------------------------------------------------------

    def keys(self, who: Who) -> Json:
        """Return every key that ever signed for this home, newest first."""
        self._questions.require_somewhere(who)
        found: dict[str, Json] = {}
        for entry in self._log.noted():
            if isinstance(entry.event, KeyChanged):
                found.setdefault(entry.event.key, {}).update(_key_document(entry.event, entry.at))
        return {"keys": list(found.values())[::-1]}

    async def rotate(self, who: Who, name: str = "", reason: str = "") -> Json:
        """Put a new key in the place of the one in use, which vouches for it; return the new one.

        Raises:
            PermissionDenied: the caller is no admin of everything.
            InvalidInput: the name cannot be one. Damaged: nothing may be signed any more.
        """
        role = require(who.caller, Action.ADMINISTER, People(EVERYWHERE))
        if name and not notes.is_name(name):
            raise InvalidInput("a key's name has no spaces and no `+`, and at most 200 letters")
        by = msgspec.structs.replace(who.by, role=role)
        async with self._changing:
            key = await self._log.change_key(name, "retired", by, reason)
        return self._key(who, key.text)

    async def revoke(self, who: Who, key: str, reason: str = "") -> Json:
        """Say that a key must not be trusted any more; the one in use is replaced. Returns its document.

        Raises:
            PermissionDenied: the caller is no admin of everything.
            NotFound: there is no such key. Conflict: it is revoked already.
        """
        role = require(who.caller, Action.ADMINISTER, People(EVERYWHERE))
        known = self._key(who, key)
        by = msgspec.structs.replace(who.by, role=role)
        async with self._changing:
            if known["status"] == "active":
                await self._log.checkpoint()  # a key whose file is gone is out of use from here on
            known = self._key(who, known["key"])
            if known["status"] == "revoked":
                raise Conflict(f"key {known['id']} is revoked already")
            if known["status"] == "active":
                await self._log.change_key("", "revoked", by, reason)
            else:
                fact = KeyChanged(known["key"], "revoked", by, reason)
                actor = chain.actor_id(self._store.home_salt(), by.principal)
                await self._ledger.append("default", actor, lambda now: (fact, ()))
        return self._key(who, known["key"])

    def _key(self, who: Who, name: str) -> Json:
        """Return the key that its text, its id or its name means; of several of a name the newest.

        Raises:
            NotFound: there is none.
        """
        for one in self.keys(who)["keys"]:
            if name in (one["key"], one["id"], one["name"]):
                return one
        raise NotFound(f"this home has no key {name[:200]}", hint="see: runnotary key list")


def checkpoint_document(text: str) -> Json:
    """Return a checkpoint as a document: its parts, who signed it, and the note itself."""
    note = notes.read_note(text)
    made = notes.read_checkpoint(note.text)
    return {
        "origin": made.origin,
        "size": made.size,
        "root": b64encode(made.root).decode(),
        "signatures": [{"name": one.name, "key_id": one.key_id.hex()} for one in note.signatures],
        "note": text,
    }


def _key_document(event: KeyChanged, at: int) -> Json:
    key = notes.read_key(event.key)
    said: Json = {"id": key.id.hex(), "name": key.name, "key": key.text, "status": event.state}
    if event.state == "active":
        return said | {"since": time_text(at), "until": None, "endorsed": bool(event.endorsed), "reason": ""}
    return said | {"until": time_text(at), "reason": event.reason}
