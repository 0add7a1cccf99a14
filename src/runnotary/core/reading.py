"""Reading one value of a document: the shape that was expected, or a finding and None.

Every function takes the path of the value and says what it wanted. Expressions are compiled here, where
the text still is as its author wrote it, and their references are kept for `core/links.py`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable
from typing import Any, Final, NamedTuple

from runnotary.core.expressions import OPEN, Constant, Language
from runnotary.core.findings import Findings, Path
from runnotary.core.grammar import Table
from runnotary.core.notation import DURATION_FORM, canonical_duration, milliseconds
from runnotary.core.references import Compiled, InvalidExpression, Reference

Json = Any

DEPTH_MAX: Final = 60
IDENTIFIER: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
OURS: Final = "RUNNOTARY_"

_CONTROL: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_KINDS: Final = {dict: "an object", list: "a list", str: "text", bool: "true or false", int: "an integer"}


class Use(NamedTuple):
    """A reference where it stands: in which value, of which step, under which of its keys."""

    path: Path
    reference: Reference
    step: str
    key: str


class Reading:
    """The state of reading one document: what was found wrong, what was referred to.

    `edges` is where a step names another one: (step, `needs` or `after`, the other) to path.
    """

    def __init__(self) -> None:
        self.findings: Final = Findings()
        self.uses: Final[list[Use]] = []
        self.edges: Final[dict[tuple[str, str, str], Path]] = {}
        self.language = Language({})

    # --- shapes ----------------------------------------------------------------------------------

    def wrong(self, path: Path, wanted: str, value: Json) -> None:
        """Note that something else was expected."""
        self.findings.add(path, f"expected {wanted}, got {kind(value)}")

    def fields(self, path: Path, value: Json, table: Table, what: str) -> dict[str, Json]:
        """Return the entries of an object whose keys are in the table; findings for the rest."""
        if not isinstance(value, dict):
            self.wrong(path, what, value)
            return {}
        known: dict[str, Json] = {}
        for name, item in value.items():
            key = table.get(name)
            if key is None:
                self.findings.add_key((*path, name), f'no key "{name}" here{self.findings.near(name, table)}')
            elif key.later:
                self.findings.add_key((*path, name), f'"{name}" is not in this release')
            else:
                known[name] = item
        return known

    def named(self, path: Path, value: Json, what: str, pattern: re.Pattern[str]) -> dict[str, Json]:
        """Return the entries of an object whose keys are names of the author's choice."""
        if not isinstance(value, dict):
            self.wrong(path, what, value)
            return {}
        good = {}
        for name, item in value.items():
            if pattern.fullmatch(name):
                good[name] = item
            else:
                self.findings.add_key(
                    (*path, name), f'"{name[:80]}" is no name here: it must match {pattern.pattern}'
                )
        return good

    def text(self, path: Path, value: Json, what: str = "text") -> str | None:
        """Return a text without control characters."""
        if not isinstance(value, str):
            hint = "; put it in quotes" if isinstance(value, bool | int | float) else ""
            self.findings.add(path, f"expected {what}, got {kind(value)}{hint}")
            return None
        control = _CONTROL.search(value)
        if control:
            self.findings.add(path, f"holds the control character U+{ord(control[0]):04X}", control.start())
            return None
        return value

    def filled(self, path: Path, value: Json, what: str) -> str | None:
        """Return a text that is not empty."""
        text = self.text(path, value, what)
        if text is not None and not text.strip():
            self.findings.add(path, f"expected {what}, got an empty text")
            return None
        return text

    def integer(self, path: Path, value: Json, least: int, most: int) -> int | None:
        """Return an integer within bounds."""
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            shown = f"{value}" if isinstance(value, int) and not isinstance(value, bool) else kind(value)
            self.findings.add(path, f"expected an integer from {least} to {most}, got {shown}")
            return None
        return value

    def choice(
        self, path: Path, value: Json, known: Collection[str], later: Collection[str] = ()
    ) -> str | None:
        """Return one of the known words."""
        text = self.text(path, value, "one of " + ", ".join(known))
        if text is None or text in known:
            return text
        if text in later:
            self.findings.add(path, f'"{text}" is not in this release')
        else:
            near = self.findings.near(text, [*known, *later])
            self.findings.add(path, f'"{text[:80]}" is not one of {", ".join(known)}{near}')
        return None

    def several(
        self, path: Path, value: Json, what: str, each: Callable[[Path, Json], str | None]
    ) -> list[str]:
        """Return a list of distinct texts; a single text is short for a list of one."""
        if isinstance(value, str):
            text = each(path, value)
            return [] if text is None else [text]
        if not isinstance(value, list):
            self.wrong(path, f"{what}, or a list of them", value)
            return []
        found: list[str] = []
        for index, item in enumerate(value):
            text = each((*path, index), item)
            if text is not None and text in found:
                self.findings.add((*path, index), f'"{text}" stands here twice')
            elif text is not None:
                found.append(text)
        return found

    def duration(self, path: Path, value: Json) -> str | None:
        """Return a duration in its canonical form."""
        ms = milliseconds(value)
        if ms is None:
            shown = f' "{value[:40]}"' if isinstance(value, str) else ""
            self.findings.add(path, f"expected {DURATION_FORM}, got {kind(value)}{shown}")
            return None
        return canonical_duration(ms)

    def relative(self, path: Path, value: Json, what: str = "a file name", glob: bool = False) -> str | None:
        """Return a path inside the step's folder, written in the one way it can be."""
        text = self.filled(path, value, what)
        if text is None:
            return None
        parts = text.split("/")
        if text.startswith(("/", "~")) or ".." in parts:
            self.findings.add(path, f"expected {what} inside the folder: no leading / or ~, no ..")
        elif "" in parts or "." in parts:
            plain = "/".join(part for part in parts if part not in ("", "."))
            self.findings.add(path, f'write "{plain}"' if plain else f"expected {what} inside the folder")
        elif not glob and any(letter in text for letter in "*?"):
            self.findings.add(path, "a pattern is not a file name; `dirs` takes patterns")
        elif OPEN in text:
            self.findings.add(path, "names are fixed when the flow is written; ${{ }} cannot stand here")
        else:
            return text
        return None

    # --- expressions -----------------------------------------------------------------------------

    def template(self, path: Path, value: Json, step: str = "", key: str = "") -> None:
        """Check a value in which strings may hold `${{ }}`, wherever they stand in it."""
        if isinstance(value, dict):
            for name, item in value.items():
                self.template((*path, name), item, step, key)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                self.template((*path, index), item, step, key)
        elif isinstance(value, str) and self.text(path, value) is not None:
            self.compiled(path, self.language.value, value, step, key)

    def compiled(
        self, path: Path, how: Callable[[Json], Compiled], value: Json, step: str = "", key: str = ""
    ) -> Compiled:
        """Compile a text and keep what it refers to."""
        try:
            compiled = how(value)
        except InvalidExpression as wrong:
            for fault in wrong.faults:
                self.findings.add(path, fault.message, fault.offset)
            return Constant(None)
        self.uses.extend(Use(path, reference, step, key) for reference in compiled.references)
        return compiled


def kind(value: Json) -> str:
    """Name the type of a document's value."""
    return _KINDS.get(type(value), "nothing" if value is None else "a number")


def unsound(data: Json, findings: Findings) -> bool:
    """Tell whether a value is not JSON that we can hold, and say where: checked before anything else."""
    before = len(findings)
    level: list[tuple[Path, Json]] = [((), data)]
    for _ in range(DEPTH_MAX):
        deeper: list[tuple[Path, Json]] = []
        for path, value in level:
            if isinstance(value, dict):
                deeper += [((*path, name), item) for name, item in value.items() if isinstance(name, str)]
                if any(not isinstance(name, str) or not _encodes(name) for name in value):
                    findings.add(path, "a key is not text")
            elif isinstance(value, list):
                deeper += [((*path, index), item) for index, item in enumerate(value)]
            elif not _holdable(value):
                findings.add(path, "is not a value that JSON, UTF-8 and 64 bits can hold")
        if not deeper:
            return len(findings) > before
        level = deeper
    findings.add(level[0][0][:3], f"is nested deeper than {DEPTH_MAX} levels")
    return True


def _holdable(value: Json) -> bool:
    if isinstance(value, str):
        return _encodes(value)
    if isinstance(value, int):
        return -(2**63) <= value < 2**63
    return value is None or (isinstance(value, float) and math.isfinite(value))


def _encodes(text: str) -> bool:
    return text.isascii() or not any("\ud800" <= letter <= "\udfff" for letter in text)


def without_nothing(fields: Iterable[tuple[str, Json]]) -> dict[str, Json]:
    """Return the fields that have a value: what is absent is absent in the canonical form too."""
    return {name: value for name, value in fields if value is not None and value != {} and value != []}
