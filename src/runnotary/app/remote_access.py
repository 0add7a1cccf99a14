"""Who may do what on a server: questions and changes as requests to its routes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from runnotary.client.request import API, JSON_TYPE, Answer, Request, segment
from runnotary.client.request import words as query
from runnotary.core.times import to_text

Json = Any
ROUTES: Final = {
    "whoami": ("GET", "/whoami", ""),
    "namespaces": ("GET", "/namespaces", "namespaces"),
    "namespace": ("GET", "/namespaces/{namespace}", ""),
    "history": ("GET", "/namespaces/{namespace}/audit", "changes"),
    "groups": ("GET", "/groups", "groups"),
    "tokens": ("GET", "/tokens", "tokens"),
    "create_namespace": ("POST", "/namespaces", ""),
    "grant": ("PUT", "/namespaces/{namespace}/roles/{principal}", ""),
    "revoke": ("DELETE", "/namespaces/{namespace}/roles/{principal}", ""),
    "set_group": ("PUT", "/groups/{group}", ""),
    "create_token": ("POST", "/tokens", ""),
    "revoke_token": ("DELETE", "/tokens/{token}", ""),
}
"""Verb, path and the part of the answer that is meant, of every question and change."""

RENAMED: Final = {("create_namespace", "namespace"): "name"}


def access_request(verb: str, words: Mapping[str, Json]) -> Request[Json]:
    """Make the request of one of `app.access.QUESTIONS` or `CHANGES`. Words that say nothing are left out.

    A change is sent once: nobody knows the secret of a token whose answer was lost.
    """
    method, path, part = ROUTES[verb]
    named = {name: value for name, value in words.items() if f"{{{name}}}" in path}
    said = {
        RENAMED.get((verb, name), name): to_text(value) if name == "expires_at" else value
        for name, value in words.items()
        if name not in named and value not in (None, "", [], ())
    }
    if verb == "set_group":
        said.setdefault("members", [])
    place = API + path.format(**{name: segment(value) for name, value in named.items()})

    def decode(answer: Answer) -> Json:
        document = msgspec.json.decode(answer.body)
        return document[part] if part else document

    if method in ("GET", "DELETE"):
        return Request(method, place, decode, params=query(said), repeatable=method == "GET")
    body = msgspec.json.encode(said)
    return Request(method, place, decode, headers={"content-type": JSON_TYPE}, body=body)
