"""A directory by its content: the manifest that stands for it as a blob, and the paths it may hold.

The manifest is the canonical JSON of a list, sorted by path, of `{"blob", "path", "size", "x"}`: one entry
per regular file, `x` true if its owner may execute it. Empty directories, times, owners and other modes are
not part of a tree, so two directories with the same files have the same digest.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from runnotary.core.hashing import canonical, is_digest

PATH_MAX: Final = 4096


class BadPath(ValueError):
    """A relative name that could lead out of its folder, or that cannot be a name at all."""


class BadManifest(ValueError):
    """Bytes that are not a manifest as `manifest` writes it."""


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One file of a tree. `path` is relative to the tree, with `/` between its parts."""

    path: str
    blob: str
    size: int
    x: bool


def parts(path: str) -> tuple[str, ...]:
    """Return the parts of a relative path that stays where it is put.

    Raises:
        BadPath: absolute, empty, or with a part that is empty, `.`, `..` or no name.
    """
    found = tuple(path.split("/"))
    if not path or len(path) > PATH_MAX or "\0" in path or any(part in ("", ".", "..") for part in found):
        raise BadPath(f"{path[:80]!r} is not a relative path inside a folder")
    try:
        path.encode()
    except UnicodeEncodeError:
        raise BadPath(f"{path[:80]!r} is not UTF-8") from None
    return found


def manifest(entries: Iterable[Entry]) -> bytes:
    """Return the bytes that stand for a tree with these files."""
    ordered = sorted(entries, key=lambda entry: entry.path)
    return canonical([msgspec.structs.asdict(entry) for entry in ordered])


def entries(data: bytes) -> list[Entry]:
    """Read a manifest.

    Raises:
        BadManifest: the bytes are not what `manifest` writes, or name a path outside the tree.
    """
    try:
        found = _decoder.decode(data)
        for entry in found:
            parts(entry.path)
    except (msgspec.DecodeError, BadPath) as wrong:
        raise BadManifest(f"not the manifest of a tree: {wrong}") from None
    paths = [entry.path for entry in found]
    if paths != sorted(set(paths)) or not all(is_digest(entry.blob) for entry in found):
        raise BadManifest("not the manifest of a tree: its order, a double path or a digest is wrong")
    return found


_decoder: Final = msgspec.json.Decoder(list[Entry])
