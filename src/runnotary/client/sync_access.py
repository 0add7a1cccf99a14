"""Who may do what: namespaces, roles, groups, tokens; and how the server is.

Written by `tools/unasync.py` from `async_access.py`; do not edit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runnotary.client import access
from runnotary.client.sync_connection import Connection

Json = Any
Document = dict[str, Json]


class Access:
    """The part of the client that administers access."""

    _connection: Connection

    def health(self) -> Document:
        """Return whether the server accepts runs."""
        return self._connection.ask(access.health())

    def whoami(self) -> Document:
        """Return as whom the server knows us."""
        return self._connection.ask(access.whoami())

    def list_namespaces(self) -> list[Document]:
        """Return the namespaces that we can see."""
        return self._connection.ask(access.namespaces())

    def get_namespace(self, name: str) -> Document:
        """Return a namespace and who has which role in it."""
        return self._connection.ask(access.namespace(name))

    def namespace_audit(self, name: str) -> list[Document]:
        """Return every change of access in a namespace: who made it, what was, what is."""
        return self._connection.ask(access.history(name))

    def create_namespace(self, name: str, *, title: str = "", reason: str = "") -> Document:
        """Make a namespace."""
        return self._connection.ask(access.create_namespace(name, title, reason))

    def grant_role(self, namespace: str, principal: str, role: str, *, reason: str = "") -> Document:
        """Give a principal a role in a namespace."""
        return self._connection.ask(access.grant(namespace, principal, role, reason))

    def revoke_role(self, namespace: str, principal: str, role: str = "", *, reason: str = "") -> Document:
        """Take a role from a principal; all of its roles there if none is named."""
        return self._connection.ask(access.revoke(namespace, principal, role, reason))

    def list_groups(self) -> list[Document]:
        """Return the groups and their members."""
        return self._connection.ask(access.groups())

    def set_group(self, group: str, members: Sequence[str], *, reason: str = "") -> Document:
        """Say who is in a group; nobody else is then."""
        return self._connection.ask(access.set_group(group, members, reason))

    def list_tokens(self) -> list[Document]:
        """Return the tokens there are, without their secrets."""
        return self._connection.ask(access.tokens())

    def create_token(
        self,
        principal: str = "",
        *,
        name: str = "",
        scopes: Sequence[str] = (),
        expires_at: str = "",
        reason: str = "",
    ) -> Document:
        """Make a token, for ourselves if nobody is named; its `secret` is in this answer and nowhere else."""
        said = {"name": name, "scopes": list(scopes), "expires_at": expires_at, "reason": reason}
        return self._connection.ask(access.create_token(principal, said))

    def revoke_token(self, token_id: str, *, reason: str = "") -> Document:
        """Let a token be of no use from now on."""
        return self._connection.ask(access.revoke_token(token_id, reason))
