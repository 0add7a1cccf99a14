"""Who may do what, asked with asyncio: namespaces, roles, groups, tokens; and how the server is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runnotary.client import access
from runnotary.client.async_connection import AsyncConnection

Json = Any


class AsyncAccess:
    """The part of the client that administers access."""

    _connection: AsyncConnection

    async def health(self) -> dict[str, Json]:
        """Return whether the server accepts runs."""
        return await self._connection.ask(access.health())

    async def whoami(self) -> dict[str, Json]:
        """Return as whom the server knows us."""
        return await self._connection.ask(access.whoami())

    async def list_namespaces(self) -> list[dict[str, Json]]:
        """Return the namespaces that we can see."""
        return await self._connection.ask(access.namespaces())

    async def create_namespace(self, name: str, *, title: str = "") -> dict[str, Json]:
        """Make a namespace."""
        return await self._connection.ask(access.create_namespace(name, title))

    async def list_tokens(self) -> list[dict[str, Json]]:
        """Return the tokens there are, without their secrets."""
        return await self._connection.ask(access.tokens())

    async def create_token(
        self, principal: str = "", *, name: str = "", scopes: Sequence[str] = (), expires_at: str = ""
    ) -> dict[str, Json]:
        """Make a token; its `secret` is in this answer and nowhere else."""
        return await self._connection.ask(access.create_token(principal, name, scopes, expires_at))

    async def revoke_token(self, token_id: str) -> None:
        """Let a token be of no use from now on."""
        await self._connection.ask(access.revoke_token(token_id))
