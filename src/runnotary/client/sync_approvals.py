"""What people are asked: what waits, and answers.

Written by `tools/unasync.py` from `async_approvals.py`; do not edit.
"""

from __future__ import annotations

from collections.abc import Sequence

from runnotary.client import approvals
from runnotary.client.results import Approval, ApprovalPage
from runnotary.client.sync_connection import Connection


class Approvals:
    """The part of the client that answers requests."""

    _connection: Connection

    def list_approvals(
        self,
        *,
        namespace: str | Sequence[str] = "default",
        flow: str | Sequence[str] = (),
        run: str = "",
        status: str | Sequence[str] = (),
        mine: bool = False,
        limit: int = 50,
        cursor: str | None = None,
    ) -> ApprovalPage:
        """Return what waits for people, oldest first; with `mine`, only what we may answer.

        Of one `run` it returns what was answered too; `status` chooses among waiting, approved, rejected,
        timeout and cancelled.
        """
        words = {"namespace": namespace, "flow": flow, "run": run, "status": status}
        return self._connection.ask(
            approvals.listing({**words, "mine": mine, "limit": limit, "cursor": cursor})
        )

    def get_approval(self, run_id: str, task: str) -> Approval:
        """Return what a step asks: its prompt, what it shows, who answered what.

        Raises:
            TaskNotFound: it asks nothing.
        """
        return self._connection.ask(approvals.show(run_id, task))

    def approve(self, run_id: str, task: str, *, reason: str = "", shown_digest: str = "") -> Approval:
        """Approve what a step asks; with `shown_digest`, only if that is what it shows.

        Raises:
            AlreadyDecided: somebody was faster; the message says who.
            NotWaiting: it asks for nothing now.
            PermissionDenied: it is not ours to answer.
            ShownOtherwise: it shows something else.
        """
        return self._connection.ask(approvals.answer(run_id, task, "approve", reason, shown_digest))

    def reject(self, run_id: str, task: str, *, reason: str = "", shown_digest: str = "") -> Approval:
        """Refuse what a step asks, which fails it; raises as `approve` does."""
        return self._connection.ask(approvals.answer(run_id, task, "reject", reason, shown_digest))
