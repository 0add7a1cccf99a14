"""What every export is made from: all that the record of a home says about one run, gathered once.

`app/exporting.py` gathers it. Exports read it and nothing else: all of one export is of one moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import msgspec

from runnotary.core.chain import NONCE_SIZE, Recorded
from runnotary.core.events import KeyChanged
from runnotary.core.flow import Flow

Json = Any


class Stored(msgspec.Struct, frozen=True):
    """One event as its bytes lie in the record; no `body` if it was erased."""

    seq: int
    envelope: bytes
    body: bytes | None

    @property
    def nonce(self) -> bytes:
        return b"" if self.body is None else self.body[:NONCE_SIZE]

    @property
    def text(self) -> str | None:
        """The JSON of the body, byte for byte."""
        return None if self.body is None else self.body[NONCE_SIZE:].decode()


class LogRow(msgspec.Struct, frozen=True):
    """One row of the log: events `from_seq` to `seq` of a stream were committed at `pos`, its head then."""

    pos: int
    from_seq: int
    seq: int
    head: bytes


class Tombstone(msgspec.Struct, frozen=True):
    """A `stream.erased` that explains why bodies of the run are gone, as proof.

    `envelopes` are those of the commit that brought it, which continue the ledger from the head `prev`; the
    one at `seq` is the tombstone's, and `body` its body. `path` leads from the row to the root.
    """

    stream: bytes
    prev: bytes
    row: LogRow
    envelopes: tuple[bytes, ...]
    seq: int
    body: bytes
    path: tuple[bytes, ...]


@dataclass(frozen=True)
class Evidence:
    """What the record proves of one run, also of one whose words were erased."""

    stream: bytes
    events: tuple[Stored, ...]
    """The run's stream as it lies in the record, and its key."""

    rows: tuple[LogRow, ...]
    """The rows of the stream in the log, oldest first."""

    checkpoint: str
    """A signed note (c2sp.org/tlog-checkpoint) that covers the last of these rows."""

    path: tuple[bytes, ...]
    """The inclusion path from the leaf of the last row to the checkpoint's root."""

    keys: tuple[KeyChanged, ...]
    """What the ledger says about the keys of the home, oldest first."""

    public_key: str
    """The key that signed the checkpoint: NAME+ID+KEY."""

    tombstones: tuple[Tombstone, ...]
    """Why the bodies are missing; empty if they are there."""

    engine_version: str
    """The release that makes this export."""

    blob: Callable[[str], bytes]
    """The bytes of a digest, checked. Raises `BlobNotFound`, `Damaged`. Only for what is small."""

    blob_size: Callable[[str], int]
    """The size of a blob in bytes. Raises `BlobNotFound`."""

    has_blob: Callable[[str], bool]

    blob_pieces: Callable[[str], Iterator[bytes]]
    """The bytes of a digest in pieces of at most 1 MiB, not checked. Raises `BlobNotFound`."""

    sign: Callable[[str], str]
    """Make a signed note of a text with the key of the home that is in use."""


@dataclass(frozen=True)
class Material(Evidence):
    """All of one run whose words were not erased."""

    run: Json
    """The run document (docs/api.md), inputs and outputs written out."""

    tasks: list[Json]
    """The documents of its tasks with all attempts, in the order of the flow."""

    definition: Json
    flow: Flow
    """The definition as its document, and compiled."""

    history: tuple[Recorded, ...]
    """The same events, read."""


def began_by_itself(task: Json) -> bool:
    """Tell whether a task began that has no attempts because the engine, or people, carried it out."""
    if task["attempts"] or "count" in task:
        return False
    return task["started_at"] is not None or task["status"] in ("success", "failed")
