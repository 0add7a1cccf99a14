"""The log as a whole: checkpoints, proofs, keys, verification.

Written by `tools/unasync.py` from `async_evidence.py`; do not edit.
"""

from __future__ import annotations

from typing import Any, Unpack

from runnotary.client import evidence
from runnotary.client.sync_connection import Connection
from runnotary.client.words import AuditFilter

Json = Any
Document = dict[str, Json]


class Evidence:
    """The part of the client that asks for evidence."""

    _connection: Connection

    def verify(
        self, run_id: str = "", *, task: str = "", flow: str = "", namespace: str = "", deep: bool = False
    ) -> Document:
        """Let the record check itself: a run, a task of it, the runs of a flow, or everything.

        Read `ok`, `findings` and `not_proven`. Whoever does not trust the server checks a bundle.
        """
        asked = evidence.verify(run_id, task, flow, namespace, deep)
        return self._connection.ask(asked)

    def search_audit(self, **filters: Unpack[AuditFilter]) -> Document:
        """Return a page of who did what, when and why: `events` and `next_cursor`.

        A page takes only so long: it may be empty and still have a next one.
        """
        return self._connection.ask(evidence.search(filters))

    def checkpoint(self, size: int = 0, *, new: bool = False) -> Document:
        """Return the newest checkpoint, that of a size, or with `new` one of all that there is.

        `note` is the signed text; keep it where whoever could change the record cannot.
        """
        asked = evidence.new_checkpoint() if new else evidence.checkpoint(size)
        return self._connection.ask(asked)

    def proof(self, run_id: str = "", *, entry: int = 0) -> Document:
        """Return the proof that a run to its last event, or an entry of the log, is in a checkpoint."""
        return self._connection.ask(evidence.proof(run_id, entry))

    def consistency(self, old: int, new: int = 0) -> Document:
        """Return the proof that a log of `new` entries (all of them if 0) continues that of `old`."""
        return self._connection.ask(evidence.consistency(old, new))

    def list_keys(self) -> list[Document]:
        """Return every key that ever signed there, newest first."""
        found: list[Document] = (self._connection.ask(evidence.keys()))["keys"]
        return found

    def rotate_key(self, name: str = "", *, reason: str = "") -> Document:
        """Put a new key in the place of the one in use; returns the new one."""
        return self._connection.ask(evidence.rotate(name, reason))

    def revoke_key(self, key: str, *, reason: str = "") -> Document:
        """Say that a key, by its id, name or text, must not be trusted; one in use is replaced."""
        return self._connection.ask(evidence.revoke(key, reason))
