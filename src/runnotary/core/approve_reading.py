"""Reading an `approve`: from what its author wrote to its canonical form, an object with a prompt."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from runnotary.core import grammar
from runnotary.core.expressions import OPEN, unwrapped, whole_of
from runnotary.core.findings import Path
from runnotary.core.principals import is_principal
from runnotary.core.reading import Reading, without_nothing

Json = Any
Object = dict[str, Json]

APPROVALS_MAX: Final = 20
SHOWN_MAX: Final = 50
NAMED_MAX: Final = 50
_ROLE: Final = re.compile(r"role:[a-z][a-z0-9_-]{0,62}")
_PEOPLE: Final = ("user:", "service:")


def read_approve(reading: Reading, step: str, path: Path, value: Json) -> Json:
    """Return the canonical form of an `approve`; what equals the default is left out of it."""
    if isinstance(value, str):
        value = {"prompt": value}
    known = reading.fields(path, value, grammar.APPROVE, "a prompt, or an object with one")
    if isinstance(value, dict) and "prompt" not in known:
        reading.findings.add(path, "`approve` needs a `prompt`: what people are asked")
    found: Object = {}
    for key, item in known.items():
        if item is None:
            reading.findings.add((*path, key), f"`{key}` stands here without a value")
        else:
            found[key] = READERS[key](reading, step, (*path, key), item)
    _enough(reading, path, found)
    usual = {"approvals": 1, "reason": "optional", "self_approval": True}
    return without_nothing((key, item) for key, item in found.items() if item != usual.get(key))


def _prompt(reading: Reading, step: str, path: Path, value: Json) -> Json:
    text = reading.filled(path, value, "a question")
    if text is not None:
        reading.template(path, text, step, "approve")
    return text


def _timeout(reading: Reading, step: str, path: Path, value: Json) -> Json:
    text = reading.duration(path, value)
    if text == "0ms":
        reading.findings.add(path, "a timeout of nothing; leave it out for none")
    return text


def _approvals(reading: Reading, step: str, path: Path, value: Json) -> Json:
    return reading.integer(path, value, 1, APPROVALS_MAX)


def _reason(reading: Reading, step: str, path: Path, value: Json) -> Json:
    return reading.choice(path, value, ("optional", "required"))


def _self_approval(reading: Reading, step: str, path: Path, value: Json) -> Json:
    if not isinstance(value, bool):
        reading.wrong(path, "true or false", value)
        return None
    return value


def _show(reading: Reading, step: str, path: Path, value: Json) -> Json:
    if isinstance(value, dict | list) and len(value) > SHOWN_MAX:
        reading.findings.add(path, f"at most {SHOWN_MAX} values can be shown")
        return None
    if isinstance(value, dict):
        for name, item in value.items():
            if reading.filled((*path, name), name, "a name"):
                reading.template((*path, name), item, step, "approve")
        return value

    def each(where: Path, item: Json) -> str | None:
        text = reading.filled(where, item, "an expression")
        if text is None:
            return None
        if OPEN in text and not whole_of(text):
            reading.findings.add(where, "expected an expression, bare or one whole ${{ }}; or give it a name")
            return None
        reading.compiled(where, reading.language.bare, text, step, "approve")
        return unwrapped(text)[0]

    return reading.several(path, value, "an expression", each)


def _by(reading: Reading, step: str, path: Path, value: Json) -> list[str]:
    def each(where: Path, item: Json) -> str | None:
        text = reading.text(where, item, "who may answer")
        if text is None or is_principal(text) or _ROLE.fullmatch(text):
            return text
        hint = "write user:NAME, service:NAME, group:NAME or role:NAME"
        reading.findings.add(where, f'"{text[:80]}" is nobody who could answer; {hint}')
        return None

    found = reading.several(path, value, "who may answer", each)
    if value == []:
        reading.findings.add(path, "an empty list is nobody; leave it out for whoever may approve")
    if len(found) > NAMED_MAX:
        reading.findings.add(path, f"at most {NAMED_MAX} can be named; name a group")
    return sorted(found)


def _enough(reading: Reading, path: Path, found: Object) -> None:
    """See that as many people as must approve are named, if all are."""
    named, needed = found.get("by") or (), found.get("approvals") or 1
    if named and all(one.startswith(_PEOPLE) for one in named) and len(named) < needed:
        reading.findings.add((*path, "approvals"), f"{needed} people must approve, and {len(named)} may")


READERS: Final[dict[str, Callable[[Reading, str, Path, Json], Json]]] = {
    "prompt": _prompt,
    "show": _show,
    "by": _by,
    "timeout": _timeout,
    "approvals": _approvals,
    "reason": _reason,
    "self_approval": _self_approval,
}
"""What reads each key."""
