"""What is wrong with a document, gathered instead of raised, each with the path of the value."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Final, NamedTuple

from runnotary.core.errors import Problem
from runnotary.core.references import Part

Path = tuple[Part, ...]

FINDINGS_MAX: Final = 200
"""More than this many are counted, not listed."""


class Finding(NamedTuple):
    """One thing wrong: with the value at `path`, `offset` characters into it, or with its key."""

    path: Path
    message: str
    offset: int = 0
    on_key: bool = False

    def problem(self) -> Problem:
        """Return it as a problem without a place in a text."""
        return Problem(0, 0, dotted(self.path), self.message, offset=self.offset)


class Findings:
    """A growing list of findings, without repetitions."""

    def __init__(self) -> None:
        self._found: Final[dict[Finding, None]] = {}

    def add(self, path: Path, message: str, offset: int = 0) -> None:
        """Note something wrong with a value."""
        self._found[Finding(path, message, offset)] = None

    def add_key(self, path: Path, message: str) -> None:
        """Note something wrong with a key."""
        self._found[Finding(path, message, on_key=True)] = None

    def near(self, word: str, known: Iterable[str]) -> str:
        """Return a suggestion while they are still listed; each is a search through all names."""
        return did_you_mean(word, known) if len(self._found) <= FINDINGS_MAX else ""

    def __len__(self) -> int:
        return len(self._found)

    def __iter__(self) -> Iterator[Finding]:
        return iter(self._found)


def dotted(path: Path) -> str:
    """Write a path as people do: `steps.clean.files[0]`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return `; did you mean "clean"?`, or nothing if no known word is near."""
    near = get_close_matches(word[:100], sorted(known), n=1, cutoff=0.6)
    return f'; did you mean "{near[0]}"?' if near else ""
