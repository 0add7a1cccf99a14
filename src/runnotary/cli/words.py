"""How things are written for people: ids, digests, sizes, values, and text that came from outside."""

from __future__ import annotations

from typing import Any, Final

from runnotary.core.words import (
    are_files,
    blob_of,
    brief,
    is_file,
    plural,
    short_digest,
    tries,
    value,
    values,
    visible,
)

__all__ = [
    "are_files",
    "blob_of",
    "brief",
    "is_file",
    "plural",
    "short_digest",
    "tries",
    "value",
    "values",
    "visible",
]

Json = Any
SHORT_ID: Final = 12
"""The first ten letters of an id are its millisecond; with two more a prefix stays unique in practice."""

GLYPHS: Final = {
    "pending": "·",
    "running": "▸",
    "waiting": "◔",
    "success": "✓",
    "failed": "✗",
    "cancelled": "⊘",
    "skipped": "○",
    "interrupted": "!",
}
STYLES: Final = {
    "pending": "dim",
    "running": "cyan",
    "waiting": "magenta",
    "success": "green",
    "failed": "bold red",
    "cancelled": "yellow",
    "skipped": "dim",
    "interrupted": "yellow",
}
DIM: Final = "dim"
BOLD: Final = "bold"


def visible_lines(text: str) -> str:
    """Do the same and keep the lines."""
    return "\n".join(visible(line.replace("\t", "    ")) for line in text.split("\n"))


def short(run: str) -> str:
    """Return the beginning of an id that is enough to name it."""
    return run[:SHORT_ID]


def size(count: int) -> str:
    """Write a number of bytes: `512 B`, `27.7 kB`, `2.4 MB`."""
    amount, unit = float(count), "B"
    for bigger in ("kB", "MB", "GB", "TB"):
        if amount < 999.5:
            break
        amount, unit = amount / 1000, bigger
    if unit == "B":
        return f"{count} B"
    return f"{amount:.1f} {unit}" if amount < 99.95 else f"{amount:.0f} {unit}"


def took(started: int | None, ended: int | None) -> str:
    """Write how long something took; nothing if it never started."""
    return brief(max(0, ended - started)) if started and ended else ""


def microseconds(time: str | None) -> int | None:
    """Read a time of a document back."""
    if time is None:
        return None
    from datetime import datetime

    moment = datetime.fromisoformat(time)
    return int(moment.timestamp()) * 1_000_000 + moment.microsecond
