"""Who may do what: roles in a namespace, people on a run, and one table that decides.

Rules of this file:

1. Deny by default: what the tables do not grant is refused.
2. Whoever may not even see a run is told that there is none (`hidden`), so ids cannot be probed.
3. The owner of a home, working on its files, is `admin` of every namespace in it: the files are theirs.

4. A scope only ever takes away: rights are found first, then narrowed to what the token was made for.

Principals are written `user:ana`, `service:ci`, `group:qa`; a caller carries every name that stands for it.
The permission matrix of the tests is written by hand, not made from these tables.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, TypeVar

import msgspec

from runnotary.core.errors import PermissionDenied, RunNotFound
from runnotary.core.events import By

T = TypeVar("T")
OWNERS: Final = ("os-user", "engine")
"""Ways of being known that only a process with the home's files has: such a caller is admin of `*`."""

EVERYWHERE: Final = "*"
"""In place of a namespace: all of them, and what belongs to the home itself."""


class Role(StrEnum):
    """What a principal is in a namespace."""

    VIEWER = "viewer"
    STARTER = "starter"
    OPERATOR = "operator"
    APPROVER = "approver"
    ADMIN = "admin"


class Action(StrEnum):
    """What somebody wants to do with a run or a flow. To list is to READ, one by one."""

    READ = "read"
    START = "start"
    UPDATE = "update"
    CANCEL = "cancel"
    RESUME = "resume"
    APPROVE = "approve"
    REGISTER = "register"
    ADMINISTER = "administer"
    ARCHIVE = "archive"
    HOLD = "hold"
    PURGE = "purge"


_READ: Final = frozenset({Action.READ})
_MANAGE: Final = _READ | {Action.UPDATE, Action.CANCEL, Action.RESUME, Action.ARCHIVE}

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


class Scopes(msgspec.Struct, frozen=True):
    """What a token is for at most; None is no limit of that kind, an empty set is nothing at all."""

    actions: frozenset[Action] | None = None
    namespaces: frozenset[str] | None = None

    def allow(self, action: Action) -> bool:
        """Tell whether an action is left."""
        return self.actions is None or action in self.actions

    def cover(self, namespace: str) -> bool:
        """Tell whether a namespace is left. `*` is left only if every one is."""
        return self.namespaces is None or namespace in self.namespaces

    def meet(self, other: Scopes) -> Scopes:
        """Return the limits of both."""
        return Scopes(_both(self.actions, other.actions), _both(self.namespaces, other.namespaces))


def _both(one: frozenset[T] | None, other: frozenset[T] | None) -> frozenset[T] | None:
    if one is None or other is None:
        return other if one is None else one
    return one & other


class Caller(msgspec.Struct, frozen=True):
    """Somebody who asks: all names that stand for them, roles by namespace (`*` is every), and limits."""

    names: frozenset[str]
    roles: dict[str, frozenset[Role]] = {}
    scopes: Scopes = Scopes()


class Who(msgspec.Struct, frozen=True):
    """Who acts, as events record it, and everything that stands for them, as `granted` asks."""

    by: By
    caller: Caller


class People(msgspec.Struct, frozen=True):
    """The people of one run and the namespace it is in."""

    namespace: str
    owner: str = ""
    monitors: tuple[str, ...] = ()
    managers: tuple[str, ...] = ()


class Visible(msgspec.Struct, frozen=True):
    """What a listing may show: a run is visible if READ is granted on it, and this says the same as a filter.

    `everything`, or runs of one of the `namespaces`, or runs whose owner, monitors or managers hold one
    of the `names`; that last only `within` these namespaces, unless it is None.
    """

    namespaces: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    everything: bool = False
    within: tuple[str, ...] | None = None

    def shows(self, people: People) -> bool:
        """Tell whether a run is visible; the filter of a store must give the same answer."""
        if self.everything or people.namespace in self.namespaces:
            return True
        if self.within is not None and people.namespace not in self.within:
            return False
        return not {people.owner, *people.monitors, *people.managers}.isdisjoint(self.names)


def local_owner(name: str) -> Caller:
    """Return the caller that works on a home's own files."""
    return Caller(frozenset({name}), {EVERYWHERE: frozenset({Role.ADMIN})})


def meet(one: Caller, other: Caller) -> Caller:
    """Return a caller that may at most what both may."""
    roles = {name: held & other.roles[name] for name, held in one.roles.items() if name in other.roles}
    return Caller(one.names & other.names, roles, one.scopes.meet(other.scopes))


def granted(caller: Caller, people: People) -> frozenset[Action]:
    """Return everything the caller may do with a run, or in a namespace if `people` names nobody."""
    if not caller.scopes.cover(people.namespace):
        return frozenset()
    found: set[Action] = set()
    for _, actions in _reasons(caller, people):
        found |= actions
    return frozenset(found if caller.scopes.actions is None else found & caller.scopes.actions)


def _reasons(caller: Caller, people: People) -> list[tuple[str, frozenset[Action]]]:
    """Return why the caller may do what, nearest first: people of the run, roles here, roles everywhere."""
    found: list[tuple[str, frozenset[Action]]] = []
    if people.owner in caller.names:
        found.append(("owner", OF_OWNER))
    if not caller.names.isdisjoint(people.managers):
        found.append(("manager", OF_MANAGER))
    if not caller.names.isdisjoint(people.monitors):
        found.append(("monitor", OF_MONITOR))
    for namespace in dict.fromkeys((people.namespace, EVERYWHERE)):
        for role in sorted(caller.roles.get(namespace, ())):
            found.append((f"{role}@{namespace}", OF_ROLE[role]))
    return found


def require(caller: Caller, action: Action, people: People, *, run: str = "") -> str:
    """Let the caller pass or refuse. Returns as what they may: `owner`, `manager`, `operator@lab`, `admin@*`.

    Raises:
        RunNotFound: the caller may not even see the run.
        PermissionDenied: the caller sees it and may not do this.
    """
    rights = granted(caller, people)
    if action in rights:
        return next(reason for reason, actions in _reasons(caller, people) if action in actions)
    if run and Action.READ not in rights:
        raise RunNotFound.named(run)
    who = min(caller.names, key=lambda name: (name.startswith(("group:", "role:")), name), default="nobody")
    what = f"run {run}" if run else f"namespace {people.namespace}"
    hint = "ask an admin of the namespace for a role"
    if not (caller.scopes.allow(action) and caller.scopes.cover(people.namespace)):
        hint = "the token is not made for that; see its scopes: runnotary token list"
    raise PermissionDenied(f"{who} may not {action} in {what}", hint=hint)


def acting(by: By, caller: Caller, action: Action, people: People, *, run: str = "") -> By:
    """Let the caller pass or refuse; return who acts, and as what, for the event that follows.

    Whoever has the home's files acts as that, which `auth` says already.

    Raises:
        RunNotFound, PermissionDenied: as `require` does.
    """
    role = require(caller, action, people, run=run)
    return by if by.auth in OWNERS else msgspec.structs.replace(by, role=role)


def visible(caller: Caller) -> Visible:
    """Return what a listing may show to the caller."""
    scopes = caller.scopes
    if not scopes.allow(Action.READ):
        return Visible()
    reading = {
        name for name, roles in caller.roles.items() if any(Action.READ in OF_ROLE[one] for one in roles)
    }
    names = tuple(sorted(caller.names))
    if scopes.namespaces is None:
        return Visible(tuple(sorted(reading - {EVERYWHERE})), names, EVERYWHERE in reading)
    within = tuple(sorted(scopes.namespaces))
    left = tuple(name for name in within if name in reading or EVERYWHERE in reading)
    return Visible(left, names, within=within)
