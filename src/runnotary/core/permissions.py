"""Who may do what: roles in a namespace, people on a run, and one table that decides.

Rules of this file:

1. Deny by default: what the tables do not grant is refused.
2. Whoever may not even see a run is told that there is none (`hidden`), so ids cannot be probed.
3. The owner of a home, working on its files, is `admin` of every namespace in it: the files are theirs.

Principals are written `user:ana`, `service:ci`, `group:qa`, `role:approver`; a caller carries every name
that stands for it. The permission matrix of the tests is written by hand, not made from these tables.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from runnotary.core.errors import PermissionDenied, RunNotFound


class Role(StrEnum):
    """What a principal is in a namespace."""

    VIEWER = "viewer"
    STARTER = "starter"
    OPERATOR = "operator"
    APPROVER = "approver"
    ADMIN = "admin"


class Action(StrEnum):
    """What somebody wants to do with a run or a flow."""

    READ = "read"
    START = "start"
    UPDATE = "update"
    CANCEL = "cancel"
    RESUME = "resume"
    APPROVE = "approve"
    REGISTER = "register"
    ADMINISTER = "administer"


_READ: Final = frozenset({Action.READ})
_MANAGE: Final = _READ | {Action.UPDATE, Action.CANCEL, Action.RESUME}

OF_ROLE: Final[dict[Role, frozenset[Action]]] = {
    Role.VIEWER: _READ,
    Role.STARTER: _READ | {Action.START},
    Role.OPERATOR: _MANAGE | {Action.START, Action.REGISTER},
    Role.APPROVER: _READ | {Action.APPROVE},
    Role.ADMIN: frozenset(Action),
}
OF_OWNER: Final = _MANAGE
OF_MANAGER: Final = _MANAGE
OF_MONITOR: Final = _READ


class Caller(msgspec.Struct, frozen=True):
    """Somebody who asks: all names that stand for them, and their roles by namespace (`*` is every)."""

    names: frozenset[str]
    roles: dict[str, frozenset[Role]] = {}


class People(msgspec.Struct, frozen=True):
    """The people of one run and the namespace it is in."""

    namespace: str
    owner: str = ""
    monitors: tuple[str, ...] = ()
    managers: tuple[str, ...] = ()


def local_owner(name: str) -> Caller:
    """Return the caller that works on a home's own files."""
    return Caller(frozenset({name}), {"*": frozenset({Role.ADMIN})})


def granted(caller: Caller, people: People) -> frozenset[Action]:
    """Return everything the caller may do with a run, or in a namespace if `people` names nobody."""
    found: set[Action] = set()
    for namespace in (people.namespace, "*"):
        for role in caller.roles.get(namespace, ()):
            found |= OF_ROLE[role]
    if people.owner in caller.names:
        found |= OF_OWNER
    if caller.names & set(people.managers):
        found |= OF_MANAGER
    if caller.names & set(people.monitors):
        found |= OF_MONITOR
    return frozenset(found)


def require(caller: Caller, action: Action, people: People, *, run: str = "") -> None:
    """Let the caller pass or refuse.

    Raises:
        RunNotFound: the caller may not even see the run.
        PermissionDenied: the caller sees it and may not do this.
    """
    rights = granted(caller, people)
    if action in rights:
        return
    if run and Action.READ not in rights:
        raise RunNotFound(f"no run {run}")
    who = min(caller.names, default="nobody")
    what = f"run {run}" if run else f"namespace {people.namespace}"
    raise PermissionDenied(
        f"{who} may not {action} in {what}", hint="ask an admin of the namespace for a role"
    )
