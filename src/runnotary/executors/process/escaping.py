"""JSON of text that may stand for bytes that are not UTF-8, as names and values of the system may."""

from __future__ import annotations

import json
from typing import Any, Final

import msgspec

_encode: Final = msgspec.json.Encoder().encode


def json_bytes(value: Any) -> bytes:
    """Return the JSON; lone surrogates (`os.fsdecode`) are escaped, which `json.loads` brings back."""
    try:
        return _encode(value)
    except UnicodeEncodeError:
        return json.dumps(value).encode()
