"""Rows as CSV (RFC 4180) that a spreadsheet opens without doing what a cell says.

A cell that begins with `=`, `+`, `-`, `@` (also of full width), a tab, the end of a line or an apostrophe
gets an apostrophe before it, which a spreadsheet takes for "this is text": whoever reads the file with a
program takes that one off again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

Json = Any
FORMULA: Final = (*"=+-@", *"\uff1d\uff0b\uff0d\uff20", *"\t\r\n", "'")
AUDITED: Final = (
    *("time", "who", "authenticated_by", "role", "what", "namespace", "run", "subject", "why", "was", "set"),
    *("stream", "seq", "position"),
)
"""Of an audited event as a line of a table; its details are left out."""

_encode: Final = msgspec.json.Encoder(order="sorted").encode


def sheet(columns: Sequence[str], rows: Iterable[Json], *, head: bool = True) -> str:
    """Write objects as lines, these fields of each; what is no text is JSON, and nothing is empty."""
    lines = [",".join(columns)] if head else []
    lines += [",".join(_cell(row.get(name)) for name in columns) for row in rows]
    return "".join(f"{line}\r\n" for line in lines)


def _cell(value: Json) -> str:
    text = "" if value is None else value if isinstance(value, str) else _encode(value).decode()
    if text.startswith(FORMULA):
        text = f"'{text}"
    if any(letter in text for letter in ',"\r\n'):
        return '"' + text.replace('"', '""') + '"'
    return text
