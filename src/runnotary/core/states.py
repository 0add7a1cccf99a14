"""The seven states of a run, an item and a task, and the one table of moves between them.

Rules of this file:

1. `MOVES` is the law. Code asks the table; no other file lists states it happens to like.
2. A terminal state has no way out. What arrives late is not a move, it is ignored or annotated.
3. Runs, items and tasks share the words and the table; a dialect translates at its own door.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class State(StrEnum):
    """One word per situation; `waiting` means that a person or an outside signal must act."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    SUCCESS = "success"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


MOVES: Final[dict[State, frozenset[State]]] = {
    State.PENDING: frozenset({State.RUNNING, State.SKIPPED, State.CANCELLED, State.FAILED}),
    State.RUNNING: frozenset({State.WAITING, State.SUCCESS, State.FAILED, State.CANCELLED}),
    State.WAITING: frozenset({State.RUNNING, State.SUCCESS, State.FAILED, State.CANCELLED}),
    State.SUCCESS: frozenset(),
    State.FAILED: frozenset(),
    State.CANCELLED: frozenset(),
    State.SKIPPED: frozenset(),
}

TERMINAL: Final = frozenset(state for state, to in MOVES.items() if not to)
OPEN: Final = frozenset(State) - TERMINAL


class Reason(StrEnum):
    """Why something ended other than by success: a stable code that scripts may match on."""

    ERROR = "error"
    TIMEOUT = "timeout"
    CANCELLED = "cancelled"
    DENIED = "denied"
    LOST = "lost"
    INVALID_OUTPUT = "invalid_output"
    INPUT_MODIFIED = "input_modified"
    SECRET_IN_OUTPUT = "secret_in_output"
    UPSTREAM_FAILED = "upstream_failed"
    UPSTREAM_SKIPPED = "upstream_skipped"
    CONDITION = "condition"
    STOPPED = "stopped"
    CAUGHT = "caught"


class IllegalMove(Exception):
    """A move that the table does not hold: a defect in the caller, never bad input."""


def moved(state: State, to: State) -> State:
    """Return `to` if the table allows the move from `state`, staying put included while open.

    Raises:
        IllegalMove: the table has no such arrow.
    """
    if to in MOVES[state] or (to is state and state in OPEN):
        return to
    raise IllegalMove(f"{state} -> {to}")
