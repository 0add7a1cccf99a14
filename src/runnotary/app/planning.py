"""A request checked to the end without keeping anything: what `start --dry-run` shows."""

from __future__ import annotations

import hashlib
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import msgspec

from runnotary.app.intake import Source, StartRequest, checked, find, is_file, with_files
from runnotary.app.records import reading
from runnotary.config import Settings
from runnotary.core.hashing import PREFIX, digest
from runnotary.ports import Blobs

Json = Any


class Planned(msgspec.Struct, frozen=True):
    """What a run would be of: its definition, and its inputs completed."""

    source: Source
    inputs: dict[str, Json]


class _OnlyHashing:
    """Stands where blobs are kept: tells digests and keeps nothing."""

    def put(self, data: bytes) -> str:
        return digest(data)

    def put_file(self, path: Path, *, known: str = "") -> tuple[str, int]:
        with path.open("rb") as source:
            state = hashlib.file_digest(source, "sha256")
            return PREFIX + state.hexdigest(), source.tell()


def planned(request: StartRequest, settings: Settings) -> Planned:
    """Do what `start` does before a run exists, and leave no trace.

    Raises:
        InvalidDefinition, InvalidRunInput, NotFound: as `start` would.
    """
    blobs = cast(Blobs, _OnlyHashing())
    with ExitStack() as stack:
        by_itself = request.command is not None or is_file(request.target, Path(request.cwd))
        source = find(request, None if by_itself else stack.enter_context(reading(settings)))
        return Planned(source, with_files(checked(request, source), blobs))
