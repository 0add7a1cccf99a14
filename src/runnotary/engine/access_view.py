"""Questions about access: who somebody is, what they may do, and what of it they may be told.

Needs a store and a clock, so it answers beside another engine too. Nothing is folded before the first
question that needs it: the owner of the home is known without. Questions may come in several threads at once.
"""

from __future__ import annotations

import hmac
import re
import threading
from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec

from runnotary.core import access, principals
from runnotary.core.access import DEFAULT, NOTHING, AccessState, Token
from runnotary.core.chain import LEDGER, ledger_stream
from runnotary.core.errors import InvalidInput, NamespaceNotFound, TokenNotFound
from runnotary.core.events import AccessChanged, By
from runnotary.core.permissions import (
    EVERYWHERE,
    OF_ROLE,
    OWNERS,
    Action,
    Caller,
    People,
    Role,
    Who,
    granted,
    local_owner,
    require,
)
from runnotary.core.times import maybe
from runnotary.core.times import to_text as time_text
from runnotary.ports import Change, Clock, Store

Json = Any
VOUCHED_MAX: Final = 64
SECRET: Final = re.compile(r"rn_[A-Za-z0-9_-]{43}")


class AccessView:
    """The access state of one home, read from its ledgers."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store: Final = store
        self._clock: Final = clock
        self._folded = AccessState()
        self._seqs: dict[str, int] = {}
        self._is_whole = False
        self._folding: Final = threading.Lock()

    def refresh(self) -> AccessState:
        """Fold what the ledgers hold beyond what was folded, and return the state."""
        with self._folding:
            self._fold(DEFAULT)
            for name in tuple(self._folded.namespaces):
                self._fold(name)
            self._is_whole = True
        return self._folded

    def grown(self, changes: Sequence[Change]) -> None:
        """Look again at the ledgers at the next question, if somebody wrote into one."""
        if any(change.stream[:1] == LEDGER for change in changes):
            self._is_whole = False

    def begin_anew(self) -> None:
        """Fold from the beginning at the next question: what was said before was erased and said again."""
        with self._folding:
            self._folded = AccessState()
            self._seqs.clear()
            self._is_whole = False

    def _fold(self, ledger: str) -> None:
        for record in self._store.read(ledger_stream(ledger), self._seqs.get(ledger, 0)):
            if isinstance(record.event, AccessChanged):
                access.fold(self._folded, ledger, record.event, record.at)
            self._seqs[ledger] = record.seq

    @property
    def _state(self) -> AccessState:
        return self._folded if self._is_whole else self.refresh()

    # --- who asks --------------------------------------------------------------------------------

    def who(self, by: By, extra_groups: Iterable[str] = ()) -> Who:
        """Return who acts, with all names, roles and limits.

        Of the groups that an identity provider vouches for only those count that the home knows, and no more
        than 64 of them: they stand in every event of theirs. A token that was revoked since leaves nothing.
        """
        if by.auth in OWNERS:
            return Who(by, local_owner(by.principal))
        state = self._state
        known = {name for name in (*by.groups, *extra_groups) if state.knows_group(name)}
        vouched = sorted(known)[:VOUCHED_MAX]
        names = frozenset({by.principal}) | state.groups_of(by.principal) | set(vouched)
        by = msgspec.structs.replace(by, groups=tuple(vouched))
        if by.auth != "token":
            return Who(by, Caller(names, state.roles_of(names)))
        token = state.tokens.get(by.token)
        if token is None or token.principal != by.principal or token.status(self._clock.now()) != "live":
            return Who(by, Caller(frozenset({by.principal}), {}, NOTHING))
        return Who(by, Caller(names, state.roles_of(names), token.scopes))

    def token(self, secret: str) -> By | None:
        """Return whom a secret stands for; None if it is unknown, expired or revoked."""
        if SECRET.fullmatch(secret) is None:
            return None
        hash_ = access.secret_hash(secret)
        found = self._state.token_of(hash_)
        if found is None or not hmac.compare_digest(found.hash, hash_):
            return None
        if found.status(self._clock.now()) != "live":
            return None
        return By(found.principal, "token", token=found.id)

    def has_live_token(self) -> bool:
        """Tell whether anybody could come in with a token."""
        now = self._clock.now()
        return any(token.status(now) == "live" for token in self._state.tokens.values())

    def whoami(self, who: Who) -> Json:
        """Return {principal, auth, names, roles: {namespace: [role…]}, scopes, token?}."""
        document = {
            "principal": who.by.principal,
            "auth": who.by.auth,
            "names": sorted(who.caller.names),
            "roles": {name: _listed(roles) for name, roles in sorted(who.caller.roles.items())},
            "scopes": principals.scope_words(who.caller.scopes),
        }
        return {**document, "token": who.by.token} if who.by.token else document

    # --- tokens ----------------------------------------------------------------------------------

    def tokens(self, who: Who) -> list[Json]:
        """Return the caller's own tokens, newest first; every token for an admin of `*`."""
        return [self._token_document(token) for token in self._tokens_of(who)]

    def _tokens_of(self, who: Who) -> list[Token]:
        every = sorted(self._state.tokens.values(), key=lambda token: token.id, reverse=True)
        if is_admin(who.caller):
            return every
        if not who.caller.scopes.allow(Action.READ):
            return [token for token in every if token.id == who.by.token]
        return [token for token in every if token.principal == who.by.principal]

    def _named_token(self, who: Who, name: str) -> Token:
        """Return the token that an id, or a unique beginning of one, names among those the caller sees.

        Raises:
            TokenNotFound: none. InvalidInput: several.
        """
        found = [token for token in self._tokens_of(who) if name and token.id.startswith(name.upper())]
        if not found:
            raise TokenNotFound(f"no token {name}", hint="see: runnotary token list")
        if len(found) > 1:
            raise InvalidInput(f"{name} is the beginning of several tokens: {found[0].id}, {found[1].id}")
        return found[0]

    def _token_document(self, token: Token) -> Json:
        return {
            "id": token.id,
            "principal": token.principal,
            "name": token.name,
            "last4": token.last4,
            "scopes": principals.scope_words(token.scopes),
            "status": token.status(self._clock.now()),
            "created_at": time_text(token.created_at),
            "created_by": token.created_by,
            "created_with": token.created_with or None,
            "expires_at": maybe(token.expires_at),
            "revoked_at": maybe(token.revoked_at),
        }

    # --- namespaces and groups -------------------------------------------------------------------

    def namespaces(self, who: Who) -> list[Json]:
        """Return the namespaces that the caller may read; who has which role there is for admins only."""
        names = dict.fromkeys((DEFAULT, *sorted(self._state.namespaces)))
        return [self._namespace_document(who, name) for name in names if may_see(who.caller, name)]

    def namespace(self, who: Who, namespace: str) -> Json:
        """Return one namespace; `*` stands for the home itself.

        Raises:
            NamespaceNotFound: there is none, or none for the caller.
        """
        self._seen(who.caller, namespace)
        return self._namespace_document(who, namespace)

    def _seen(self, caller: Caller, namespace: str) -> None:
        """Refuse a namespace that is not there, or not there for the caller.

        Raises:
            NamespaceNotFound: it is such a one.
        """
        if not (self._exists(namespace) and may_see(caller, namespace)):
            hint = f"make it: runnotary namespace create {namespace}" if is_admin(caller) else ""
            raise NamespaceNotFound(f"no namespace {namespace}", hint=hint)

    def _exists(self, namespace: str) -> bool:
        return namespace in (DEFAULT, EVERYWHERE) or namespace in self._state.namespaces

    def _namespace_document(self, who: Who, name: str) -> Json:
        made = self._state.namespaces.get(name)
        caller = who.caller
        own = caller.roles.get(name, frozenset[Role]()) | caller.roles.get(EVERYWHERE, frozenset())
        document = {
            "namespace": name,
            "title": made.title if made else "",
            "created_at": time_text(made.created_at) if made else None,
            "created_by": made.created_by if made else None,
            "your_roles": _listed(own),
        }
        if Action.ADMINISTER not in granted(caller, People(name)):
            return document
        held = self._state.roles_in(name).items()
        return {**document, "roles": [{"principal": who, "roles": _listed(roles)} for who, roles in held]}

    def groups(self, who: Who) -> list[Json]:
        """Return the groups and their members: all for an admin of `*`, else those the caller is in."""
        own = None if is_admin(who.caller) else who.caller.names
        return [
            {"group": name, "members": sorted(members)}
            for name, members in sorted(self._state.groups.items())
            if own is None or name in own
        ]

    def history(self, who: Who, namespace: str) -> list[Json]:
        """Return every change of access to a namespace (`*`: to the home), oldest first; for its admins.

        Raises:
            NamespaceNotFound: there is none, or none for the caller. PermissionDenied: no admin.
        """
        self.namespace(who, namespace)
        require(who.caller, Action.ADMINISTER, People(namespace))
        ledgers = dict.fromkeys((DEFAULT, DEFAULT if namespace == EVERYWHERE else namespace))
        return [
            _change_document(record.at, record.event)
            for ledger in ledgers
            for record in self._store.read(ledger_stream(ledger))
            if isinstance(record.event, AccessChanged) and record.event.namespace == namespace
        ]


def may_see(caller: Caller, namespace: str) -> bool:
    """Tell whether a namespace is there for a caller: whoever has a right in it."""
    return bool(granted(caller, People(namespace)))


def is_admin(caller: Caller) -> bool:
    """Tell whether the caller may administer the home itself."""
    return Action.ADMINISTER in granted(caller, People(EVERYWHERE))


def covers(caller: Caller, namespace: str, roles: Iterable[Role]) -> bool:
    """Tell whether the caller has every right that these roles give."""
    wanted = frozenset[Action]().union(*(OF_ROLE[role] for role in roles))
    return wanted <= granted(caller, People(namespace))


def _listed(roles: Iterable[Role]) -> list[str]:
    return sorted(str(role) for role in roles)


def _change_document(at: int, event: AccessChanged) -> Json:
    return {
        "time": time_text(at),
        "kind": event.kind,
        "namespace": event.namespace,
        "subject": event.subject,
        "by": msgspec.to_builtins(event.by),
        "reason": event.reason,
        "was": event.was,
        "set": {name: value for name, value in event.set.items() if name != "hash"},
    }
