"""YAML and JSON texts as plain values, with the place of every value.

Rules of this file:

1. The text is read as the event stream of PyYAML's C parser, never through a loader: no object is made
   from a tag, nothing recurses, depth and size are capped.
2. Scalars are resolved here, by the YAML 1.2 core schema: `no`, `on` and dates are text.
3. Duplicate keys, tags, anchors, aliases, merge keys and a second document are refused, each where it
   stands. A syntax error ends the reading; what was found before it is reported too.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final, NamedTuple

import yaml

Json = Any
Path = tuple[str | int, ...]

BYTES_MAX: Final = 4 * 1024 * 1024
DEPTH_MAX: Final = 64
VALUES_MAX: Final = 200_000
COMPLAINTS_MAX: Final = 100

_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE: Final = frozenset({"true", "True", "TRUE"})
_FALSE: Final = frozenset({"false", "False", "FALSE"})
_INTEGER: Final = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_NOT_JSON: Final = frozenset({"NaN", "Infinity", "-Infinity"})
_CONTROL: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\x80-\x84\x86-\x9f\ufffe\uffff]")
_PAIR: Final = re.compile(r"(?<!\\)((?:\\\\)*)(\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})")
_SIGNS: Final = frozenset("@`%*&!")
_QUOTE: Final = 'quote the whole value: "${{ … }}", with single quotes inside'


class Complaint(NamedTuple):
    """Something wrong with the text; line and column count from 1."""

    line: int
    column: int
    message: str


class Place(NamedTuple):
    """Where a value stands and where its key does; `style` is the quote or block sign, "" if plain."""

    line: int
    column: int
    key_line: int
    key_column: int
    style: str


class Tree(NamedTuple):
    """What a text says: its value, the place of everything in it, and what is wrong with it.

    `whole` is false if reading had to stop; the value is then only what came before.
    """

    value: Json
    places: dict[Path, Place]
    complaints: list[Complaint]
    whole: bool = False


class _Stop(Exception):
    """Reading on makes no sense."""


class _Frame:
    """A list or object that is being filled."""

    __slots__ = ("data", "key", "key_column", "key_line", "path", "taken")

    def __init__(self, data: Json, path: Path) -> None:
        self.data = data
        self.path = path
        self.key: str | None = None
        self.key_line = 0
        self.key_column = 0
        self.taken = False


def read(data: bytes, *, strict_numbers: bool = False) -> Tree:
    """Read a whole text. `strict_numbers` refuses a bare NaN or Infinity: in JSON they are no text."""
    complaints: list[Complaint] = []
    if len(data) > BYTES_MAX:
        return Tree(None, {}, [Complaint(1, 1, too_large(len(data)))])
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as wrong:
        return Tree(None, {}, [_not_utf8(data, wrong.start)])
    for control in _CONTROL.finditer(text):
        line, column = _at(text, control.start())
        complaints.append(
            Complaint(line, column, f"the control character U+{ord(control[0]):04X} is not allowed")
        )
        if len(complaints) >= COMPLAINTS_MAX:
            break
    if complaints:
        return Tree(None, {}, complaints)
    if strict_numbers:
        text = _PAIR.sub(lambda pair: pair[1] + _joined(pair[2]), text)
    reader = _Reader(text, strict_numbers)
    whole = reader.read()
    return Tree(reader.value, reader.places, reader.complaints, whole)


def too_large(size: int) -> str:
    """Say that a text is too large to be read."""
    return f"the file is too large: {size} bytes, at most {BYTES_MAX} are read"


class _Reader:
    """Builds values from events, one frame per open list or object."""

    def __init__(self, text: str, strict_numbers: bool) -> None:
        self.value: Json = None
        self.places: dict[Path, Place] = {}
        self.complaints: list[Complaint] = []
        self._text: Final = text
        self._strict: Final = strict_numbers
        self._stack: list[_Frame] = []
        self._documents = 0

    def read(self) -> bool:
        """Read all events; tell whether the end was reached."""
        try:
            for event in yaml.parse(self._text, Loader=yaml.CSafeLoader):
                self._take(event)
            if not self._documents:
                self._complain_at(1, 1, "the file is empty")
            return self._documents > 0
        except yaml.MarkedYAMLError as wrong:
            self._syntax(wrong)
        except yaml.YAMLError as wrong:
            self._complain_at(1, 1, f"cannot be read: {wrong}")
        except _Stop:
            return False
        return False

    # --- events ----------------------------------------------------------------------------------

    def _take(self, event: Any) -> None:
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event)
        elif isinstance(event, yaml.MappingStartEvent):
            self._open({}, event)
        elif isinstance(event, yaml.SequenceStartEvent):
            self._open([], event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._stack.pop()
        elif isinstance(event, yaml.AliasEvent):
            hint = "; a text that starts with * needs quotes"
            self._complain(event, f"aliases (*{event.anchor}) are not allowed{hint}")
            self._put(None, event, "")
        elif isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                self._complain(event, "a second document starts here; a file holds one flow")
                raise _Stop

    def _scalar(self, event: Any) -> None:
        self._decorations(event)
        frame = self._stack[-1] if self._stack else None
        if frame is not None and isinstance(frame.data, dict) and frame.key is None:
            self._key(frame, event)
            return
        style = event.style or ""
        self._put(event.value if style else self._resolved(event), event, style)

    def _key(self, frame: _Frame, event: Any) -> None:
        name = event.value
        mark = event.start_mark
        frame.key, frame.key_line, frame.key_column = name, mark.line + 1, mark.column + 1
        frame.taken = name in frame.data
        if frame.taken:
            first = self.places[(*frame.path, name)]
            self._complain(event, f'the key "{name}" stands here twice, first in line {first.key_line}')
        if name == "<<" and not event.style:
            self._complain(event, "merge keys (<<) are not allowed")

    def _open(self, data: Json, event: Any) -> None:
        self._decorations(event)
        frame = self._stack[-1] if self._stack else None
        if frame is not None and isinstance(frame.data, dict) and frame.key is None:
            self._complain(event, f"a key must be text; for an expression, {_QUOTE}")
            raise _Stop
        if len(self._stack) >= DEPTH_MAX:
            self._complain(event, f"nested deeper than {DEPTH_MAX} levels")
            raise _Stop
        path = self._put(data, event, "")
        self._stack.append(_Frame(data, path))

    def _put(self, value: Json, event: Any, style: str) -> Path:
        """Put a value where it belongs, note its place, and return its path."""
        mark = event.start_mark
        place = Place(mark.line + 1, mark.column + 1, 0, 0, style)
        if not self._stack:
            self.value = value
            self.places[()] = place
            return ()
        frame = self._stack[-1]
        if isinstance(frame.data, list):
            path: Path = (*frame.path, len(frame.data))
            frame.data.append(value)
        elif frame.key is None:
            return frame.path
        else:
            path = (*frame.path, frame.key)
            place = place._replace(key_line=frame.key_line, key_column=frame.key_column)
            if not frame.taken:
                frame.data[frame.key] = value
            frame.key = None
        if len(self.places) >= VALUES_MAX:
            self._complain(event, f"more than {VALUES_MAX} values")
            raise _Stop
        self.places.setdefault(path, place)
        return path

    # --- scalars ---------------------------------------------------------------------------------

    def _resolved(self, event: Any) -> Json:
        text: str = event.value
        if text in _NULL:
            return None
        if text in _TRUE or text in _FALSE:
            return text in _TRUE
        if text[0] not in "0123456789.+-NI":
            return text
        if _INTEGER.fullmatch(text):
            return self._integer(event, text)
        if _FLOAT.fullmatch(text):
            number = float(text)
            if math.isfinite(number):
                return number
            self._complain(event, f"{text[:40]} is too large for a number")
            return None
        if _NOT_FINITE.fullmatch(text) or (self._strict and text in _NOT_JSON):
            self._complain(event, f"{text} is not a number that JSON can hold")
            return None
        return text

    def _integer(self, event: Any, text: str) -> int | None:
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        number = int(text, base) if len(text) <= 80 else 2**64
        if -(2**63) <= number < 2**63:
            return number
        self._complain(event, f"{text[:40]} does not fit 64 bits; as text it needs quotes")
        return None

    # --- complaints ------------------------------------------------------------------------------

    def _decorations(self, event: Any) -> None:
        if event.anchor is not None:
            self._complain(
                event, f"anchors (&{event.anchor}) are not allowed; a text that starts with & needs quotes"
            )
        if event.tag is not None:
            self._complain(
                event, f"tags ({event.tag}) are not allowed; a text that starts with ! needs quotes"
            )

    def _complain(self, event: Any, message: str) -> None:
        self._complain_at(event.start_mark.line + 1, event.start_mark.column + 1, message)

    def _complain_at(self, line: int, column: int, message: str) -> None:
        self.complaints.append(Complaint(line, column, message))
        if len(self.complaints) >= COMPLAINTS_MAX:
            raise _Stop

    def _syntax(self, wrong: yaml.MarkedYAMLError) -> None:
        mark = wrong.problem_mark or wrong.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark is not None else (1, 1)
        problem = str(wrong.problem or wrong.context or "cannot be read")
        lines = self._text.split("\n", line)
        shown = lines[line - 1] if line <= len(lines) else ""
        self.complaints.append(Complaint(line, column, f"{problem}{_hint(problem, shown, column)}"))


def _hint(problem: str, line: str, column: int) -> str:
    """Name the usual trap behind a syntax error, if it looks like one."""
    if "${{" in line:
        return f"; {_QUOTE}"
    if "\t" in line[: max(column, 1)]:
        return "; indent with spaces, not with tabs"
    if "mapping values" in problem:
        return "; a text with a colon in it needs quotes"
    for sign in (line[column - 1 : column], line[max(column - 2, 0) : column - 1]):
        if sign in _SIGNS:
            return f"; a text that starts with {sign} needs quotes"
    return ""


def _not_utf8(data: bytes, offset: int) -> Complaint:
    line = data.count(b"\n", 0, offset) + 1
    start = data.rfind(b"\n", 0, offset) + 1
    column = len(data[start:offset].decode(errors="replace")) + 1
    return Complaint(line, column, f"the file is not UTF-8: byte 0x{data[offset]:02x} at offset {offset}")


def _at(text: str, offset: int) -> tuple[int, int]:
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def _joined(escapes: str) -> str:
    """Return the character that two escaped surrogates stand for, as JSON writes it."""
    high, low = int(escapes[2:6], 16), int(escapes[8:12], 16)
    return chr(0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00))
