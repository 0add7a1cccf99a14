"""What routes answer about who may do what, as types: see `results.py`."""

from __future__ import annotations

from typing import Any

from runnotary.api.results import Result

Json = Any


class Whoami(Result, frozen=True):
    principal: str
    auth: str
    names: list[str]
    roles: dict[str, list[str]]
    scopes: list[str] | None
    token: str | None = None


class Held(Result, frozen=True):
    principal: str
    roles: list[str]


class NamespaceDocument(Result, frozen=True):
    """A namespace; who has which role in it is there for its admins only."""

    namespace: str
    title: str
    created_at: str | None
    created_by: str | None
    your_roles: list[str]
    roles: list[Held] | None = None


class NamespaceList(Result, frozen=True):
    namespaces: list[NamespaceDocument]


class AccessChange(Result, frozen=True):
    time: str
    kind: str
    namespace: str
    subject: str
    by: dict[str, Json]
    reason: str
    was: dict[str, Json]
    set: dict[str, Json]


class AccessHistory(Result, frozen=True):
    changes: list[AccessChange]


class RolesDocument(Result, frozen=True):
    namespace: str
    principal: str
    roles: list[str]


class TokenDocument(Result, frozen=True):
    id: str
    principal: str
    name: str
    last4: str
    scopes: list[str] | None
    status: str
    created_at: str
    created_by: str
    created_with: str | None
    expires_at: str | None
    revoked_at: str | None


class NewToken(TokenDocument, frozen=True):
    """A token with its secret, which is shown this once."""

    secret: str


class TokenList(Result, frozen=True):
    tokens: list[TokenDocument]


class GroupDocument(Result, frozen=True):
    group: str
    members: list[str]


class GroupList(Result, frozen=True):
    groups: list[GroupDocument]
