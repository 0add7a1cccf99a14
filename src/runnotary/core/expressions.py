"""Expressions: what stands in `${{ }}`, in `if`, `for_each`, `set` and `wait`.

Rules of this file:

1. The language is CEL (`core/cel.py`); there is no parser of ours. Plain paths such as
   `steps.clean.files['clean.csv']`, constants and single status words need no CEL: they are walked here.
2. A string that is one whole `${{ }}` keeps the type of its value. Mixed text interpolates: text as it
   is, other values as JSON text, files not at all.
3. Whatever is wrong is found when it is compiled, with an offset into the text. What only the values
   can tell is an `EvaluationError`, never anything else.
"""

from __future__ import annotations

import re
from typing import Any, Final

import msgspec

from runnotary.core import cel
from runnotary.core.references import (
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

__all__ = [
    "Compiled",
    "Constant",
    "EvaluationError",
    "InvalidExpression",
    "Language",
    "Template",
    "read_path",
]

Json = Any

ROOTS: Final = frozenset({"inputs", "steps", "each", "run"})
OPEN, CLOSE = "${{", "}}"
SECONDS_MAX: Final = 366 * 86_400

_PART: Final = r"""(?:\.[A-Za-z_]\w*|\[(?:'[^'\\\n]*'|"[^"\\\n]*"|\d{1,9})\])"""
_PATH: Final = re.compile(rf"[A-Za-z_]\w*{_PART}*", re.ASCII)
_PARTS: Final = re.compile(r"""([A-Za-z_]\w*)|\['([^']*)'\]|\["([^"]*)"\]|\[(\d+)\]""", re.ASCII)
_STATUS: Final = re.compile(r"(!?)\s*(always|failure|success|cancelled)\(\)")
_CONSTANTS: Final = {"true": True, "false": False, "null": None}
_INTEGER: Final = re.compile(r"-?\d{1,18}", re.ASCII)
_INSIDE: Final = re.compile(
    r"""(?:[^'"}]|'(?:[^'\\]|\\.)*+'|"(?:[^"\\]|\\.)*+"|\}(?!\}))*+\}\}""",
    re.DOTALL,
)


class Constant(Compiled):
    """A value that stands in the flow itself."""

    __slots__ = ("value",)

    def __init__(self, value: Json, text: str = "") -> None:
        super().__init__(text or str(value))
        self.value = value

    def evaluate(self, scope: Scope) -> Json:
        return self.value


class Path(Compiled):
    """A plain path, walked without CEL."""

    __slots__ = ("parts",)

    def __init__(self, text: str, parts: tuple[Part, ...]) -> None:
        super().__init__(text, (Reference(parts, 0),))
        self.parts = parts

    def evaluate(self, scope: Scope) -> Json:
        value: Json = scope
        for part in self.parts:
            inside = isinstance(value, dict) and part in value
            if not inside and not (isinstance(value, list) and isinstance(part, int) and part < len(value)):
                raise EvaluationError(f'{shown(self.text)}: there is no "{part}"')
            value = value[part]
        return value


class Status(Compiled):
    """One of the four words about how the needs of a step ended, or its opposite."""

    __slots__ = ("opposite", "word")

    def __init__(self, text: str, word: str, opposite: bool) -> None:
        super().__init__(text, asks_status=True)
        self.word = word
        self.opposite = opposite

    def evaluate(self, scope: Scope) -> Json:
        return status_answers(scope.get("status"))[self.word] is not self.opposite


class Template(Compiled):
    """Text with expressions in it: (offset, expression) between pieces of text."""

    __slots__ = ("pieces",)

    def __init__(self, text: str, pieces: list[str | tuple[int, Compiled]]) -> None:
        inner = [piece for piece in pieces if not isinstance(piece, str)]
        super().__init__(text, tuple(_moved(ref, at) for at, piece in inner for ref in piece.references))
        self.pieces = tuple(piece if isinstance(piece, str) else piece[1] for piece in pieces)

    def evaluate(self, scope: Scope) -> Json:
        return "".join(
            piece if isinstance(piece, str) else _written(piece.text, piece.evaluate(scope))
            for piece in self.pieces
        )


class Composite(Compiled):
    """An object or a list with expressions somewhere in it."""

    __slots__ = ("data",)

    def __init__(self, data: dict[str, Compiled] | list[Compiled]) -> None:
        inner = data.values() if isinstance(data, dict) else data
        text = "{…}" if isinstance(data, dict) else "[…]"
        super().__init__(text, tuple(reference for piece in inner for reference in piece.references))
        self.data = data

    def evaluate(self, scope: Scope) -> Json:
        if isinstance(self.data, dict):
            return {name: piece.evaluate(scope) for name, piece in self.data.items()}
        return [piece.evaluate(scope) for piece in self.data]


class Shifted(Compiled):
    """An expression that stands somewhere inside its text: the same, with references moved."""

    __slots__ = ("inner",)

    def __init__(self, inner: Compiled, offset: int) -> None:
        moved = tuple(_moved(reference, offset) for reference in inner.references)
        super().__init__(inner.text, moved, inner.asks_status)
        self.inner = inner

    def evaluate(self, scope: Scope) -> Json:
        return self.inner.evaluate(scope)


def is_path(expression: object) -> bool:
    """Tell whether an expression only looks up what is there, and so cannot make anything up."""
    while isinstance(expression, Shifted):
        expression = expression.inner
    return isinstance(expression, Path)


class Truth(Shifted):
    """A condition: like its expression, but only true and false will do."""

    __slots__ = ()

    def evaluate(self, scope: Scope) -> Json:
        value = self.inner.evaluate(scope)
        if not isinstance(value, bool):
            raise EvaluationError(
                f"{shown(self.text)}: is {kind_of(value)}, a condition must be true or false"
            )
        return value


class Pause(Shifted):
    """A pause: the expression gives seconds, the value is in ms."""

    __slots__ = ()

    def evaluate(self, scope: Scope) -> Json:
        value = self.inner.evaluate(scope)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise EvaluationError(f"{shown(self.text)}: is {kind_of(value)}, a pause is a number of seconds")
        if not 0 <= value <= SECONDS_MAX:
            raise EvaluationError(f"{shown(self.text)}: {value} is not between 0 and {SECONDS_MAX} seconds")
        return round(value * 1000)


class Language:
    """Compiles the expressions of one flow, whose inputs have these types.

    Every method raises InvalidExpression with all faults of the text.
    """

    def __init__(self, inputs: dict[str, str]) -> None:
        self.inputs: Final = frozenset(inputs.items())

    def value(self, data: Json) -> Compiled:
        """Compile a value in which strings may hold `${{ }}` (`with`, `env`, `outputs`, `stage`)."""
        if isinstance(data, str):
            return self._template(data)
        if isinstance(data, dict):
            fields = {name: self.value(item) for name, item in data.items()}
            return Composite(fields) if _varies(fields.values()) else Constant(data)
        if isinstance(data, list):
            items = [self.value(item) for item in data]
            return Composite(items) if _varies(items) else Constant(data)
        return Constant(data)

    def bare(self, data: Json) -> Compiled:
        """Compile a value whose strings are expressions, bare or one whole `${{ }}` (`set`, `for_each`)."""
        if not isinstance(data, str):
            return Constant(data)
        text, offset = unwrapped(data)
        inner = self._at(offset, text)
        return Shifted(inner, offset) if offset and inner.references else inner

    def condition(self, data: Json) -> Truth:
        """Compile an `if`; only here may the status functions be called."""
        if not isinstance(data, str):
            return Truth(Constant(data), 0)
        text, offset = unwrapped(data)
        word = _STATUS.fullmatch(text)
        return Truth(
            Status(text, word[2], bool(word[1])) if word else self._at(offset, text, status=True), offset
        )

    def pause(self, data: Json) -> Pause:
        """Compile a `wait` that is not a duration."""
        return Pause(self.bare(data), 0)

    def _at(self, offset: int, text: str, status: bool = False) -> Compiled:
        """Compile one expression; its faults are moved by the offset, its references are not."""
        if text in _CONSTANTS:
            return Constant(_CONSTANTS[text], text)
        if _INTEGER.fullmatch(text):
            return Constant(int(text), text)
        parts = read_path(text)
        if parts and parts[0] in ROOTS:
            return Path(text, parts)
        try:
            return cel.program(text, self.inputs, status)
        except InvalidExpression as wrong:
            raise InvalidExpression(Fault(offset + at, message) for at, message in wrong.faults) from None

    def _template(self, text: str) -> Compiled:
        if OPEN not in text:
            return Constant(text)
        if whole_of(text):
            return self.bare(text)
        pieces: list[str | tuple[int, Compiled]] = []
        faults: list[Fault] = []
        done = 0
        while (at := text.find(OPEN, done)) >= 0:
            end = _INSIDE.match(text, at + len(OPEN))
            if end is None:
                faults.append(Fault(at, f"{OPEN} without its {CLOSE}"))
                break
            pieces.append(text[done:at])
            inner, offset = _stripped(text, at + len(OPEN), end.end() - len(CLOSE))
            try:
                pieces.append((offset, self._at(offset, inner)))
            except InvalidExpression as wrong:
                faults += wrong.faults
            done = end.end()
        if faults:
            raise InvalidExpression(faults)
        return Template(text, [*pieces, text[done:]])


def read_path(text: str) -> tuple[Part, ...] | None:
    """Return the parts of a plain path, or None if the text is not one."""
    if not _PATH.fullmatch(text):
        return None
    return tuple(
        int(found[4]) if found[4] else next(part for part in found.groups() if part is not None)
        for found in _PARTS.finditer(text)
    )


def whole_of(text: str) -> tuple[str, int] | None:
    """Return expression and offset if the text is one whole `${{ }}`, else None."""
    start = len(text) - len(text.lstrip())
    end = len(text.rstrip())
    if not text.startswith(OPEN, start) or not text.endswith(CLOSE, start + len(OPEN), end):
        return None
    inside = _INSIDE.match(text, start + len(OPEN))
    if inside is not None and inside.end() < end and OPEN in text[inside.end() :]:
        return None
    return _stripped(text, start + len(OPEN), end - len(CLOSE))


def unwrapped(text: str) -> tuple[str, int]:
    """Return expression and offset of a text that is bare or one whole `${{ }}`."""
    return whole_of(text) or _stripped(text, 0, len(text))


def _stripped(text: str, start: int, end: int) -> tuple[str, int]:
    inner = text[start:end]
    return inner.strip(), start + len(inner) - len(inner.lstrip())


def _moved(reference: Reference, offset: int) -> Reference:
    return Reference(reference.parts, reference.offset + offset)


def _varies(pieces: Any) -> bool:
    return not all(isinstance(piece, Constant) for piece in pieces)


def _written(text: str, value: Json) -> str:
    if isinstance(value, str):
        return value
    if holds_file(value):
        raise EvaluationError(
            f"{shown(text)}: a file cannot stand inside text; give it as a value of its own"
        )
    return msgspec.json.encode(value).decode()


def holds_file(value: Json) -> bool:
    """Tell whether a file or a tree stands anywhere in a value."""
    waiting = [value]
    while waiting:
        item = waiting.pop()
        if isinstance(item, dict):
            if "$file" in item or "$dir" in item:
                return True
            waiting += item.values()
        elif isinstance(item, list):
            waiting += item
    return False


_KINDS: Final = {
    dict: "an object",
    list: "a list",
    str: "text",
    bool: "a boolean",
    int: "an integer",
    float: "a number",
}


def kind_of(value: Json) -> str:
    """Name the type of a value as a person would."""
    if isinstance(value, dict) and ("$file" in value or "$dir" in value):
        return "a file" if "$file" in value else "a directory"
    return _KINDS.get(type(value), "null")
