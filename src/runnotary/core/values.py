"""What a step writes to `$RUNNOTARY_OUTPUT`: read, typed, and refused with every problem at once.

The text is one JSON object, or lines of the form `name=value`. In a line, a value that is declared as
`string`, or not declared, is the text as it stands; any other is read as JSON. If a step declares values,
each must be there and no other may be; if it declares none, it may write whatever it likes.

Refused, because no two readers would agree on them: NaN and infinities, integers over 64 bits, a key that
occurs twice, lone surrogates, and the keys `$file` and `$dir`, which mean a content that was recorded.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

from runnotary.core.hashing import NotCanonical, canonical

Json = Any

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_INT_MIN, _INT_MAX = -(2**63), 2**63 - 1
_RESERVED: Final = frozenset({"$file", "$dir"})
_SHOWN: Final = 60

TYPES: Final[dict[str, Callable[[Json], bool]]] = {
    "any": lambda value: True,
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}
"""Every type a value may be declared as, and what fits it."""


class BadValues(ValueError):
    """The text is no output, or its values are not the declared ones; every problem is named."""

    def __init__(self, *problems: str) -> None:
        super().__init__("; ".join(problems))
        self.problems: Final = problems


def parse(data: bytes, declared: Mapping[str, str]) -> dict[str, Json]:
    """Read the output of a step.

    Raises:
        BadValues: it does not read, or a value is missing, unknown or of another type.
    """
    values, problems = read(data, declared)
    if problems:
        raise BadValues(*problems)
    return values


def read(data: bytes, declared: Mapping[str, str]) -> tuple[dict[str, Json], list[str]]:
    """Return the values that read and fit, and what is wrong with the others."""
    try:
        text = data.decode()
    except UnicodeDecodeError as wrong:
        return {}, [f"$RUNNOTARY_OUTPUT is not UTF-8 (byte {wrong.start})"]
    try:
        found, problems = _object(text) if text.lstrip().startswith("{") else _lines(text, declared)
    except BadValues as wrong:
        return {}, list(wrong.problems)
    values = {}
    for name, value in found.items():
        problem = _misfit(name, value, declared)
        if problem:
            problems.append(problem)
        else:
            values[name] = value
    said = " ".join(problems)
    missing = [name for name in declared if name not in found and f"values.{name}:" not in said]
    problems += [f"values.{name}: {declared[name]} expected, nothing was written" for name in missing]
    return values, problems


def _object(text: str) -> tuple[dict[str, Json], list[str]]:
    try:
        value = _loads(text)
    except BadValues as wrong:
        raise BadValues(f"$RUNNOTARY_OUTPUT is not a JSON object: {wrong}") from None
    assert isinstance(value, dict)
    return value, []


def _lines(text: str, declared: Mapping[str, str]) -> tuple[dict[str, Json], list[str]]:
    values: dict[str, Json] = {}
    problems = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        name, sign, value = line.removesuffix("\r").partition("=")
        name = name.strip()
        if not sign or not _NAME.fullmatch(name):
            problems.append(f"$RUNNOTARY_OUTPUT line {number}: name=value expected, got {_shown(line)}")
        elif name in values:
            problems.append(f"values.{name}: written twice")
        elif declared.get(name, "string") == "string":
            values[name] = value
        else:
            try:
                values[name] = _loads(value)
            except BadValues as wrong:
                problems.append(f"values.{name}: {declared[name]} expected, got {_shown(value)} ({wrong})")
    return values, problems


def _misfit(name: str, value: Json, declared: Mapping[str, str]) -> str:
    """Return what is wrong with one value, or nothing."""
    if declared and name not in declared:
        near = difflib.get_close_matches(name, declared, 1)
        hint = f"did you mean {near[0]}?" if near else f"declared are {', '.join(sorted(declared))}"
        return f"values.{name}: not declared; {hint}"
    try:
        canonical(value)
    except NotCanonical as wrong:
        return f"values.{name}: {wrong}"
    wanted = declared.get(name, "any")
    fits = TYPES.get(wanted)
    if fits is None:
        return f"values.{name}: there is no type {wanted}"
    if not fits(value):
        return f"values.{name}: {wanted} expected, got {_type_of(value)} {_shown(json.dumps(value))}"
    return ""


def _loads(text: str) -> Json:
    try:
        return json.loads(
            text,
            object_pairs_hook=_pairs,
            parse_int=_integer,
            parse_float=_float,
            parse_constant=_constant,
        )
    except json.JSONDecodeError as wrong:
        raise BadValues(f"{wrong.msg} at line {wrong.lineno}, column {wrong.colno}") from None
    except RecursionError:
        raise BadValues("nested too deeply") from None


def _pairs(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    value = dict(pairs)
    if len(value) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise BadValues(f"the key {_shown(twice)} occurs twice")
    if reserved := _RESERVED & value.keys():
        raise BadValues(f"the key {min(reserved)} is reserved; declare the file under `files` instead")
    return value


def _integer(text: str) -> int:
    # Measured by its digits first: a number of a million digits would take its time.
    value = int(text) if len(text) <= 20 else _INT_MAX + 1
    if not _INT_MIN <= value <= _INT_MAX:
        raise BadValues(f"the integer {_shown(text)} does not fit into 64 bits; write it as a string")
    return value


def _float(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise BadValues(f"the number {_shown(text)} is too large")
    return value


def _constant(text: str) -> float:
    raise BadValues(f"{text} is not JSON")


def _type_of(value: Json) -> str:
    if value is None:
        return "null"
    return next(word for word, fits in TYPES.items() if word != "any" and fits(value))


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
