"""The routes of the log as a whole: checkpoints, proofs, keys, and verification."""

from __future__ import annotations

from typing import Final

from runnotary.api import auditing, evidence, results_evidence, wire
from runnotary.api.route import ADMIN, READ_SOMEWHERE, row

OF_LOG: Final = (
    row(
        "GET /log/checkpoint",
        evidence.checkpoint,
        "The newest checkpoint, or that of a size",
        READ_SOMEWHERE,
        results_evidence.CheckpointDocument,
        query=wire.OfSize,
    ),
    row(
        "POST /log/checkpoint",
        evidence.new_checkpoint,
        "Sign all that there is",
        READ_SOMEWHERE,
        results_evidence.CheckpointDocument,
        body=wire.Body,
    ),
    row(
        "GET /log/proof",
        evidence.proof,
        "That a run, to its last event, or an entry of the log is covered by a checkpoint",
        "read on run",
        results_evidence.ProofDocument,
        query=wire.OfEntry,
    ),
    row(
        "GET /log/consistency",
        evidence.consistency,
        "That the log of one size is the beginning of that of another",
        READ_SOMEWHERE,
        results_evidence.ConsistencyDocument,
        query=wire.TwoSizes,
        problems=(),
    ),
    row(
        "GET /keys",
        evidence.keys,
        "Every key that ever signed here",
        READ_SOMEWHERE,
        results_evidence.KeyList,
        problems=(),
    ),
    row(
        "POST /keys/rotate",
        evidence.rotate,
        "Put a new key in the place of the one in use",
        ADMIN,
        results_evidence.KeyDocument,
        body=wire.KeyBody,
        problems=(409,),
    ),
    row(
        "POST /keys/{key}/revoke",
        evidence.revoke,
        "Say that a key must not be trusted",
        ADMIN,
        results_evidence.KeyDocument,
        body=wire.Why,
    ),
    row(
        "GET /audit/events",
        auditing.events,
        "Who did what, when and why; as CSV if asked",
        "each: read on run, or in the namespace; administer for changes of access",
        results_evidence.AuditPage,
        query=wire.AuditQuery,
    ),
    row(
        "GET /audit/verify",
        evidence.verify,
        "Check a run, the runs of a flow, or everything; 200 also if it does not hold",
        "read on run, in namespace, or everywhere",
        results_evidence.Verification,
        query=wire.WhatToVerify,
        problems=(404, 409),
    ),
)
