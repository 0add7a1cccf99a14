"""Flows as people have them: a document, its JSON, or a flow file that a loader turns into one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any, Final

import msgspec

from runnotary.core.errors import InvalidInput

Json = Any
FlowSource = Mapping[str, Json] | bytes | str | PathLike[str]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A flow ready to be registered. `words` are its name, version, title; `code` are files to be kept."""

    document: Mapping[str, Json]
    words: Mapping[str, str] = field(default_factory=dict)
    code: tuple[Path, ...] = ()


FILE_ENDINGS: Final = (".yaml", ".yml", ".json")
Loader = Callable[[Path], Loaded]


def is_flow_file(flow: str | PathLike[str]) -> bool:
    """Tell whether this names a flow file rather than a flow: a path, or a text that looks like one."""
    return not isinstance(flow, str) or "/" in flow or flow.endswith(FILE_ENDINGS)


def document_of(source: FlowSource, loader: Loader | None) -> Loaded:
    """Return what to register.

    Raises:
        InvalidInput: bytes that are no JSON object, or a path and no loader.
        InvalidDefinition, FileMissing: from the loader.
    """
    if isinstance(source, Mapping):
        return Loaded(source)
    if isinstance(source, bytes):
        try:
            return Loaded(msgspec.json.decode(source, type=dict[str, Any]))
        except msgspec.DecodeError as wrong:
            raise InvalidInput(f"the flow is no JSON document: {wrong}") from None
    if loader is None:
        raise InvalidInput(
            f"this client reads no flow files, so not {source}",
            hint="use runnotary.Client, or give the document",
        )
    return loader(Path(source))
