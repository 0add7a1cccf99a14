"""Requests about the log as a whole: checkpoints, proofs, keys, verification."""

from __future__ import annotations

from typing import Any, Final

from runnotary.client.request import Answer, Request, get, segment, send
from runnotary.client.results import json_of
from runnotary.client.words import AuditFilter

Json = Any
Document = dict[str, Json]
SAID: Final = {"since": "from", "until": "to"}
"""Words that Python does not allow."""

VERIFYING_SECONDS: Final = 3600.0


def _json(answer: Answer) -> Document:
    return dict(json_of(answer.body))


def checkpoint(size: int = 0) -> Request[Document]:
    """Ask for the newest checkpoint, or that of a size."""
    return get("/log/checkpoint", _json, params={"size": size or None})


def new_checkpoint() -> Request[Document]:
    """Let all that there is be signed; sent twice it is signed once."""
    return send("POST", "/log/checkpoint", _json, {}, repeatable=True)


def proof(run: str = "", entry: int = 0) -> Request[Document]:
    """Ask for the proof that a run, or an entry of the log, is covered by a checkpoint."""
    return get("/log/proof", _json, params={"run": run, "entry": entry or None})


def consistency(old: int, new: int = 0) -> Request[Document]:
    """Ask for the proof that a larger log continues a smaller one."""
    return get("/log/consistency", _json, params={"old": old, "new": new or None})


def keys() -> Request[Document]:
    """Ask for every key that ever signed there."""
    return get("/keys", _json)


def rotate(name: str = "", reason: str = "") -> Request[Document]:
    """Put a new key in the place of the one in use: never sent twice."""
    said = {word: text for word, text in (("name", name), ("reason", reason)) if text}
    return send("POST", "/keys/rotate", _json, said)


def revoke(key: str, reason: str = "") -> Request[Document]:
    """Say that a key must not be trusted."""
    return send("POST", f"/keys/{segment(key)}/revoke", _json, {"reason": reason} if reason else {})


def search(filters: AuditFilter) -> Request[Document]:
    """Ask for a page of an audit search."""
    said = dict(filters)
    words = {SAID.get(name, name): value for name, value in said.items() if name != "newest"}
    words["order"] = None if said.get("newest", True) else "asc"
    return get("/audit/events", _json, params=words)


def verify(
    run: str = "", task: str = "", flow: str = "", namespace: str = "", deep: bool = False
) -> Request[Document]:
    """Ask for a verification, which takes as long as it takes."""
    words = {"run": run, "task": task, "flow": flow, "namespace": namespace, "deep": deep or None}
    return get("/audit/verify", _json, params=words, wait=VERIFYING_SECONDS)
