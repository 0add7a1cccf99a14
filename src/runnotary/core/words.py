"""How values are written on one line: for a terminal, and in the entries of a run's log."""

from __future__ import annotations

import json
from typing import Any

from runnotary.core.times import elapsed

Json = Any


def visible(text: str) -> str:
    """Return a text on one line, with every character that a terminal would act on spelled out."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape", "backslashreplace").decode()
        for letter in text
    )


def short_digest(digest: str) -> str:
    """Return `sha256:4be19c02…`."""
    return f"{digest[:15]}…"


def is_file(value: Json) -> bool:
    """Tell whether a value stands for a file or a directory."""
    return isinstance(value, dict) and ("$file" in value or "$dir" in value)


def blob_of(value: Json) -> str:
    """Return the digest that a file value names."""
    return str(value.get("$file") or value["$dir"])


def are_files(value: Json) -> bool:
    """Tell whether a value is a list of files and directories, and of nothing else."""
    return isinstance(value, list) and bool(value) and all(is_file(one) for one in value)


def value(given: Json, width: int = 60) -> str:
    """Write a value on one line: text as it is, a file by its name and digest, the rest as JSON."""
    if is_file(given):
        return f"{visible(given['name'])} {short_digest(blob_of(given))}"
    if are_files(given):
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


def plural(count: int, noun: str) -> str:
    """Write `1 event`, `2 events`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def tries(number: int, most: int) -> str:
    """Write which attempt it is, if there can be more than one."""
    return f"{number}/{max(number, most)}" if max(number, most) > 1 else ""
