"""Files among the inputs of a run: found, kept as blobs, and named by their hash instead of their path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from runnotary.core.errors import InvalidRunInput

Json = Any


def paths(inputs: Mapping[str, Json]) -> Iterator[Path]:
    """Yield every path among the inputs, also in lists and objects."""
    for value in inputs.values():
        yield from _in(value)


def _in(value: Json) -> Iterator[Path]:
    if isinstance(value, Path):
        yield value
    elif isinstance(value, Mapping):
        yield from paths(value)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _in(one)


def kept(value: Json, blobs: Mapping[Path, Mapping[str, Json]]) -> Json:
    """Return a value with its paths as what was kept of them: `{"$file": digest, "name": …, "size": …}`."""
    if isinstance(value, Path):
        return {"$file": blobs[value]["digest"], "name": value.name, "size": blobs[value]["size"]}
    if isinstance(value, Mapping):
        return {name: kept(one, blobs) for name, one in value.items()}
    return [kept(one, blobs) for one in value] if isinstance(value, list | tuple) else value


def content(path: Path) -> bytes:
    """Read a file.

    Raises:
        InvalidRunInput: it cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as wrong:
        raise InvalidRunInput([f"{path}: {wrong.strerror or wrong}"]) from None
