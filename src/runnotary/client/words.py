"""The words in which runs are asked for and looked for: the same in Python, over HTTP, on a command line."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, TypedDict

import msgspec

Json = Any
Some = str | Sequence[str]
When = str | datetime


class RunWords(TypedDict, total=False):
    """What may be said about a run that is to start, beside its flow and its inputs."""

    label: str
    tags: Sequence[str]
    labels: Mapping[str, str]
    monitors: Sequence[str]
    managers: Sequence[str]
    namespace: str
    max_concurrency: int
    on_failure: str
    idempotency_key: str
    items: Sequence[Json]
    overrides: Mapping[str, Json]


class RunRequest(msgspec.Struct, omit_defaults=True, kw_only=True):
    """One entry of a batch. `flow` is a name or a definition's hash."""

    flow: str
    inputs: Mapping[str, Json] = {}
    label: str = ""
    tags: Sequence[str] = ()
    labels: Mapping[str, str] = {}
    monitors: Sequence[str] = ()
    managers: Sequence[str] = ()
    namespace: str = ""
    max_concurrency: int = 0
    on_failure: str = ""
    idempotency_key: str = ""


class AuditFilter(TypedDict, total=False):
    """What an audit is searched for: all of it at once. `what` are types of events, or their first word."""

    who: str
    what: Sequence[str]
    run: str
    namespace: str
    since: str
    until: str
    why: str
    newest: bool
    limit: int
    cursor: str


class RunFilter(TypedDict, total=False):
    """Which runs a listing shows. Several values of one word mean any of them; `label` is a substring."""

    namespace: Some
    flow: Some
    status: Some
    kind: Some
    tag: Some
    label: str
    created_by: Some
    owner: Some
    parent: str
    asset: str
    q: str
    started_from: When
    started_to: When
    ended_from: When
    ended_to: When
    include_archived: bool
    order_by: str
    order: str


class RunChanges(TypedDict, total=False):
    """What may be changed about a run, at any time, also after its end."""

    label: str
    tags: Sequence[str]
    labels: Mapping[str, str]
    monitors: Sequence[str]
    managers: Sequence[str]


def run_body(flow: str, inputs: Mapping[str, Json] | None, said: Mapping[str, Json]) -> dict[str, Json]:
    """Return the document that asks for a run of a flow, by name or by its definition's hash."""
    named = "definition" if flow.startswith("sha256:") else "flow"
    spoken = {word: value for word, value in said.items() if value}
    return {named: flow, "inputs": dict(inputs or {}), **spoken}


def batch_body(request: RunRequest | Mapping[str, Json], key: str) -> dict[str, Json]:
    """Return the document of one entry of a batch, with a key that makes sending it again harmless.

    What is wrong with an entry is for its own result to say, so nothing is checked here.
    """
    said = dict(msgspec.to_builtins(request) if isinstance(request, RunRequest) else request)
    said["idempotency_key"] = said.get("idempotency_key") or key
    flow = said.pop("flow", None)
    return run_body(flow, said.pop("inputs", None), said) if isinstance(flow, str) and flow else said
