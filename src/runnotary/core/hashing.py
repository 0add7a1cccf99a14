"""Digests and canonical bytes.

Canonical form is RFC 8785 (JSON Canonicalization Scheme) with one named deviation: integers beyond
2^53 are written in plain digits instead of being refused. It is used only where two parties must
reach one hash on their own: definitions, cache fingerprints, JSON values kept as blobs. Events are
never canonicalised; they are hashed as the bytes they were first written as.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any, Final

import msgspec
import rfc8785

PREFIX: Final = "sha256:"
DEPTH_MAX: Final = 64

_plain = msgspec.json.Encoder()


class NotCanonical(ValueError):
    """A value that has no canonical form: NaN, infinity, a key that is not text, too deep."""


def digest(data: bytes | bytearray | memoryview) -> str:
    """Return `sha256:<64 hex digits>` of the bytes."""
    return PREFIX + hashlib.sha256(data).hexdigest()


def is_digest(text: str) -> bool:
    """Tell whether the text is a digest as this module writes them."""
    hexdigits = text[len(PREFIX) :]
    return (
        text.startswith(PREFIX)
        and len(hexdigits) == 64
        and all(letter in "0123456789abcdef" for letter in hexdigits)
    )


def digest_bytes(text: str) -> bytes:
    """Return the 32 raw bytes of a digest."""
    return bytes.fromhex(text[len(PREFIX) :])


def digest_text(raw: bytes) -> str:
    """Return the digest text of 32 raw bytes."""
    return PREFIX + raw.hex()


EMPTY: Final = digest(b"")


def canonical(value: Any) -> bytes:
    """Return the canonical JSON bytes of a JSON value.

    Raises:
        NotCanonical: the value has no canonical form.
    """
    pieces: list[str] = []
    _write(value, pieces, 0)
    return "".join(pieces).encode()


def _write(value: Any, pieces: list[str], depth: int) -> None:
    if depth > DEPTH_MAX:
        raise NotCanonical(f"deeper than {DEPTH_MAX} levels")
    if isinstance(value, str):
        pieces.append(_text(value))
    elif value is None or isinstance(value, bool):
        pieces.append(_CONSTANT[value])
    elif isinstance(value, int):
        pieces.append(str(value))
    elif isinstance(value, float):
        pieces.append(_number(value))
    elif isinstance(value, dict):
        _write_object(value, pieces, depth)
    elif isinstance(value, list | tuple):
        pieces.append("[")
        for index, item in enumerate(value):
            if index:
                pieces.append(",")
            _write(item, pieces, depth + 1)
        pieces.append("]")
    else:
        raise NotCanonical(f"{type(value).__name__} is not a JSON value")


def _write_object(value: dict[Any, Any], pieces: list[str], depth: int) -> None:
    if not value:
        pieces.append("{}")
        return
    for key in value:
        if not isinstance(key, str):
            raise NotCanonical(f"the key {key!r} is not text")
    pieces.append("{")
    # RFC 8785 §3.2.3 sorts by UTF-16 code units, which differs from Python's order beyond the BMP.
    order = None if all(map(str.isascii, value)) else _utf16
    for index, key in enumerate(sorted(value, key=order)):
        if index:
            pieces.append(",")
        pieces.append(_text(key))
        pieces.append(":")
        _write(value[key], pieces, depth + 1)
    pieces.append("}")


def _utf16(text: str) -> bytes:
    return text.encode("utf-16-be", "surrogatepass")


_CONSTANT: Final = {None: "null", True: "true", False: "false"}


def _text(value: str) -> str:
    try:
        return _plain.encode(value).decode()
    except UnicodeEncodeError:
        raise NotCanonical("text holds a lone surrogate") from None


def _number(value: float) -> str:
    if math.isnan(value) or math.isinf(value):
        raise NotCanonical(f"{value} is not a JSON number")
    return rfc8785.dumps(value).decode()
