"""The read tables, as rows: what a listing or a filter needs, and no more.

A row is a function of the folded state, made by `core/documents.py`, so `verify` can make it again
and compare every column. Field names are column names, in the order of `store/sql/schema.sql`.
Times are µs since 1970, JSON columns hold text, ids are raw bytes.
"""

from __future__ import annotations

import msgspec


class RunRow(msgspec.Struct, frozen=True):
    """One row of `runs`; key `id`."""

    id: bytes
    namespace: str
    flow: str
    flow_id: str
    definition: str
    kind: str
    status: str
    reason: str
    trigger: str
    created_by: str
    owner: str
    label: str
    tags: str
    labels: str
    monitors: str
    managers: str
    parent: bytes | None
    root: bytes
    created_at: int
    started_at: int | None
    ended_at: int | None
    cancel_requested_at: int | None
    progress: str
    error: str
    counts: str
    seq: int
    archived_at: int | None = None
    held: str = ""


class TaskRow(msgspec.Struct, frozen=True):
    """One row of `tasks`; key `(run, key)`."""

    run: bytes
    key: str
    step: str
    visit: int | None
    status: str
    reason: str
    executor: str
    attempts: int
    exit_code: int | None
    signal: int | None
    started_at: int | None
    ended_at: int | None
    progress: int | None
    error: str


class FlowRow(msgspec.Struct, frozen=True):
    """One row of `flows`; key `(namespace, name)`: what a name means now."""

    namespace: str
    name: str
    id: str
    definition: str
    version: str
    title: str
    description: str
    versions: int
    changed_at: int


class KeyRow(msgspec.Struct, frozen=True):
    """One row of `keys`; key `(principal, key)`: which run a client's own key stands for.

    `body` is the SHA-256 of what was asked for under the key.
    """

    principal: str
    key: str
    run: bytes
    body: bytes


class UseRow(msgspec.Struct, frozen=True):
    """One row of `uses`; key `(blob, run)`: an ended run was given this content, or `made` it.

    `blob` is the SHA-256 of a file, or of the manifest of a folder.
    """

    blob: bytes
    run: bytes
    made: int


Row = RunRow | TaskRow | FlowRow | KeyRow | UseRow
