"""Routes about requests to people: what waits, and answers."""

from __future__ import annotations

from runnotary.api.call import Call, Document
from runnotary.api.flows import DEFAULT_NAMESPACE
from runnotary.engine.approvals import ApprovalQuery


def listing(call: Call) -> Document:
    asked = call.query
    query = query_of(asked.namespace, asked.flow, asked.run, asked.status, mine=asked.mine)
    return Document(call.operations.approvals.listing(call.who, query, limit=asked.limit, page=asked.cursor))


def query_of(
    namespace: tuple[str, ...], flow: tuple[str, ...], run: str, status: tuple[str, ...], *, mine: bool
) -> ApprovalQuery:
    """Return the question that these words of a listing ask."""
    spaces = namespace or (DEFAULT_NAMESPACE,)
    return ApprovalQuery(
        namespace=() if "*" in spaces else spaces, flow=flow, run=run, status=status, mine=mine
    )


def show(call: Call) -> Document:
    return Document(call.operations.approvals.one(call.who, call.path["run"], call.path["task"]))


async def approve(call: Call) -> Document:
    return await _answered(call, approve=True)


async def reject(call: Call) -> Document:
    return await _answered(call, approve=False)


async def _answered(call: Call, *, approve: bool) -> Document:
    body, run, task = call.body, call.path["run"], call.path["task"]
    answering = call.operations.approvals
    return Document(
        await answering.answer(
            call.who, run, task, approve=approve, reason=body.reason, seen=body.shown_digest
        )
    )
