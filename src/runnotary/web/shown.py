"""How ids, times, sizes and values are written on a page, and text that came from outside.

Rules of this file:

1. Text from outside is written letter by letter: what a browser would act on or hide (control characters,
   marks that turn the direction of writing, halves of surrogate pairs) is spelled out. Escaping for HTML is
   the templates' work (`rendering.py`).
2. Everything has a largest size: one line of a megabyte must not become a page of a megabyte.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import msgspec

from runnotary.core.words import are_files, brief, is_file

Json = Any
VALUE_WIDTH: Final = 2_000
LINE_WIDTH: Final = 2_000
TAIL_BYTES: Final = 256 * 1024
MINUTE, HOUR, DAY = 60, 3_600, 86_400


def visible(text: str) -> str:
    """Return the text with every letter that does not print spelled out; lines and tabs stay."""
    if text.replace("\n", "").replace("\t", "").isprintable():
        return text
    return "".join(
        letter
        if letter.isprintable() or letter in "\n\t"
        else letter.encode("unicode_escape", "backslashreplace").decode()
        for letter in text
    )


def cut(text: str, width: int = VALUE_WIDTH) -> str:
    """Return the text, or its beginning and how much is left out."""
    if len(text) <= width:
        return text
    return f"{text[:width]} … {len(text) - width:,} more characters"


def size(count: int | None) -> str:
    """Write a number of bytes: `512 B`, `27.7 kB`, `2.4 MB`."""
    amount, unit = float(count or 0), "B"
    for bigger in ("kB", "MB", "GB", "TB"):
        if amount < 999.5:
            break
        amount, unit = amount / 1000, bigger
    if unit == "B":
        return f"{count or 0} B"
    return f"{amount:.1f} {unit}" if amount < 99.95 else f"{amount:.0f} {unit}"


def value(given: Json, width: int = VALUE_WIDTH) -> str:
    """Write a value: text as it is, a file by its name, everything else as JSON."""
    if is_file(given):
        return str(given.get("name", ""))
    if are_files(given):
        return f"{given[0].get('name', '')} and {len(given) - 1:,} more files"
    if isinstance(given, str):
        return cut(given, width)
    return cut(msgspec.json.encode(given).decode("utf-8", "replace"), width)


# --- times -----------------------------------------------------------------------------------------


def microseconds(time: str | None) -> int | None:
    """Read a time of a document back."""
    if not time:
        return None
    moment = datetime.fromisoformat(time)
    return int(moment.timestamp()) * 1_000_000 + moment.microsecond


def moment(time: str | None) -> str:
    """Write a time of a document to the second: `2026-01-31 12:00:00 UTC`."""
    return f"{time[:10]} {time[11:19]} UTC" if time else ""


def ago(time: str | None, now: int) -> str:
    """Write how long ago something was; from a day on, when: `12 s ago`, `5 min ago`, `2026-01-31 12:00`."""
    at = microseconds(time)
    if time is None or at is None:
        return ""
    seconds = max(0, now - at) // 1_000_000
    if seconds < MINUTE:
        return f"{seconds} s ago"
    if seconds < HOUR:
        return f"{seconds // MINUTE} min ago"
    if seconds < DAY:
        return f"{seconds // HOUR} h ago"
    return f"{time[:10]} {time[11:16]}"


def took(started: str | None, ended: str | None, now: int) -> str:
    """Write how long something took, or has taken until now; nothing if it never began."""
    begin, end = microseconds(started), microseconds(ended)
    return brief(max(0, (end or now) - begin)) if begin else ""


# --- output of steps -------------------------------------------------------------------------------


class Tail(msgspec.Struct, frozen=True):
    """The last lines of something a step printed, and how many bytes stand before them."""

    kind: str
    lines: tuple[str, ...]
    left_out: int
    size: int


def tail(kind: str, data: bytes, lines: int, *, total: int | None = None) -> Tail:
    """Return the last lines of a stream, none of them longer than a page can bear."""
    whole = len(data) if total is None else total
    part = data[-TAIL_BYTES:]
    kept = part.decode("utf-8", "replace").rstrip("\n").split("\n")[-lines:]
    shown = sum(len(line.encode("utf-8", "replace")) + 1 for line in kept)
    return Tail(
        kind=kind,
        lines=tuple(cut(line.rstrip("\r"), LINE_WIDTH) for line in kept) if data else (),
        left_out=max(0, whole - shown),
        size=whole,
    )
