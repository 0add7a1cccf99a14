"""The table of moves: every pair, reachability, and that an end is an end."""

from __future__ import annotations

from itertools import product

import pytest

from runnotary.core.states import MOVES, OPEN, TERMINAL, IllegalMove, State, moved

ARROWS = {
    ("pending", "running"),
    ("pending", "skipped"),
    ("pending", "cancelled"),
    ("pending", "failed"),
    ("running", "waiting"),
    ("running", "success"),
    ("running", "failed"),
    ("running", "cancelled"),
    ("waiting", "running"),
    ("waiting", "success"),
    ("waiting", "failed"),
    ("waiting", "cancelled"),
}
"""Written by hand from the design, not from the table."""


@pytest.mark.parametrize(("state", "to"), list(product(State, State)))
def test_every_pair_of_states_moves_as_designed(state: State, to: State) -> None:
    stays = state is to and state.value in ("pending", "running", "waiting")
    if stays or (state.value, to.value) in ARROWS:
        assert moved(state, to) is to
    else:
        with pytest.raises(IllegalMove):
            moved(state, to)


def test_terminal_states_have_no_way_out() -> None:
    assert {"success", "failed", "cancelled", "skipped"} == set(TERMINAL)
    assert not any(MOVES[state] for state in TERMINAL)
    assert set(State) == OPEN | TERMINAL


def test_every_state_is_reached_from_pending() -> None:
    reached, todo = {State.PENDING}, [State.PENDING]
    while todo:
        for to in MOVES[todo.pop()] - reached:
            reached.add(to)
            todo.append(to)
    assert reached == set(State)
