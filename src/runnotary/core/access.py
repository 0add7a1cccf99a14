"""Who may do what, folded: namespaces, roles in them, groups, tokens by the hash of their secret.

Rules of this file:

1. Pure, like `core/ledger.py`: events decide. What an event says `was` must be what the events before it
   made, so nothing can be left out of the record without a later event giving it away.
2. Roles in a namespace stand in its own ledger. What belongs to the home stands in `ledger/default`: which
   namespaces there are, roles in `*`, groups, tokens.
3. Subjects of different ledgers never overlap, so one state can take the events of all of them.
4. A group holds users and services; a group in a group would mean nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Final, Literal, TypeVar

import msgspec

from runnotary.core.events import AccessChanged
from runnotary.core.permissions import EVERYWHERE, Action, Role, Scopes

Json = Any
T = TypeVar("T")
DEFAULT: Final = "default"
NOTHING: Final = Scopes(frozenset(), frozenset())


class Namespace(msgspec.Struct, frozen=True):
    """A namespace that was made; `default` is there without. Times are µs since 1970."""

    name: str
    title: str
    created_at: int
    created_by: str


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """An access token without its secret. `created_with` is the token that its maker used, if any."""

    id: str
    principal: str
    name: str
    hash: str
    last4: str
    scopes: Scopes
    created_at: int
    created_by: str
    created_with: str = ""
    expires_at: int | None = None
    revoked_at: int | None = None

    def status(self, now: int) -> str:
        """Return `live`, `expired` or `revoked`."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and now >= self.expires_at else "live"


class TokenSaid(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What the event of a new token says about it."""

    principal: str
    name: str
    hash: str
    last4: str
    actions: tuple[Action, ...] | None = None
    namespaces: tuple[str, ...] | None = None
    expires_at: int | None = None


class _Titled(msgspec.Struct, frozen=True):
    title: str


class _Roled(msgspec.Struct, frozen=True):
    roles: tuple[Role, ...]


class _Peopled(msgspec.Struct, frozen=True):
    members: tuple[str, ...]


class _Ended(msgspec.Struct, frozen=True):
    revoked: Literal[True]


class AccessState:
    """The access state of one ledger, or of all ledgers of a home; changed by `fold` only."""

    def __init__(self) -> None:
        self.namespaces: Final[dict[str, Namespace]] = {}
        self.roles: Final[dict[str, dict[str, frozenset[Role]]]] = {}
        """By principal, then by namespace."""
        self.groups: Final[dict[str, frozenset[str]]] = {}
        self.tokens: Final[dict[str, Token]] = {}
        self._member_of: Final[dict[str, set[str]]] = {}
        self._by_hash: Final[dict[str, str]] = {}

    def knows_group(self, group: str) -> bool:
        """Tell whether a group was set, or has a role."""
        return group in self.groups or group in self.roles

    def groups_of(self, principal: str) -> frozenset[str]:
        """Return the groups a principal is listed in."""
        return frozenset(self._member_of.get(principal, ()))

    def roles_of(self, names: Iterable[str]) -> dict[str, frozenset[Role]]:
        """Return the roles that these names have together, by namespace."""
        found: dict[str, frozenset[Role]] = {}
        for name in names:
            for namespace, roles in self.roles.get(name, {}).items():
                found[namespace] = found.get(namespace, frozenset()) | roles
        return found

    def roles_in(self, namespace: str) -> dict[str, frozenset[Role]]:
        """Return who has which roles in one namespace."""
        return {name: held[namespace] for name, held in sorted(self.roles.items()) if namespace in held}

    def token_of(self, hash_: str) -> Token | None:
        """Return the token whose secret has this hash."""
        found = self._by_hash.get(hash_)
        return None if found is None else self.tokens[found]

    def after(self, ledger: str, event: AccessChanged, at: int) -> AccessState:
        """Return what an event would make of this state; this one stays as it is.

        Raises:
            ValueError: as `fold` does.
        """
        copy = AccessState()
        copy.namespaces.update(self.namespaces)
        copy.roles.update(self.roles)
        copy.groups.update(self.groups)
        copy.tokens.update(self.tokens)
        copy._member_of.update((name, set(groups)) for name, groups in self._member_of.items())
        copy._by_hash.update(self._by_hash)
        fold(copy, ledger, event, at)
        return copy

    def admins(self) -> frozenset[str]:
        """Return the users and services that are admin of `*`, themselves or by a group."""
        holders = {name for name, roles in self.roles_in(EVERYWHERE).items() if Role.ADMIN in roles}
        listed = (self.groups.get(name, frozenset((name,))) for name in holders)
        return frozenset[str]().union(*listed)


def secret_hash(secret: str) -> str:
    """Return what is kept of a token's secret: it has 256 bits of chance, so a plain hash hides it."""
    return hashlib.sha256(secret.encode()).hexdigest()


def ledger_of(event: AccessChanged) -> str:
    """Return the namespace in whose ledger a change of access belongs."""
    return event.namespace if event.kind == "roles" and event.namespace != EVERYWHERE else DEFAULT


def said_roles(roles: Iterable[Role]) -> Json:
    """Write roles as an event holds them."""
    return {"roles": sorted(str(role) for role in roles)}


def said_members(members: Iterable[str]) -> Json:
    """Write the members of a group as an event holds them."""
    return {"members": sorted(set(members))}


def said_revoked(revoked: bool) -> Json:
    """Write whether a token is revoked as an event holds it."""
    return {"revoked": revoked}


def fold(state: AccessState, ledger: str, event: AccessChanged, at: int) -> None:
    """Apply one event that stands in the ledger of a namespace.

    Raises:
        ValueError: it does not belong there, is not of its kind, or does not follow from what was.
    """
    if ledger_of(event) != ledger:
        raise ValueError(f"access to {event.namespace!r} changed in the ledger of {ledger!r}")
    {"namespace": _namespace, "roles": _roles, "group": _group, "token": _token}[event.kind](state, event, at)


def _read(value: Json, kind: type[T]) -> T:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as wrong:
        raise ValueError(f"a change of access is not of its kind: {wrong}") from None


def _follows(event: AccessChanged, was: Json) -> None:
    if event.was != was:
        raise ValueError(f"{event.kind} of {event.subject!r} was {was!r}, the event says {event.was!r}")


def _namespace(state: AccessState, event: AccessChanged, at: int) -> None:
    before = state.namespaces.get(event.subject)
    _follows(event, {"title": before.title} if before else {})
    title = _read(event.set, _Titled).title
    made_at, made_by = (before.created_at, before.created_by) if before else (at, event.by.principal)
    state.namespaces[event.subject] = Namespace(event.subject, title, made_at, made_by)


def _roles(state: AccessState, event: AccessChanged, at: int) -> None:
    held = state.roles.get(event.subject, {})
    _follows(event, said_roles(held.get(event.namespace, ())))
    roles = _read(event.set, _Roled).roles
    kept = {name: had for name, had in held.items() if name != event.namespace}
    if roles:
        kept[event.namespace] = frozenset(roles)
    if kept:
        state.roles[event.subject] = kept
    else:
        state.roles.pop(event.subject, None)


def _group(state: AccessState, event: AccessChanged, at: int) -> None:
    before = state.groups.get(event.subject)
    _follows(event, {} if before is None else said_members(before))
    after = frozenset(_read(event.set, _Peopled).members)
    for name in before or ():
        state._member_of[name].discard(event.subject)
    for name in after:
        state._member_of.setdefault(name, set()).add(event.subject)
    state.groups[event.subject] = after


def _token(state: AccessState, event: AccessChanged, at: int) -> None:
    before = state.tokens.get(event.subject)
    if before is not None:
        _follows(event, said_revoked(before.revoked_at is not None))
        _read(event.set, _Ended)
        state.tokens[before.id] = msgspec.structs.replace(before, revoked_at=at)
        return
    _follows(event, {})
    said = _read(event.set, TokenSaid)
    if said.hash in state._by_hash:
        raise ValueError("two tokens have one secret")
    limits = Scopes(
        None if said.actions is None else frozenset(said.actions),
        None if said.namespaces is None else frozenset(said.namespaces),
    )
    state._by_hash[said.hash] = event.subject
    state.tokens[event.subject] = Token(
        id=event.subject,
        principal=said.principal,
        name=said.name,
        hash=said.hash,
        last4=said.last4,
        scopes=limits,
        created_at=at,
        created_by=event.by.principal,
        created_with=event.by.token,
        expires_at=said.expires_at,
    )
