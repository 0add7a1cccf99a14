"""What routes answer about the evidence, as types: checkpoints, proofs, keys, audit, verification."""

from __future__ import annotations

from typing import Any

from runnotary.api.results import Result

Json = Any


class SignedBy(Result, frozen=True):
    name: str
    key_id: str


class CheckpointDocument(Result, frozen=True):
    """A checkpoint, and in `note` its signed text. `entries` is how many the log has by now."""

    origin: str
    size: int
    root: str
    signatures: list[SignedBy]
    note: str
    entries: int | None = None


class ProofDocument(Result, frozen=True):
    """That `leaf` is in the log of a checkpoint; `proof` is all of it as text (c2sp.org/tlog-proof)."""

    stream: str
    events: int
    head: str
    entry: int
    leaf: str
    path: list[str]
    checkpoint: CheckpointDocument
    proof: str


class ConsistencyDocument(Result, frozen=True):
    """The hashes of RFC 6962 §2.1.2, in base64."""

    old: int
    new: int
    path: list[str]


class KeyDocument(Result, frozen=True):
    """A key: since when, until when and why not longer; `endorsed` if the one before it vouches for it."""

    id: str
    name: str
    key: str
    status: str
    since: str
    until: str | None
    endorsed: bool
    reason: str


class AuditedEvent(Result, frozen=True):
    """An event; `was` and `set` are old and new values where something changed."""

    position: int
    stream: str
    seq: int
    time: str
    who: str
    authenticated_by: str
    role: str | None
    what: str
    namespace: str
    run: str | None
    subject: str | None
    why: str | None
    was: Json
    set: Json
    details: dict[str, Json]


class AuditPage(Result, frozen=True):
    """A page may be empty and still have a next one: each takes only so long."""

    events: list[AuditedEvent]
    next_cursor: str | None


class KeyList(Result, frozen=True):
    keys: list[KeyDocument]


class Finding(Result, frozen=True):
    code: str
    where: str
    message: str


class Verification(Result, frozen=True):
    """What was checked, what does not hold, and what nothing here proves."""

    ok: bool
    deep: bool
    checked: dict[str, int]
    findings: list[Finding]
    more: int
    not_proven: list[str]
    checkpoint: dict[str, Json] | None
    restores: list[dict[str, Json]]
    erasures: list[str]
    task: dict[str, Json] | None = None
