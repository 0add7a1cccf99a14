"""A flow file, YAML or JSON: read, validated, and every problem shown where it stands.

Rules of this file:

1. A file is refused by its size before it is read.
2. All problems at once, each as `file:line:column path: message`. A fault inside an expression is shown
   at its own column.
3. The result is content: the canonical definition, the words beside it, and the files its code is made
   of by digest. Where it came from is told apart (`source`) and is no part of the identity.
"""

from __future__ import annotations

import os
import stat
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec

from runnotary.core.definition import CodeFile, Definition, parse
from runnotary.core.errors import FileMissing, InvalidDefinition, Problem
from runnotary.core.findings import FINDINGS_MAX, Finding, dotted
from runnotary.core.hashing import canonical, digest
from runnotary.formats import snapshot
from runnotary.formats.yaml_tree import BYTES_MAX, Complaint, Place, Tree, read, too_large

Json = Any

SUFFIXES: Final = (".yaml", ".yml", ".json")
READS_MAX: Final = 16
"""A file that grows while it is read is not followed for ever."""


class Source(msgspec.Struct, frozen=True):
    """The text a definition was read from: its name as given, digest and size."""

    name: str
    digest: str
    size: int


class Loaded(msgspec.Struct, frozen=True):
    """A flow file that was accepted.

    `code` names the files of the snapshot: whoever keeps them compares with the digest in the
    definition. Paths of file inputs' defaults are relative to `base`.
    """

    definition: Definition
    code: dict[str, Path]
    base: Path
    source: Source


def load(path: Path, *, name: str = "") -> Loaded:
    """Load a flow file; `name` is what problems call it, if not by its path.

    Raises:
        FileMissing: there is no such file.
        InvalidDefinition: with every problem of the file.
    """
    name = name or str(path)
    data = _bytes(path, name)
    tree = read(data, strict_numbers=path.suffix == ".json")
    places = _Places(name, tree, data)
    if not tree.whole:
        raise InvalidDefinition([places.complaint(wrong) for wrong in tree.complaints])
    base = path.parent
    files, code, refused = _snapshot(base, tree.value)
    document, words, findings = parse(tree.value, code=code)
    known = {(wrong.line, wrong.column) for wrong in tree.complaints}
    problems = [places.complaint(wrong) for wrong in tree.complaints]
    for finding in (*refused, *findings):
        problem = places.problem(finding)
        if (problem.line, problem.column) not in known:
            problems.append(problem)
    if problems:
        raise InvalidDefinition(_first(problems))
    content = canonical(document)
    definition = Definition(document, content, digest(content), words)
    return Loaded(definition, files, base, Source(name, digest(data), len(data)))


def _bytes(path: Path, name: str) -> bytes:
    """Read a file that is one, and small enough."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise FileMissing(f"there is no file {name}") from None
    except OSError as wrong:
        raise _unreadable(name, f"cannot be read: {wrong.strerror}") from None
    try:
        state = os.fstat(handle)
        if not stat.S_ISREG(state.st_mode):
            raise _unreadable(name, "is not a regular file")
        if state.st_size > BYTES_MAX:
            raise _unreadable(name, too_large(state.st_size))
        pieces = iter(lambda: os.read(handle, BYTES_MAX + 1), b"")
        return b"".join(islice(pieces, READS_MAX))
    finally:
        os.close(handle)


def _unreadable(name: str, message: str) -> InvalidDefinition:
    return InvalidDefinition([Problem(0, 0, "", message, source=name)])


def _snapshot(base: Path, value: Json) -> tuple[dict[str, Path], dict[str, CodeFile], list[Finding]]:
    """Find and hash the files that `code` names; what is not a list of texts is left to validation."""
    patterns = value.get("code") if isinstance(value, dict) else None
    if isinstance(patterns, dict):
        hint = "expected a list of file names and patterns, got an object"
        return {}, {}, [Finding(("code",), hint, on_key=True)]
    listed: list[tuple[tuple[int, ...], str]] = [((), patterns)] if isinstance(patterns, str) else []
    if isinstance(patterns, list):
        listed = [((index,), item) for index, item in enumerate(patterns) if isinstance(item, str)]
    files: dict[str, Path] = {}
    code: dict[str, CodeFile] = {}
    refused: list[Finding] = []
    for where, pattern in listed:
        if not pattern or pattern.startswith(("/", "~")) or {"", ".", ".."} & {*pattern.split("/")}:
            continue
        try:
            found = snapshot.find(base, pattern)
            code |= {name: snapshot.hashed(path) for name, path in found.items() if name not in code}
            files |= found
        except snapshot.Refused as wrong:
            refused.append(Finding(("code", *where), str(wrong)))
    return dict(sorted(files.items())), code, refused


def _first(problems: list[Problem]) -> list[Problem]:
    """Return the first problems of the text, and how many more there are."""
    ordered = sorted(problems)
    if len(ordered) <= FINDINGS_MAX:
        return ordered
    last = ordered[FINDINGS_MAX]
    more = f"… and {len(ordered) - FINDINGS_MAX} more problems"
    return [*ordered[:FINDINGS_MAX], Problem(last.line, last.column, "", more, source=last.source)]


class _Places:
    """Finds the place of a finding in the text it came from."""

    def __init__(self, source: str, tree: Tree, data: bytes) -> None:
        self._source: Final = source
        self._tree: Final = tree
        self._data: Final = data
        self._lines: list[str] = []

    def complaint(self, wrong: Complaint) -> Problem:
        """Return a complaint about the text itself as a problem."""
        return Problem(wrong.line, wrong.column, "", wrong.message, source=self._source)

    def problem(self, finding: Finding) -> Problem:
        """Return a finding as a problem with line and column."""
        line, column = self._place(finding)
        path = dotted(finding.path)
        return Problem(line, column, path, finding.message, source=self._source, offset=finding.offset)

    def _place(self, finding: Finding) -> tuple[int, int]:
        path = finding.path
        while path not in self._tree.places and path:
            path = path[:-1]
        place = self._tree.places.get(path, Place(1, 1, 0, 0, ""))
        value = self._value(path)
        of_key = finding.on_key or isinstance(value, dict | list) or path != finding.path
        if of_key and place.key_line:
            return place.key_line, place.key_column
        if isinstance(value, str) and path == finding.path and (finding.offset or place.style):
            return self._inside(place, value, finding.offset)
        return place.line, place.column

    def _value(self, path: tuple[str | int, ...]) -> Json:
        value = self._tree.value
        for part in path:
            value = value[part]
        return value

    def _inside(self, place: Place, value: str, offset: int) -> tuple[int, int]:
        """Return where the character at an offset of a text stands: exactly, or where the text starts."""
        if not self._lines:
            self._lines = self._data.decode("utf-8-sig", "replace").split("\n")
        start = value.rfind("\n", 0, offset) + 1
        within = value[start:].partition("\n")[0]
        if place.style in ("|", ">"):
            number = place.line + 1 + value.count("\n", 0, start)
            shown = self._line(number)
            at = shown.find(within) if place.style == "|" else -1
            return (number, at + 1 + offset - start) if at >= 0 else (place.line, place.column)
        first = place.column - 1 + (1 if place.style else 0)
        shown = self._line(place.line)
        if shown.startswith(value, first):
            return place.line, first + 1 + offset
        at = shown.find(value[offset : offset + 12].strip(), first + offset) if offset < len(value) else -1
        return place.line, at + 1 if at >= 0 else place.column

    def _line(self, number: int) -> str:
        return self._lines[number - 1] if number <= len(self._lines) else ""
