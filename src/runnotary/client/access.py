"""Requests about who may do what: namespaces, roles, groups, tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runnotary.client.request import Answer, Request, get, segment, send
from runnotary.client.results import json_of

Json = Any
Document = dict[str, Json]


def _json(answer: Answer) -> Document:
    return dict(json_of(answer.body))


def _below(name: str, answer: Answer) -> list[Document]:
    return list(json_of(answer.body)[name])


def whoami() -> Request[Document]:
    """Ask as whom the server knows us."""
    return get("/whoami", _json)


def health() -> Request[Document]:
    """Ask whether runs are accepted."""
    return get("/health", _json)


def namespaces() -> Request[list[Document]]:
    """Ask which namespaces we can see."""
    return get("/namespaces", lambda answer: _below("namespaces", answer))


def namespace(name: str) -> Request[Document]:
    """Ask for a namespace and who has which role in it."""
    return get(f"/namespaces/{segment(name)}", _json)


def history(name: str) -> Request[list[Document]]:
    """Ask for every change of access in a namespace."""
    return get(f"/namespaces/{segment(name)}/audit", lambda answer: _below("changes", answer))


def create_namespace(name: str, title: str, reason: str) -> Request[Document]:
    """Make a namespace."""
    return send("POST", "/namespaces", _json, {"name": name, "title": title, "reason": reason})


def grant(name: str, principal: str, role: str, reason: str) -> Request[Document]:
    """Give a principal a role in a namespace; given twice it is given."""
    path = f"/namespaces/{segment(name)}/roles/{segment(principal)}"
    return send("PUT", path, _json, {"role": role, "reason": reason}, repeatable=True)


def revoke(name: str, principal: str, role: str, reason: str) -> Request[Document]:
    """Take a role from a principal, or all of them."""
    path = f"/namespaces/{segment(name)}/roles/{segment(principal)}"
    return send("DELETE", path, _json, params={"role": role, "reason": reason})


def groups() -> Request[list[Document]]:
    """Ask for the groups and their members."""
    return get("/groups", lambda answer: _below("groups", answer))


def set_group(group: str, members: Sequence[str], reason: str) -> Request[Document]:
    """Say who is in a group; nobody else is then."""
    document = {"members": list(members), "reason": reason}
    return send("PUT", f"/groups/{segment(group)}", _json, document, repeatable=True)


def tokens() -> Request[list[Document]]:
    """Ask which tokens there are; never for their secrets."""
    return get("/tokens", lambda answer: _below("tokens", answer))


def create_token(principal: str, said: Document) -> Request[Document]:
    """Make a token; its secret is in this one answer only, so the request is never sent twice."""
    words = {"principal": principal, **said}
    return send("POST", "/tokens", _json, {word: value for word, value in words.items() if value})


def revoke_token(token_id: str, reason: str) -> Request[Document]:
    """Let a token be of no use from now on."""
    return send("DELETE", f"/tokens/{segment(token_id)}", _json, params={"reason": reason})
