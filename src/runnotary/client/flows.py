"""Requests about flows: what a name means, and meant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from runnotary.client.request import Answer, Request, get, segment, send
from runnotary.client.results import Flow, json_of, many_of, one_of

Json = Any


def _flow(answer: Answer) -> Flow:
    return one_of(Flow, json_of(answer.body))


def register(document: Mapping[str, Json], namespace: str, words: Mapping[str, Json]) -> Request[Flow]:
    """Let a name mean a definition; nothing happens if it already does."""
    said = {word: value for word, value in words.items() if value}
    body = {"definition": dict(document), "namespace": namespace} | said
    return send("POST", "/flows", _flow, body, repeatable=True)


def listing(namespace: str) -> Request[list[Flow]]:
    """Ask for the flows of a namespace."""
    return get(
        "/flows",
        lambda answer: many_of(Flow, json_of(answer.body).get("flows")),
        params={"namespace": namespace},
    )


def show(name: str, namespace: str) -> Request[Flow]:
    """Ask what a name means now."""
    return get(f"/flows/{segment(name)}", _flow, params={"namespace": namespace})


def versions(name: str, namespace: str) -> Request[list[dict[str, Json]]]:
    """Ask what a name ever meant, newest first."""
    return get(
        f"/flows/{segment(name)}/versions",
        lambda answer: list(json_of(answer.body)["versions"]),
        params={"namespace": namespace},
    )


def diff(name: str, was: str, now: str, namespace: str) -> Request[dict[str, Json]]:
    """Ask what changed between two versions of a flow, by label or hash."""
    params = {"from": was or None, "to": now or None, "namespace": namespace}
    return get(f"/flows/{segment(name)}/diff", lambda answer: dict(json_of(answer.body)), params=params)


def definition(digest: str) -> Request[Json]:
    """Ask for a definition by its hash."""
    return get(f"/definitions/{segment(digest)}", lambda answer: json_of(answer.body))
