"""Routes about the log as a whole: checkpoints, proofs, keys, and verification."""

from __future__ import annotations

from runnotary.api.call import Call, Document


async def checkpoint(call: Call) -> Document:
    return Document(await call.operations.proofs.checkpoint(call.who, call.query.size))


async def new_checkpoint(call: Call) -> Document:
    return Document(await call.operations.proofs.checkpoint(call.who, fresh=True))


async def proof(call: Call) -> Document:
    return Document(await call.operations.proofs.proof(call.who, call.query.run, call.query.entry))


def consistency(call: Call) -> Document:
    return Document(call.operations.proofs.consistency(call.who, call.query.old, call.query.new))


def keys(call: Call) -> Document:
    return Document(call.operations.proofs.keys(call.who))


async def rotate(call: Call) -> Document:
    return Document(await call.operations.proofs.rotate(call.who, call.body.name, call.body.reason))


async def revoke(call: Call) -> Document:
    return Document(await call.operations.proofs.revoke(call.who, call.path["key"], call.body.reason))


def verify(call: Call) -> Document:
    asked = call.query
    return Document(
        call.operations.proofs.verify(
            call.who,
            run=asked.run,
            task=asked.task,
            flow=asked.flow,
            namespace=asked.namespace,
            deep=asked.deep,
        )
    )
