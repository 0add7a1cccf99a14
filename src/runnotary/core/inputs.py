"""A run's inputs against a flow's declaration: checked all at once, then completed with defaults.

Rules of this file:

1. Types are strict: `"3"` is no integer and `1` no boolean. An integer will do for a number.
2. A file is `{"$file": digest, "name": …, "size": …}`, a directory `{"$dir": …}`. The default of a file
   input is a path; whoever starts the run turns it into a file before `complete` is called.
3. Patterns are RE2 (`core/cel.py`), so no input can make a check run for ever.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from runnotary.core import cel
from runnotary.core.errors import InvalidRunInput
from runnotary.core.expressions import kind_of
from runnotary.core.findings import did_you_mean
from runnotary.core.flow import Flow, Input
from runnotary.core.hashing import NotCanonical, canonical, is_digest

Json = Any

INTEGER_MIN: Final = -(2**63)
INTEGER_MAX: Final = 2**63 - 1
NAMES: Final = {
    "string": "text",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "file": "a file",
    "directory": "a directory",
}
MARKS: Final = {"file": "$file", "directory": "$dir"}


def complete(flow: Flow, given: dict[str, Json]) -> dict[str, Json]:
    """Return the inputs of a run: what was given, and defaults for the rest.

    Raises:
        InvalidRunInput: naming everything that does not fit.
    """
    problems: list[str] = []
    for name in given:
        if name not in flow.inputs:
            problems.append(f'inputs: no input "{name}"{did_you_mean(name, flow.inputs)}{_known(flow)}')
    values: dict[str, Json] = {}
    for name, declared in sorted(flow.inputs.items()):
        if name in given:
            problems += violations(given[name], {**declared.schema, "type": declared.type}, f"inputs.{name}")
            values[name] = given[name]
        elif declared.required:
            problems.append(f"inputs.{name}: is required ({declared.type}) and was not given")
        elif declared.type in MARKS and declared.default is not None:
            problems.append(f"inputs.{name}: its default {declared.default} was not found")
        else:
            values[name] = declared.default
    if problems:
        raise InvalidRunInput(problems)
    return values


def from_text(declared: Input, text: str) -> Json:
    """Read what a person typed for an input: JSON unless the type is text; a path stays a path.

    Raises:
        InvalidRunInput: the text cannot be of the type.
    """
    if declared.type in ("string", "file", "directory"):
        return text
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        if declared.type == "any":
            return text
        raise InvalidRunInput([f"inputs.{declared.name}: {text!r} is not {NAMES[declared.type]}"]) from None


def violations(value: Json, schema: dict[str, Json], path: str) -> Iterator[str]:
    """Yield what is wrong with a value under a declaration (`type`, `minimum`, …)."""
    try:
        canonical(value)
    except NotCanonical as wrong:
        yield f"{path}: {wrong}"
        return
    yield from _violations(value, schema, path)


def _violations(value: Json, schema: dict[str, Json], path: str) -> Iterator[str]:
    kind = schema.get("type", "any")
    if not is_of_type(value, kind):
        yield f"{path}: must be {NAMES[kind]}, is {_shown(value)}"
        return
    if isinstance(value, int) and not INTEGER_MIN <= value <= INTEGER_MAX:
        yield f"{path}: {value} does not fit 64 bits"
    if "enum" in schema and not any(_same(value, allowed) for allowed in schema["enum"]):
        choices = ", ".join(_text(choice) for choice in schema["enum"])
        near = (
            did_you_mean(value, [c for c in schema["enum"] if isinstance(c, str)]) if kind == "string" else ""
        )
        yield f"{path}: {_shown(value)} is not one of {choices}{near}"
    if "minimum" in schema and value < schema["minimum"]:
        yield f"{path}: {value} is less than {schema['minimum']}"
    if "maximum" in schema and value > schema["maximum"]:
        yield f"{path}: {value} is more than {schema['maximum']}"
    if "pattern" in schema and not cel.matches(schema["pattern"], value):
        yield f"{path}: {_shown(value)} does not match {schema['pattern']}"
    if kind in MARKS and not _is_reference(value, MARKS[kind]):
        yield f'{path}: must be {{"{MARKS[kind]}": "sha256:…", "name": …, "size": …}}'
    if "items" in schema:
        for index, item in enumerate(value):
            yield from _violations(item, schema["items"], f"{path}[{index}]")


def is_of_type(value: Json, kind: str) -> bool:
    """Tell whether a value is of a type by its name."""
    if kind == "any":
        return True
    if kind in MARKS:
        return isinstance(value, dict) and MARKS[kind] in value
    if kind == "boolean":
        return isinstance(value, bool)
    if kind == "integer":
        return isinstance(value, int) and not isinstance(value, bool)
    if kind == "number":
        return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    return isinstance(value, {"string": str, "array": list, "object": dict}[kind])


def _is_reference(value: Json, mark: str) -> bool:
    size, digest = value.get("size"), value[mark]
    return (
        value.keys() == {mark, "name", "size"}
        and isinstance(digest, str)
        and is_digest(digest)
        and isinstance(value["name"], str)
        and is_of_type(size, "integer")
        and size >= 0
    )


def _same(value: Json, other: Json) -> bool:
    return canonical(value) == canonical(other)


def _known(flow: Flow) -> str:
    return "" if flow.inputs else "; this flow takes none"


def _text(value: Json) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _shown(value: Json) -> str:
    if isinstance(value, dict | list) or value is None:
        return kind_of(value)
    text = msgspec.json.encode(value).decode()
    return f"{kind_of(value)} {text if len(text) <= 60 else text[:57] + '…'}"
