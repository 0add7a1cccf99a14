"""Who may do what in a home: folded from its ledgers, changed through them, asked at every door.

Signatures first; the bodies follow within the hour.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from runnotary.core.events import By
from runnotary.core.permissions import Role, Who
from runnotary.engine.parts import Parts

Json = Any


class Access:
    """The access state of one home, kept current by its own writes."""

    def __init__(self, parts: Parts) -> None: ...

    def who(self, by: By, extra_groups: Iterable[str] = ()) -> Who:
        """Return who acts, with all names, roles and limits. `os-user` and `engine` are admin of `*`."""
        raise NotImplementedError

    def token(self, secret: str) -> By | None:
        """Return whom a secret stands for (`By.token` is its id); None if unknown, expired or revoked."""
        raise NotImplementedError

    def whoami(self, who: Who) -> Json:
        """Return {principal, auth, names, roles: {namespace: [...]}, scopes, token?}."""
        raise NotImplementedError

    def tokens(self, who: Who) -> list[Json]:
        """Return [{id, principal, name, last4, scopes, created_at, created_by, expires_at, revoked_at, status}]."""
        raise NotImplementedError

    async def create_token(
        self,
        who: Who,
        principal: str,
        *,
        name: str,
        scopes: Sequence[str] = (),
        expires_at: int | None = None,
    ) -> tuple[Json, str]:
        """Return the token's document and its secret. `scopes` are actions and `namespace:NAME`; µs since 1970."""
        raise NotImplementedError

    async def revoke_token(self, who: Who, token: str, reason: str = "") -> Json:
        """Return the token's document, revoked."""
        raise NotImplementedError

    def namespaces(self, who: Who) -> list[Json]:
        """Return those the caller may read: [{namespace, title, created_at, created_by, your_roles, roles?}]."""
        raise NotImplementedError

    def namespace(self, who: Who, namespace: str) -> Json:
        """Return one of them, or raise NamespaceNotFound."""
        raise NotImplementedError

    async def create_namespace(self, who: Who, namespace: str, title: str = "", reason: str = "") -> Json:
        """Return the new namespace's document."""
        raise NotImplementedError

    async def grant(
        self, who: Who, namespace: str, principal: str, role: Role | str, reason: str = ""
    ) -> Json:
        """Return {namespace, principal, roles: [...]} as it is now."""
        raise NotImplementedError

    async def revoke(
        self, who: Who, namespace: str, principal: str, role: Role | str | None = None, reason: str = ""
    ) -> Json:
        """Take one role away, or all of them; return {namespace, principal, roles} as it is now."""
        raise NotImplementedError

    def groups(self, who: Who) -> list[Json]:
        """Return [{group, members: [...]}]: all for an admin of `*`, else the caller's own."""
        raise NotImplementedError

    async def set_group(self, who: Who, group: str, members: Sequence[str], reason: str = "") -> Json:
        """Let a group consist of exactly these; return {group, members}."""
        raise NotImplementedError
