"""How things are written for people: ids, digests, sizes, values, and text that came from outside."""

from __future__ import annotations

import json
from typing import Any, Final

from runnotary.core.times import elapsed

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


def visible(text: str) -> str:
    """Return a text on one line, with every character that a terminal would act on spelled out."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape", "backslashreplace").decode()
        for letter in text
    )


def visible_lines(text: str) -> str:
    """Do the same and keep the lines."""
    return "\n".join(visible(line.replace("\t", "    ")) for line in text.split("\n"))


def short(run: str) -> str:
    """Return the beginning of an id that is enough to name it."""
    return run[:SHORT_ID]


def short_digest(digest: str) -> str:
    """Return `sha256:4be19c02…`."""
    return f"{digest[:15]}…"


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


def is_file(value: Json) -> bool:
    """Tell whether a value stands for a file or a directory."""
    return isinstance(value, dict) and ("$file" in value or "$dir" in value)


def blob_of(value: Json) -> str:
    """Return the digest that a file value names."""
    return str(value.get("$file") or value["$dir"])


def value(given: Json, width: int = 60) -> str:
    """Write a value on one line: text as it is, a file by its name and digest, the rest as JSON."""
    if is_file(given):
        return f"{visible(given['name'])} {short_digest(blob_of(given))}"
    if isinstance(given, list) and given and all(is_file(one) for one in given):
        return f"{visible(given[0]['name'])} ×{len(given)}"
    text = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False, separators=(",", ":"))
    text = visible(text)
    return text if len(text) <= width else text[: width - 1] + "…"


def values(given: dict[str, Json], width: int = 60) -> str:
    """Write named values: `rows=1204 latest=ORD`."""
    return " ".join(f"{visible(name)}={value(one, width)}" for name, one in given.items())


def brief(us: int) -> str:
    """Write a duration: `12ms`, `0.4s`, `3m 20s`."""
    return f"{us // 1000}ms" if us < 95_000 else elapsed(us)


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


def plural(count: int, noun: str) -> str:
    """Write `1 event`, `2 events`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def tries(number: int, most: int) -> str:
    """Write which attempt it is, if there can be more than one."""
    return f"{number}/{max(number, most)}" if max(number, most) > 1 else ""
