"""How runs, people, homes and the engine are named outside of their home: as UUIDs and absolute URIs."""

from __future__ import annotations

import mimetypes
from typing import Final
from urllib.parse import quote
from uuid import UUID

from runnotary.core.ids import from_text
from runnotary.exports.material import Material

_TYPES: Final = mimetypes.MimeTypes()
"""The table of Python itself: what is installed on this machine does not change an export."""

_ENCODINGS: Final = {"gzip": "application/gzip", "bzip2": "application/x-bzip2", "xz": "application/x-xz"}
_KNOWN: Final = {".md": "text/markdown", ".yaml": "application/yaml", ".yml": "application/yaml"}
UNKNOWN: Final = "application/octet-stream"


def uuid(id_text: str) -> str:
    """Return the same 128 bits as an id, written as a UUID."""
    return str(UUID(bytes=from_text(id_text)))


def engine_uri(version: str) -> str:
    """Return the URI of a release of the engine."""
    return f"https://pypi.org/project/runnotary/{quote(version, safe='')}/"


def person_uri(principal: str) -> str:
    """Return the URI of a principal; names are those of its home, and mean nothing elsewhere."""
    return f"urn:runnotary:principal:{quote(principal, safe=':@')}"


def home_of(material: Material) -> str:
    """Return the name of the log of the home, which no other home has."""
    return material.checkpoint.split("\n", 1)[0]


def home_uri(material: Material) -> str:
    """Return the URI of the home that keeps the record."""
    return f"urn:runnotary:log:{quote(home_of(material), safe='/')}"


def media_type(name: str) -> str:
    """Return the media type that the name of a file suggests."""
    suffix = "." + name.rsplit(".", 1)[-1].lower() if "." in name else ""
    kind, encoding = _TYPES.guess_type(f"file{suffix}")
    if encoding is not None:
        return _ENCODINGS.get(encoding, UNKNOWN)
    return _KNOWN.get(suffix) or kind or UNKNOWN
