"""Requests about who may do what: namespaces, roles, groups, tokens."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runnotary.client.request import Answer, Request, get, segment, send
from runnotary.client.results import json_of

Json = Any


def _json(answer: Answer) -> Json:
    return json_of(answer.body) if answer.body else None


def _below(name: str, answer: Answer) -> list[dict[str, Json]]:
    return list(json_of(answer.body)[name])


def whoami() -> Request[dict[str, Json]]:
    """Ask as whom the server knows us."""
    return get("/whoami", _json)


def health() -> Request[dict[str, Json]]:
    """Ask whether runs are accepted."""
    return get("/health", _json)


def namespaces() -> Request[list[dict[str, Json]]]:
    """Ask which namespaces we can see."""
    return get("/namespaces", lambda answer: _below("namespaces", answer))


def create_namespace(name: str, title: str) -> Request[dict[str, Json]]:
    """Make a namespace."""
    return send("POST", "/namespaces", _json, {"name": name, "title": title})


def tokens() -> Request[list[dict[str, Json]]]:
    """Ask which tokens there are; never for their secrets."""
    return get("/tokens", lambda answer: _below("tokens", answer))


def create_token(
    principal: str, name: str, scopes: Sequence[str], expires_at: str
) -> Request[dict[str, Json]]:
    """Make a token; its secret is in this one answer only, so the request is never sent twice."""
    said = {"principal": principal, "name": name, "scopes": list(scopes), "expires_at": expires_at}
    return send("POST", "/tokens", _json, {word: value for word, value in said.items() if value})


def revoke_token(token_id: str) -> Request[Json]:
    """Let a token be of no use from now on."""
    return send("DELETE", f"/tokens/{segment(token_id)}", _json)
