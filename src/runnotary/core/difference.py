"""What changed between two definitions: a list of places with what stood there and what stands there now.

Rules of this file:

1. Objects are compared key by key, everything else as a whole: of a list it says nothing which part "moved".
2. A step that came or went is one change, and so is a file of the code: it is known by its digest.
3. The same two documents give the same list, in the order of the keys.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from typing import Any, Final

Json = Any
Change = dict[str, Any]
"""`path`, `change` (added, removed or changed), `was` and `now`; null where there was, or is, nothing."""

_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*", re.ASCII)
_WHOLE: Final = frozenset({"steps", "finally", "code", "inputs", "outputs"})
"""Objects of named things: one that came or went is told as a whole."""


def changes(was: Json, now: Json) -> list[Change]:
    """Return what differs between two documents."""
    return list(_changes((), was, now))


def _changes(path: tuple[str, ...], was: Json, now: Json) -> Iterator[Change]:
    for key in sorted({*was, *now}):
        inner = (*path, key)
        if key not in was:
            if not path and key in _WHOLE and isinstance(now[key], dict):
                yield from _changes(inner, {}, now[key])
            else:
                yield _change(inner, "added", None, now[key])
        elif key not in now:
            if not path and key in _WHOLE and isinstance(was[key], dict):
                yield from _changes(inner, was[key], {})
            else:
                yield _change(inner, "removed", was[key], None)
        elif isinstance(was[key], dict) and isinstance(now[key], dict) and not _is_code(inner):
            yield from _changes(inner, was[key], now[key])
        elif not _same(was[key], now[key]):
            yield _change(inner, "changed", was[key], now[key])


def _change(path: tuple[str, ...], change: str, was: Json, now: Json) -> Change:
    return {"path": written(path), "change": change, "was": was, "now": now}


def _is_code(path: tuple[str, ...]) -> bool:
    return len(path) == 2 and path[0] == "code"


def _same(was: Json, now: Json) -> bool:
    """Tell whether two values are the same JSON: 1 and true are not, and 1 and 1.0 are."""
    if isinstance(was, bool) != isinstance(now, bool):
        return False
    if isinstance(was, list) and isinstance(now, list):
        return len(was) == len(now) and all(map(_same, was, now))
    if isinstance(was, dict) and isinstance(now, dict):
        return was.keys() == now.keys() and all(_same(was[key], now[key]) for key in was)
    return bool(was == now)


def written(path: tuple[str, ...]) -> str:
    """Return a path as expressions write it: `steps.clean.run`, `code['clean.py']`."""
    text = ""
    for part in path:
        if _WORD.fullmatch(part):
            text += f".{part}" if text else part
        else:
            quoted = part.replace("\\", "\\\\").replace("'", "\\'")
            text += f"['{quoted}']"
    return text


def lines(was: str, now: str, name: str) -> list[str]:
    """Return how one text became another, as a unified diff without line ends."""
    return list(
        difflib.unified_diff(was.splitlines(), now.splitlines(), f"a/{name}", f"b/{name}", lineterm="")
    )
