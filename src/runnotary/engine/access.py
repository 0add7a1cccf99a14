"""Changes of access, each an event in a ledger: namespaces, roles in them, groups, tokens.

Rules of this file:

1. Nobody gives what they do not have: a role may be granted by an admin of the namespace who holds every
   right of the role, also after the limits of the token in use.
2. A caller may what they could when they came in, and still can when it is their turn to write.
3. A secret leaves this file once, in the answer to its creation; only its hash is written.
4. A token makes no tokens, unless it is an admin's: a stolen one could else outlive its revocation.
5. The home keeps an admin: the last one goes only by the hand of who owns the files.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from typing import Any, Final, Literal

import msgspec

from runnotary.core import access, principals
from runnotary.core.access import TokenSaid
from runnotary.core.chain import actor_id
from runnotary.core.errors import Conflict, InvalidInput, PermissionDenied
from runnotary.core.events import AccessChanged
from runnotary.core.ids import to_text, uuid7
from runnotary.core.permissions import EVERYWHERE, Action, Caller, People, Role, Scopes, Who, meet, require
from runnotary.core.profile import Change
from runnotary.engine.access_view import AccessView, covers, is_admin
from runnotary.engine.ledger import LedgerWriter
from runnotary.engine.parts import Parts

Json = Any
Subject = tuple[Literal["namespace", "roles", "group", "token"], str, str]
"""Kind of change, namespace, and what in it changes."""

Said = Callable[[Who], AccessChanged | None]

SECRET_BYTES: Final = 32
NAME_MAX: Final = 100
TITLE_MAX: Final = 256
REASON_MAX: Final = 1000
TOKENS_MAX: Final = 64
MEMBERS_MAX: Final = 1000
LETTERS_MAX: Final = 24_000
"""A group's members, old and new, stand in one event, which has at most 64 KiB."""

SELF: Final = "self"
"""The role in which somebody manages tokens of their own."""


class Access(AccessView):
    """The access state of one home, kept current by its own writes."""

    def __init__(self, parts: Parts) -> None:
        super().__init__(parts.store, parts.clock)
        self._chance: Final = parts.chance
        self._profile: Final = parts.profile
        self._ledger: Final = LedgerWriter(parts)

    # --- tokens ----------------------------------------------------------------------------------

    async def create_token(
        self,
        who: Who,
        principal: str,
        *,
        name: str,
        scopes: Sequence[str] = (),
        expires_at: int | None = None,
        reason: str = "",
    ) -> tuple[Json, str]:
        """Make a token for a user or service; return its document and its secret, which is not kept.

        `scopes` are actions and `namespace:NAME`; what the caller is limited to, the token is too.
        `expires_at` is in µs since 1970.

        Raises:
            InvalidInput: principal, name, scopes or expiry cannot be used.
            PermissionDenied: for somebody else without being admin of `*`, with a token that is no admin's,
                without any role, or beyond the limits of the token in use.
            Conflict: the principal has 64 live tokens.
        """
        principals.actor(principal)
        _text("a token's name", name, NAME_MAX, least=1)
        asked = principals.scopes(scopes)
        if expires_at is not None and expires_at <= self._clock.now():
            raise InvalidInput("the token would have expired already")
        secret = "rn_" + base64.urlsafe_b64encode(self._chance.token(SECRET_BYTES)).decode().rstrip("=")
        made = self._new_id()

        def say(fresh: Who) -> AccessChanged:
            role = _may_make_token(fresh, principal)
            self._room_for_token(principal)
            limits = _within(fresh.caller.scopes, asked)
            said = TokenSaid(
                principal=principal,
                name=name,
                hash=access.secret_hash(secret),
                last4=secret[-4:],
                actions=None if limits.actions is None else tuple(sorted(limits.actions)),
                namespaces=None if limits.namespaces is None else tuple(sorted(limits.namespaces)),
                expires_at=expires_at,
            )
            return _change(fresh, role, ("token", EVERYWHERE, made), reason, {}, msgspec.to_builtins(said))

        await self._changed(who, access.DEFAULT, say, reason)
        return self._token_document(self._folded.tokens[made]), secret

    async def revoke_token(self, who: Who, token: str, reason: str = "") -> Json:
        """Refuse a token from now on; return its document. `token` is its id or a unique beginning.

        Raises:
            TokenNotFound: there is none that the caller may know of.
            PermissionDenied: a limited token may end itself only.
        """
        self.refresh()
        ended = self._named_token(who, token).id

        def say(fresh: Who) -> AccessChanged | None:
            role = _may_end_token(fresh, ended)
            if self._named_token(fresh, ended).revoked_at is not None:
                return None
            was, now = access.said_revoked(False), access.said_revoked(True)
            return _change(fresh, role, ("token", EVERYWHERE, ended), reason, was, now)

        await self._changed(who, access.DEFAULT, say, reason)
        return self._token_document(self._folded.tokens[ended])

    def _room_for_token(self, principal: str) -> None:
        now = self._clock.now()
        held = [one for one in self._folded.tokens.values() if one.principal == principal]
        if sum(one.status(now) == "live" for one in held) >= TOKENS_MAX:
            raise Conflict(f"{principal} has {TOKENS_MAX} live tokens", hint="revoke one that is not in use")

    # --- namespaces and roles --------------------------------------------------------------------

    async def create_namespace(self, who: Who, namespace: str, title: str = "", reason: str = "") -> Json:
        """Make a namespace; return its document.

        Raises:
            InvalidInput: the name or title cannot be used. Conflict: there is one of that name.
            PermissionDenied: the caller is no admin of `*`.
        """
        principals.namespace(namespace)
        _text("a title", title, TITLE_MAX)

        def say(fresh: Who) -> AccessChanged:
            role = require(fresh.caller, Action.ADMINISTER, People(EVERYWHERE))
            if self._exists(namespace):
                raise Conflict(f"there is a namespace {namespace} already")
            return _change(fresh, role, ("namespace", namespace, namespace), reason, {}, {"title": title})

        await self._changed(who, access.DEFAULT, say, reason)
        return self.namespace(self.who(who.by), namespace)

    async def grant(
        self, who: Who, namespace: str, principal: str, role: Role | str, reason: str = ""
    ) -> Json:
        """Give a principal a role; return {namespace, principal, roles} as it is now.

        Raises:
            InvalidInput: namespace, principal or role has no such form.
            NamespaceNotFound: there is none that the caller may know of.
            PermissionDenied: the caller is no admin there, or lacks a right of the role.
        """
        principals.principal(principal)
        given = principals.role(role)
        return await self._set_roles(who, namespace, principal, lambda held: held | {given}, reason)

    async def revoke(
        self, who: Who, namespace: str, principal: str, role: Role | str | None = None, reason: str = ""
    ) -> Json:
        """Take one role away, or all of them; return {namespace, principal, roles} as it is now.

        Raises:
            InvalidInput, NamespaceNotFound, PermissionDenied: as for `grant`.
            Conflict: the home would have no admin left.
        """
        principals.principal(principal)
        taken = frozenset(Role) if role is None else frozenset({principals.role(role)})
        return await self._set_roles(who, namespace, principal, lambda held: held - taken, reason)

    async def _set_roles(
        self,
        who: Who,
        namespace: str,
        principal: str,
        change: Callable[[frozenset[Role]], frozenset[Role]],
        reason: str,
    ) -> Json:
        principals.namespace_or_all(namespace)

        def say(fresh: Who) -> AccessChanged | None:
            as_role = self._may_administer(fresh.caller, namespace)
            held = self._folded.roles_in(namespace).get(principal, frozenset())
            after = change(held)
            if after == held:
                return None
            if not covers(fresh.caller, namespace, after - held):
                raise PermissionDenied(f"{who.by.principal} lacks rights that the role gives in {namespace}")
            was, now = access.said_roles(held), access.said_roles(after)
            return _change(fresh, as_role, ("roles", namespace, principal), reason, was, now)

        ledger = access.DEFAULT if namespace == EVERYWHERE else namespace
        await self._changed(who, ledger, say, reason)
        left = self._folded.roles_in(namespace).get(principal, frozenset())
        return {"namespace": namespace, "principal": principal, **access.said_roles(left)}

    def _may_administer(self, caller: Caller, namespace: str) -> str:
        if namespace != EVERYWHERE:
            self._seen(caller, namespace)
        return require(caller, Action.ADMINISTER, People(namespace))

    # --- groups ----------------------------------------------------------------------------------

    async def set_group(self, who: Who, group: str, members: Sequence[str], reason: str = "") -> Json:
        """Let a group consist of exactly these users and services; return {group, members}.

        Raises:
            InvalidInput: the group or a member has no such form, or there are too many for one event.
            PermissionDenied: the caller has not every right in `*`: a group may have any.
            Conflict: the home would have no admin left.
        """
        principals.group(group)
        for member in members:
            principals.actor(member)
        after = access.said_members(members)
        names = after["members"]
        if len(names) > MEMBERS_MAX or sum(map(len, names)) > LETTERS_MAX:
            most = f"at most {MEMBERS_MAX:,} members and {LETTERS_MAX:,} letters"
            raise InvalidInput(f"{group}: {most}", hint="give the roles to several groups")

        def say(fresh: Who) -> AccessChanged | None:
            role = require(fresh.caller, Action.ADMINISTER, People(EVERYWHERE))
            if not covers(fresh.caller, EVERYWHERE, (Role.ADMIN,)):
                raise PermissionDenied("a group may have any role, and this token is limited")
            before = self._folded.groups.get(group)
            was = {} if before is None else access.said_members(before)
            if was == after:
                return None
            return _change(fresh, role, ("group", EVERYWHERE, group), reason, was, after)

        await self._changed(who, access.DEFAULT, say, reason)
        return {"group": group, **after}

    # --- writing ---------------------------------------------------------------------------------

    async def _changed(self, who: Who, ledger: str, say: Said, reason: str) -> None:
        """Write what `say` returns for the caller as the ledgers know them when it is their turn."""
        _text("a reason", reason, REASON_MAX)

        def event(now: int) -> tuple[AccessChanged, tuple[()]] | None:
            self.refresh()
            fresh = self.who(who.by)
            said = say(Who(fresh.by, meet(who.caller, fresh.caller)))
            if said is None:
                return None
            self._profile.require_reason(Change.ACCESS, reason)
            if who.by.auth != "os-user":
                self._keeps_an_admin(said, now)
            return said, ()

        await self._ledger.append(ledger, actor_id(self._store.home_salt(), who.by.principal), event)
        self.refresh()

    def _keeps_an_admin(self, said: AccessChanged, now: int) -> None:
        """Refuse a change after which nobody could administer the home.

        Raises:
            Conflict: it is such a change.
        """
        if said.kind not in ("roles", "group") or not self._folded.admins():
            return
        after = self._folded.after(access.ledger_of(said), said, now)
        if not after.admins():
            hint = "the owner of the home's files can, on the machine itself"
            raise Conflict(f"{said.subject} is the last admin of {EVERYWHERE}", hint=hint)

    def _new_id(self) -> str:
        return to_text(uuid7(self._clock.now(), self._chance.token(8)))


def _change(who: Who, as_role: str, of: Subject, reason: str, was: Json, now: Json) -> AccessChanged:
    return AccessChanged(*of, msgspec.structs.replace(who.by, role=as_role), reason, was, now)


def _may_make_token(who: Who, principal: str) -> str:
    """Return as what somebody makes a token for a principal.

    Raises:
        PermissionDenied: they may not.
    """
    if is_admin(who.caller):
        return require(who.caller, Action.ADMINISTER, People(EVERYWHERE))
    own = who.by.principal
    if principal != own:
        raise PermissionDenied(f"{own} may make tokens for {own} only", hint=f"ask an admin of {EVERYWHERE}")
    if who.by.auth == "token":
        raise PermissionDenied("a token makes no tokens", hint="log in as yourself, or ask an admin")
    if not who.caller.roles:
        raise PermissionDenied(f"{own} has no role yet", hint="ask an admin of a namespace for a role")
    return SELF


def _may_end_token(who: Who, token: str) -> str:
    """Return as what somebody ends a token that they may know of.

    Raises:
        PermissionDenied: they may not.
    """
    if is_admin(who.caller):
        return require(who.caller, Action.ADMINISTER, People(EVERYWHERE))
    if who.by.token != token and who.caller.scopes != Scopes():
        raise PermissionDenied("a limited token may revoke itself only")
    return SELF


def _within(limits: Scopes, asked: Scopes) -> Scopes:
    """Return the scopes of a new token: as asked, or those of its maker where nothing is asked.

    Raises:
        PermissionDenied: more is asked than the maker has.
    """
    both = limits.meet(asked)
    if (asked.actions is not None and asked.actions != both.actions) or (
        asked.namespaces is not None and asked.namespaces != both.namespaces
    ):
        raise PermissionDenied("the scopes go beyond those of the token in use")
    return both


def _text(what: str, text: str, most: int, *, least: int = 0) -> None:
    """Check a text that people write.

    Raises:
        InvalidInput: it is too long, missing, or holds what a terminal would act on.
    """
    if not (least <= len(text) <= most and text.isprintable()):
        raise InvalidInput(f"{what} has {least} to {most} printable letters")
