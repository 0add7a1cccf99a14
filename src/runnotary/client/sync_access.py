"""Who may do what: namespaces, roles, groups, tokens; and how the server is.

Written by `tools/unasync.py` from `async_access.py`; do not edit.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runnotary.client import access
from runnotary.client.sync_connection import Connection

Json = Any


class Access:
    """The part of the client that administers access."""

    _connection: Connection

    def health(self) -> dict[str, Json]:
        """Return whether the server accepts runs."""
        return self._connection.ask(access.health())

    def whoami(self) -> dict[str, Json]:
        """Return as whom the server knows us."""
        return self._connection.ask(access.whoami())

    def list_namespaces(self) -> list[dict[str, Json]]:
        """Return the namespaces that we can see."""
        return self._connection.ask(access.namespaces())

    def create_namespace(self, name: str, *, title: str = "") -> dict[str, Json]:
        """Make a namespace."""
        return self._connection.ask(access.create_namespace(name, title))

    def list_tokens(self) -> list[dict[str, Json]]:
        """Return the tokens there are, without their secrets."""
        return self._connection.ask(access.tokens())

    def create_token(
        self, principal: str = "", *, name: str = "", scopes: Sequence[str] = (), expires_at: str = ""
    ) -> dict[str, Json]:
        """Make a token; its `secret` is in this answer and nowhere else."""
        return self._connection.ask(access.create_token(principal, name, scopes, expires_at))

    def revoke_token(self, token_id: str) -> None:
        """Let a token be of no use from now on."""
        self._connection.ask(access.revoke_token(token_id))
