"""The forms in which a run leaves the home: one table. One export is one file of this room."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from runnotary.exports import bundle, html, openlineage, ro_crate
from runnotary.exports.material import Material


@dataclass(frozen=True)
class Format:
    """One form: its name in commands and routes, and what makes it.

    `suffix` is the end of a file's name, with its dot. Bytes that may be more than memory should hold come
    as an iterator; whatever can go wrong goes wrong before its first piece.
    """

    name: str
    media_type: str
    suffix: str
    make: Callable[[Material], bytes | Iterator[bytes]]


_ALL: Final[tuple[Format, ...]] = (
    Format("bundle", "application/zip", ".zip", bundle.make),
    Format("ro-crate", "application/zip", ".crate.zip", ro_crate.make),
    Format("openlineage", "application/x-ndjson", ".openlineage.jsonl", openlineage.make),
    Format("html", "text/html; charset=utf-8", ".html", html.make),
)

FORMATS: Final[dict[str, Format]] = {one.name: one for one in _ALL}
