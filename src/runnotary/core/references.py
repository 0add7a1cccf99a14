"""What every compiled expression has: its text, what it refers to, and a value in a scope.

`core/cel.py` and `core/expressions.py` build on this; `core/links.py` checks the references.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

Json = Any
Scope = dict[str, Any]
Part = str | int

STATUS_WORDS: Final = ("always", "failure", "success", "cancelled")


class EvaluationError(ValueError):
    """An expression has no value, or none that is JSON; the message quotes the expression."""


class Fault(NamedTuple):
    """One thing wrong with an expression, `offset` characters into the text it stands in."""

    offset: int
    message: str


class InvalidExpression(ValueError):
    """An expression that does not compile, with all that is wrong with it."""

    def __init__(self, faults: Iterable[Fault]) -> None:
        self.faults: Final = tuple(dict.fromkeys(faults))
        super().__init__("; ".join(fault.message for fault in self.faults))


class Reference(NamedTuple):
    """A name that an expression uses, such as ("steps", "clean", "values", "rows")."""

    parts: tuple[Part, ...]
    offset: int


class Compiled:
    """A compiled expression; `steps` are the steps it refers to."""

    __slots__ = ("asks_status", "references", "steps", "text")

    def __init__(self, text: str, references: tuple[Reference, ...] = (), asks_status: bool = False) -> None:
        self.text: str = text
        self.references: tuple[Reference, ...] = references
        self.steps: frozenset[str] = frozenset(
            parts[1]
            for parts, _ in references
            if len(parts) > 1 and parts[0] == "steps" and isinstance(parts[1], str)
        )
        self.asks_status: bool = asks_status

    def evaluate(self, scope: Scope) -> Json:
        """Return the value as JSON.

        Raises:
            EvaluationError: it has none.
        """
        raise NotImplementedError


def shown(text: str) -> str:
    """Return an expression's text, cut if it is too long for a message."""
    return text if len(text) <= 200 else text[:199] + "…"


def status_answers(status: dict[str, bool] | None) -> dict[str, bool]:
    """Return what the status functions answer for a step whose needs ended like this."""
    status = status or {}
    return {
        "always": True,
        "failure": bool(status.get("failed")),
        "success": not any(status.values()),
        "cancelled": bool(status.get("cancelled")),
    }
