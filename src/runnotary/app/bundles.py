"""Verification of a bundle, for commands: by the program that stands in it, without a home."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from runnotary.core.errors import InvalidInput
from runnotary.exports.bundle_keys import Key
from runnotary.exports.verifier import Report as Report
from runnotary.exports.verifier import verify
from runnotary.store.keys import public_key_of

__all__ = ["Report", "bundle_verified"]


def bundle_verified(path: Path, key: str, witnesses: Sequence[str]) -> Report:
    """Check a bundle; `key` is the public key that is trusted, as text or a file with it, or empty.

    Raises:
        InvalidInput: a key is none, or the file cannot be read.
    """
    known = [_key(one) for one in witnesses]
    try:
        with path.open("rb") as file:
            return verify(file, _key(key) if key else None, known)
    except OSError as wrong:
        raise InvalidInput(f"{path} cannot be read: {wrong.strerror or wrong}") from None


def _key(said: str) -> Key:
    path = Path(said)
    try:
        text = path.read_text("utf-8") if len(said) < 1000 and path.is_file() else said
    except (OSError, UnicodeError) as wrong:
        raise InvalidInput(f"{said}: the key cannot be read: {wrong}") from None
    read = public_key_of(text, path.stem)
    return Key(read.name, read.kind, read.public)
