"""Who may do what, asked with asyncio: namespaces, roles, groups, tokens; and how the server is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runnotary.client import access
from runnotary.client.async_connection import AsyncConnection

Json = Any
Document = dict[str, Json]


class AsyncAccess:
    """The part of the client that administers access."""

    _connection: AsyncConnection

    async def health(self) -> Document:
        """Return whether the server accepts runs."""
        return await self._connection.ask(access.health())

    async def whoami(self) -> Document:
        """Return as whom the server knows us."""
        return await self._connection.ask(access.whoami())

    async def list_namespaces(self) -> list[Document]:
        """Return the namespaces that we can see."""
        return await self._connection.ask(access.namespaces())

    async def get_namespace(self, name: str) -> Document:
        """Return a namespace and who has which role in it."""
        return await self._connection.ask(access.namespace(name))

    async def namespace_audit(self, name: str) -> list[Document]:
        """Return every change of access in a namespace: who made it, what was, what is."""
        return await self._connection.ask(access.history(name))

    async def create_namespace(self, name: str, *, title: str = "", reason: str = "") -> Document:
        """Make a namespace."""
        return await self._connection.ask(access.create_namespace(name, title, reason))

    async def grant_role(self, namespace: str, principal: str, role: str, *, reason: str = "") -> Document:
        """Give a principal a role in a namespace."""
        return await self._connection.ask(access.grant(namespace, principal, role, reason))

    async def revoke_role(
        self, namespace: str, principal: str, role: str = "", *, reason: str = ""
    ) -> Document:
        """Take a role from a principal; all of its roles there if none is named."""
        return await self._connection.ask(access.revoke(namespace, principal, role, reason))

    async def list_groups(self) -> list[Document]:
        """Return the groups and their members."""
        return await self._connection.ask(access.groups())

    async def set_group(self, group: str, members: Sequence[str], *, reason: str = "") -> Document:
        """Say who is in a group; nobody else is then."""
        return await self._connection.ask(access.set_group(group, members, reason))

    async def list_tokens(self) -> list[Document]:
        """Return the tokens there are, without their secrets."""
        return await self._connection.ask(access.tokens())

    async def create_token(
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
        return await self._connection.ask(access.create_token(principal, said))

    async def revoke_token(self, token_id: str, *, reason: str = "") -> Document:
        """Let a token be of no use from now on."""
        return await self._connection.ask(access.revoke_token(token_id, reason))
