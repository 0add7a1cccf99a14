"""The log as a whole, asked with asyncio: checkpoints, proofs, keys, verification."""

from __future__ import annotations

from typing import Any, Unpack

from runnotary.client import evidence
from runnotary.client.async_connection import AsyncConnection
from runnotary.client.words import AuditFilter

Json = Any
Document = dict[str, Json]


class AsyncEvidence:
    """The part of the client that asks for evidence."""

    _connection: AsyncConnection

    async def verify(
        self, run_id: str = "", *, task: str = "", flow: str = "", namespace: str = "", deep: bool = False
    ) -> Document:
        """Let the record check itself: a run, a task of it, the runs of a flow, or everything.

        Read `ok`, `findings` and `not_proven`. Whoever does not trust the server checks a bundle.
        """
        asked = evidence.verify(run_id, task, flow, namespace, deep)
        return await self._connection.ask(asked)

    async def search_audit(self, **filters: Unpack[AuditFilter]) -> Document:
        """Return a page of who did what, when and why: `events` and `next_cursor`.

        A page takes only so long: it may be empty and still have a next one.
        """
        return await self._connection.ask(evidence.search(filters))

    async def checkpoint(self, size: int = 0, *, new: bool = False) -> Document:
        """Return the newest checkpoint, that of a size, or with `new` one of all that there is.

        `note` is the signed text; keep it where whoever could change the record cannot.
        """
        asked = evidence.new_checkpoint() if new else evidence.checkpoint(size)
        return await self._connection.ask(asked)

    async def proof(self, run_id: str = "", *, entry: int = 0) -> Document:
        """Return the proof that a run to its last event, or an entry of the log, is in a checkpoint."""
        return await self._connection.ask(evidence.proof(run_id, entry))

    async def consistency(self, old: int, new: int = 0) -> Document:
        """Return the proof that a log of `new` entries (all of them if 0) continues that of `old`."""
        return await self._connection.ask(evidence.consistency(old, new))

    async def list_keys(self) -> list[Document]:
        """Return every key that ever signed there, newest first."""
        found: list[Document] = (await self._connection.ask(evidence.keys()))["keys"]
        return found

    async def rotate_key(self, name: str = "", *, reason: str = "") -> Document:
        """Put a new key in the place of the one in use; returns the new one."""
        return await self._connection.ask(evidence.rotate(name, reason))

    async def revoke_key(self, key: str, *, reason: str = "") -> Document:
        """Say that a key, by its id, name or text, must not be trusted; one in use is replaced."""
        return await self._connection.ask(evidence.revoke(key, reason))
