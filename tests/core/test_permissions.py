"""The permission matrix, written by hand from the design: roles, people on a run, and who is told nothing."""

from __future__ import annotations

import pytest

from runnotary.core.errors import PermissionDenied, RunNotFound
from runnotary.core.permissions import Action, Caller, People, Role, granted, local_owner, require

ACTIONS = (
    *("read", "start", "update", "cancel", "resume", "approve", "register", "administer"),
    *("archive", "hold", "purge"),
)
MATRIX = {
    #           read start update cancel resume approve register administer archive hold purge
    "viewer":   (1,   0,    0,     0,     0,     0,      0,       0,         0,      0,   0),
    "starter":  (1,   1,    0,     0,     0,     0,      0,       0,         0,      0,   0),
    "operator": (1,   1,    1,     1,     1,     0,      1,       0,         1,      0,   0),
    "approver": (1,   0,    0,     0,     0,     1,      0,       0,         0,      0,   0),
    "admin":    (1,   1,    1,     1,     1,     1,      1,       1,         1,      1,   1),
    "owner":    (1,   0,    1,     1,     1,     0,      0,       0,         1,      0,   0),
    "manager":  (1,   0,    1,     1,     1,     0,      0,       0,         1,      0,   0),
    "monitor":  (1,   0,    0,     0,     0,     0,      0,       0,         0,      0,   0),
    "nobody":   (0,   0,    0,     0,     0,     0,      0,       0,         0,      0,   0),
}  # fmt: skip
RUN = People("lab", owner="user:owner", monitors=("group:monitors",), managers=("user:manager",))


def caller(who: str) -> Caller:
    if who in {role.value for role in Role}:
        return Caller(frozenset({f"user:{who}"}), {"lab": frozenset({Role(who)})})
    names = {"owner": "user:owner", "manager": "user:manager", "monitor": "group:monitors"}
    return Caller(frozenset({"user:someone", names.get(who, "user:nobody")}))


def test_the_matrix_names_every_action_and_role() -> None:
    assert {action.value for action in Action} == set(ACTIONS)
    assert {role.value for role in Role} <= set(MATRIX)


@pytest.mark.parametrize("who", MATRIX)
@pytest.mark.parametrize("action", ACTIONS)
def test_the_matrix_holds(who: str, action: str) -> None:
    allowed = bool(MATRIX[who][ACTIONS.index(action)])
    assert (Action(action) in granted(caller(who), RUN)) is allowed
    if allowed:
        require(caller(who), Action(action), RUN, run="R")
    else:
        with pytest.raises(RunNotFound if who == "nobody" else PermissionDenied):
            require(caller(who), Action(action), RUN, run="R")


def test_a_role_counts_in_its_own_namespace_only() -> None:
    assert granted(caller("admin"), People("elsewhere")) == frozenset()


def test_the_owner_of_the_files_may_do_everything_everywhere() -> None:
    assert granted(local_owner("user:ana"), People("anywhere", owner="user:bob")) == frozenset(Action)


def test_a_refusal_names_the_person_before_their_groups() -> None:
    eve = Caller(frozenset({"group:qa", "user:eve"}))
    with pytest.raises(PermissionDenied, match="user:eve may not start in namespace lab"):
        require(eve, Action.START, People("lab"))
