"""CEL, by the C++ implementation: the one file that knows `cel_expr_python`.

Rules of this file:

1. Importing costs 3 ms and 6 MB of shared pages (0.1 MB of its own), measured, so it stands at the top;
   an environment is made only when an expression is more than a plain path.
2. What an expression refers to is what the compiler calls undeclared. Nothing here parses CEL.
3. The library's own limits hold (32 levels, 10,000 iterations in all); on top, text is capped. Values
   deeper than 64 levels do not go in (they would overflow the C stack), nor text with NUL (it would be cut).
4. Results are JSON or an `EvaluationError`. The library returns errors as values; that is checked.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final

from cel_expr_python import cel

from runnotary.core.references import (
    STATUS_WORDS,
    Compiled,
    EvaluationError,
    Fault,
    InvalidExpression,
    Part,
    Reference,
    Scope,
    shown,
    status_answers,
)

Json = Any
Inputs = frozenset[tuple[str, str]]
"""Name and type of every input of the flow."""

TEXT_MAX: Final = 16 * 1024
DEPTH_MAX: Final = 64
INTEGER_MIN: Final = -(2**63)
INTEGER_MAX: Final = 2**63 - 1

_ISSUE: Final = re.compile(r"^(?:INVALID_ARGUMENT: )?ERROR: <input>:(-?\d+):(-?\d+): (.*)$", re.MULTILINE)
_UNDECLARED: Final = re.compile(r"undeclared reference to '(.+?)'")
_OVERLOAD: Final = re.compile(r"found no matching overload for '_?(.+?)_?' applied to '(.+)'")
_INDEX: Final = re.compile(r"""\[(?:'([^'\\\n]*)'|"([^"\\\n]*)")\]""")
_CODE: Final = re.compile(r"^[A-Z_]+: | \[[A-Z_]+\]$")


class Program(Compiled):
    """A compiled CEL expression, once per answer of the status functions if it asks for them."""

    __slots__ = ("_inputs", "_variants")

    def __init__(
        self, text: str, references: tuple[Reference, ...], inputs: Inputs, compiled: cel.Expression | None
    ) -> None:
        super().__init__(text, references, asks_status=compiled is None)
        self._inputs = inputs
        self._variants: dict[tuple[bool, ...], cel.Expression] = {} if compiled is None else {(): compiled}

    def evaluate(self, scope: Scope) -> Json:
        answers = tuple(status_answers(scope.get("status")).values()) if self.asks_status else ()
        expression = self._variants.get(answers)
        if expression is None:
            expression = self._variants[answers] = _environment(self._inputs, answers).compile(self.text)
        try:
            value = expression.eval(data=self._data(scope))
            kind, plain = value.type(), value.plain_value()
        except (RuntimeError, TypeError, ValueError, OverflowError) as wrong:
            raise EvaluationError(f"{shown(self.text)}: {_said(str(wrong))}") from None
        if kind in (cel.Type.ERROR, cel.Type.UNKNOWN):
            raise EvaluationError(f"{shown(self.text)}: {_said(str(plain))}")
        try:
            return _json(plain)
        except EvaluationError as wrong:
            raise EvaluationError(f"{shown(self.text)}: {wrong}") from None

    def _data(self, scope: Scope) -> dict[str, Json]:
        steps = scope.get("steps", {})
        inputs = scope.get("inputs", {})
        types = dict(self._inputs)
        data: dict[str, Json] = {"steps": {name: steps.get(name, {}) for name in self.steps}}
        for root, *names in (reference.parts for reference in self.references):
            name = str(names[0]) if names else ""
            if root in ("inputs", "run"):
                data[root] = scope.get(root, {})
            elif root == "each":
                data |= {f"each.{key}": value for key, value in scope.get("each", {}).items()}
            if root == "inputs" and name in types:
                value = inputs.get(name)
                as_double = types[name] == "number" and isinstance(value, int)
                data[f"inputs.{name}"] = float(value) if as_double else value
        if unfit := _unfit(data):
            raise EvaluationError(unfit)
        return data


@lru_cache(maxsize=4096)
def program(text: str, inputs: Inputs, status: bool) -> Program:
    """Compile an expression; `status` allows the status functions.

    Raises:
        InvalidExpression: with every fault the compiler names.
    """
    if not text:
        raise InvalidExpression([Fault(0, "the expression is empty")])
    if len(text) > TEXT_MAX:
        raise InvalidExpression([Fault(0, f"the expression is longer than {TEXT_MAX} characters")])
    if not text.isascii() and any("\ud800" <= letter <= "\udfff" for letter in text):
        raise InvalidExpression([Fault(0, "the expression is not Unicode text")])
    names = _free_names(text)
    asks = status and any(name in STATUS_WORDS for name, _ in names)
    try:
        compiled = _environment(inputs, (True,) * len(STATUS_WORDS) if asks else ()).compile(text)
    except (RuntimeError, ValueError) as wrong:
        issues = _issues(text, str(wrong))
        raise InvalidExpression(_fault(text, at, said) for at, said in issues) from None
    references = tuple(
        Reference(_parts(text, name, at), at) for name, at in names if name not in STATUS_WORDS
    )
    return Program(text, references, inputs, None if asks else compiled)


@lru_cache(maxsize=256)
def _environment(inputs: Inputs, answers: tuple[bool, ...]) -> cel.Env:
    """Return the environment of a flow; the status functions are constants in it, or absent."""
    kind = cel.Type
    table = kind.Map(kind.STRING, kind.DYN)
    types = {
        "string": kind.STRING,
        "integer": kind.INT,
        "number": kind.DOUBLE,
        "boolean": kind.BOOL,
        "array": kind.List(kind.DYN),
        "object": table,
        "file": table,
        "directory": table,
    }
    variables = {f"inputs.{name}": types.get(word, kind.DYN) for name, word in inputs}
    variables |= {"inputs": table, "steps": table, "run": table}
    variables |= {"each.value": kind.DYN, "each.index": kind.INT}
    words = zip(STATUS_WORDS, answers, strict=True) if answers else ()
    return cel.NewEnv(variables=variables, functions=[_function(name, answer) for name, answer in words])


def _function(name: str, answer: bool) -> cel.FunctionDecl:
    def implementation() -> bool:
        return answer

    call: Callable[..., Any] = implementation
    overload = cel.Overload(f"{name}()", return_type=cel.Type.BOOL, parameters=[], impl=call)
    return cel.FunctionDecl(name, [overload])


# --- what an expression refers to ----------------------------------------------------------------


def _free_names(text: str) -> list[tuple[str, int]]:
    """Return every free name with its offset: compile with nothing declared, read the complaints.

    The compiler stops after 20 of them; then what is known is declared and it is asked again.
    """
    found: dict[str, int] = {}
    while True:
        variables = dict.fromkeys(found, cel.Type.DYN)
        try:
            (cel.NewEnv(variables=variables) if found else _bare()).compile(text)
            break
        except (RuntimeError, ValueError) as wrong:
            issues = _issues(text, str(wrong))
        before = len(found)
        for offset, message in issues:
            undeclared = _UNDECLARED.match(message)
            if undeclared:
                name = undeclared[1].lstrip(".")
                found.setdefault(name, _start_of(name, text, offset))
        if not any(said.startswith("maximum number") for _, said in issues) or len(found) == before:
            break
    return sorted(found.items(), key=lambda item: item[1])


@lru_cache(maxsize=1)
def _bare() -> cel.Env:
    return cel.NewEnv()


def _parts(text: str, name: str, offset: int) -> tuple[Part, ...]:
    """Split a dotted name and add the literal indexes that follow it in the text."""
    parts: list[Part] = [*name.split(".")]
    at = offset + len(name) if text.startswith(name, offset) else len(text)
    while index := _INDEX.match(text, at):
        parts.append(index[1] if index[1] is not None else index[2])
        at = index.end()
    return tuple(parts)


def _issues(text: str, complaint: str) -> Sequence[tuple[int, str]]:
    """Return (offset, message) for each issue that the library reports in one text."""
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    issues = []
    for row, column, message in _ISSUE.findall(complaint):
        number = min(max(int(row), 1), len(starts) - 1)
        issues.append((min(starts[number - 1] + max(int(column), 1) - 1, len(text)), _said(message)))
    return issues or [(0, _said(complaint.partition("\n")[0]))]


def _fault(text: str, offset: int, message: str) -> Fault:
    """Say it in the words of a flow's author."""
    undeclared = _UNDECLARED.match(message)
    if undeclared:
        called = text[offset : offset + 1] == "(" and not text[:offset].endswith("has")
        return Fault(_start_of(undeclared[1], text, offset), _unknown(undeclared[1], called))
    overload = _OVERLOAD.match(message)
    if overload:
        mixed = "double" in overload[2] and "int" in overload[2]
        hint = "; write 2.0 for 2, or double(…)" if mixed else ""
        return Fault(offset, f"{overload[1]} does not take {overload[2]}{hint}")
    if "recursion" in message:
        return Fault(offset, "the expression is nested deeper than 32 levels")
    if "<EOF>" in message:
        return Fault(offset, "the expression ends too early")
    return Fault(offset, message.partition(" expecting {")[0])


def _unknown(name: str, called: bool) -> str:
    if called and name in STATUS_WORDS:
        return f"{name}() may stand in the `if` of a step only"
    if called:
        return f'there is no function "{name}"'
    if name.partition(".")[0] == "secrets":
        return "secrets may stand in `env` only, each as one whole ${{ secrets.NAME }}"
    known = "there are inputs, steps, each and run"
    return f'nothing is called "{name}" here; {known}, and text needs quotes of its own'


def _start_of(name: str, text: str, offset: int) -> int:
    """Return where a name starts that the compiler places at its last dot or at its call."""
    start = text.find(name, max(0, offset - len(name)))
    return start if start >= 0 else offset


# --- values --------------------------------------------------------------------------------------


def _said(message: str) -> str:
    return _CODE.sub("", message.strip())


def _unfit(value: Json) -> str:
    """Say what of a value the library would crash on or cut off, or nothing."""
    level = [value]
    for _ in range(DEPTH_MAX + 4):
        deeper: list[Json] = []
        for item in level:
            if isinstance(item, dict):
                deeper += item.keys()
                deeper += item.values()
            elif isinstance(item, list):
                deeper += item
            elif isinstance(item, str) and "\0" in item:
                return "a text with a NUL character cannot go through an expression"
        if not deeper:
            return ""
        level = deeper
    return f"a value is nested deeper than {DEPTH_MAX} levels"


def _json(value: Json, depth: int = 0) -> Json:
    """Return the value as JSON, keys in order, or say why it is none."""
    if value is None or isinstance(value, bool | str):
        return value
    if isinstance(value, int) and INTEGER_MIN <= value <= INTEGER_MAX:
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, int | float):
        raise EvaluationError(f"{value} is not a number that JSON and 64 bits can hold")
    if depth > DEPTH_MAX:
        raise EvaluationError(f"the result is nested deeper than {DEPTH_MAX} levels")
    if isinstance(value, list):
        return [_json(item, depth + 1) for item in value]
    if isinstance(value, dict):
        if not all(isinstance(key, str) for key in value):
            raise EvaluationError("the keys of an object must be text")
        return {key: _json(value[key], depth + 1) for key in sorted(value)}
    names = {"bytearray": "bytes", "datetime": "a time", "timedelta": "a duration", "Type": "a type"}
    name = names.get(type(value).__name__, type(value).__name__)
    raise EvaluationError(f"is {name}, which JSON cannot hold; string(…) makes it text")


# --- patterns ------------------------------------------------------------------------------------


def matches(pattern: str, text: str) -> bool:
    """Tell whether an RE2 pattern matches somewhere in a text; linear in its length, whatever the pattern.

    Raises:
        EvaluationError: the pattern is not one.
    """
    value = _matcher().eval(data={"text": text, "pattern": pattern})
    if value.type() == cel.Type.ERROR:
        raise EvaluationError(_said(str(value.plain_value())))
    return bool(value.plain_value())


@lru_cache(maxsize=1)
def _matcher() -> cel.Expression:
    text = {"text": cel.Type.STRING, "pattern": cel.Type.STRING}
    return cel.NewEnv(variables=text).compile("text.matches(pattern)")
