"""The one table of routes. The server, the OpenAPI document, the reference page and the permission matrix are
made from it. A row is explained in `route.py`.
"""

from __future__ import annotations

from typing import Any, Final

from runnotary.api import approvals, batches, flows, home, people, records, results, runs, wire
from runnotary.api import results_access as access
from runnotary.api.route import (
    ADMIN,
    ADMIN_HERE,
    BYTES,
    BYTES_OF,
    FEED,
    HTML,
    KNOWN,
    NDJSON,
    NOTHING,
    PART,
    READ,
    READ_HERE,
    READ_SOMEWHERE,
    RUN,
    START_HERE,
    STARTED,
    STARTING,
    TEXT,
    WHY,
    ZIP,
)
from runnotary.api.route import row as _row
from runnotary.api.routes_of_log import OF_LOG
from runnotary.engine.requests import Changes

OF_RUNS: Final = (
    _row("GET /runs", runs.list_runs, "List runs", KNOWN, results.RunPage, query=wire.ListRuns, problems=()),
    _row("POST /runs", runs.start, "Start a run of a flow or a definition", START_HERE, STARTED, **STARTING),
    _row(
        "GET /runs/{run}",
        runs.show,
        "Show a run",
        READ,
        {200: RUN, 304: None},
        headers=("prefer", "if-none-match"),
    ),
    _row(
        "PATCH /runs/{run}",
        runs.update,
        "Change label, tags, labels, monitors or managers",
        "update on run",
        body=Changes,
        headers=("if-match",),
        problems=(404, 409, 412),
    ),
    _row(
        "POST /runs/{run}/cancel",
        runs.cancel,
        "Ask for the end of a run",
        "cancel on run",
        {200: RUN, 202: RUN},
        body=wire.CancelBody,
    ),
    _row(
        "POST /runs/{run}/resume",
        runs.resume,
        "Go on with an interrupted run",
        "resume on run",
        body=wire.Body,
    ),
    _row(
        "POST /runs/{run}/rerun",
        runs.rerun,
        "Start a run like this one",
        "read on run, start in namespace",
        STARTED,
        body=wire.Body,
        headers=("idempotency-key", "prefer"),
    ),
    _row("POST /runs/{run}/archive", runs.archive, "Take it off the lists", "archive on run", **WHY),
    _row("POST /runs/{run}/unarchive", runs.unarchive, "Put a run back", "archive on run", **WHY),
    _row("POST /runs/{run}/hold", runs.hold, "Protect a run from being purged", "hold on run", **WHY),
    _row("POST /runs/{run}/release-hold", runs.release_hold, "End the protection", "hold on run", **WHY),
    _row(
        "POST /runs/{run}/purge",
        runs.purge,
        "Erase what an ended run holds",
        "purge on run",
        results.Purged,
        **WHY,
    ),
    _row(
        "POST /runs/{run}/erase",
        runs.erase,
        "Erase what the events of an ended run say; their envelopes stay",
        "purge on run",
        results.Emptied,
        **WHY,
    ),
    _row(
        "POST /runs:archive",
        runs.archive_many,
        "Archive ended runs by filter and age",
        "each: archive on run",
        results.Swept,
        body=wire.Sweep,
    ),
    _row(
        "POST /runs:purge",
        runs.purge_many,
        "Purge ended runs by filter and age",
        "each: purge on run",
        results.Swept,
        body=wire.Sweep,
    ),
)

OF_BATCHES: Final = tuple(
    _row(
        f"POST /runs:batch-{word}",
        handler,
        f"{word.capitalize()} many runs",
        f"each: {needs}",
        results.BatchResults,
        body=body,
        problems=(),
        headers=("idempotency-key", "traceparent") if word == "start" else (),
    )
    for word, handler, needs, body in (
        ("start", batches.start, START_HERE, wire.BatchStart),
        ("get", batches.get, READ, wire.BatchGet),
        ("cancel", batches.cancel, "cancel on run", wire.BatchCancel),
        ("update", batches.update, "update on run", wire.BatchUpdate),
    )
)

OF_RECORDS: Final = (
    _row("GET /runs/{run}/logs", records.logs, "What happened", READ, results.EntryPage, query=wire.Page),
    _row("GET /runs/{run}/tasks", records.tasks, "Its tasks with all attempts", READ, results.TaskList),
    _row(
        "GET /runs/{run}/tasks/{task}",
        records.task,
        "One task, by id, key or step",
        READ,
        results.TaskDocument,
        query=wire.OfTask,
    ),
    *(
        _row(
            f"GET /runs/{{run}}/tasks/{{task}}/{stream}",
            handler,
            f"What a task wrote to {stream}",
            READ,
            PART,
            query=wire.OfStream,
            media=TEXT,
            **BYTES_OF,
        )
        for stream, handler in (("stdout", records.stdout), ("stderr", records.stderr))
    ),
    _row("GET /runs/{run}/files", records.files, "Its files", READ, results.FileList),
    _row(
        "GET /runs/{run}/files/{name:path}",
        records.file,
        "The content of a file: an output, a path, TASK/PATH, ROLE/NAME or a digest",
        READ,
        PART,
        media=BYTES,
        **BYTES_OF,
    ),
    _row(
        "GET /runs/{run}/lineage",
        records.lineage,
        "What came from what in a run",
        READ,
        results.Lineage,
        query=wire.AsGraph,
        also=(TEXT,),
    ),
    _row(
        "GET /lineage",
        records.across,
        "Which runs made a file and which used it, and on from there",
        KNOWN,
        results.LineageAcross,
        query=wire.OfContent,
        also=(TEXT,),
        problems=(),
    ),
    _row(
        "GET /runs/{run}/export",
        records.export,
        "A run as a file: a bundle that verifies anywhere, or in other people's forms",
        READ,
        bytes,
        query=wire.AsFile,
        media=ZIP,
        also=(NDJSON, HTML),
        problems=(404, 409, 412),
    ),
    _row("GET /runs/{run}/audit", records.audit, "Every event", READ, results.Audit, query=wire.AfterSeq),
    _row("GET /runs/{run}/events", records.run_events, "Events as they happen", READ, bytes, **FEED),
    _row(
        "GET /events",
        records.all_events,
        "Events of all runs as they happen",
        KNOWN,
        bytes,
        problems=(),
        **FEED,
    ),
    _row(
        "POST /blobs",
        records.put_blob,
        "Keep bytes under their hash",
        START_HERE,
        {201: results.BlobDocument},
        query=wire.InNamespace,
        body=bytes,
        problems=(),
    ),
    _row(
        "GET /blobs/{hash:hash}",
        records.blob,
        "Bytes by their hash",
        READ_SOMEWHERE,
        PART,
        media=BYTES,
        **BYTES_OF,
    ),
)

OF_APPROVALS: Final = (
    _row(
        "GET /approvals",
        approvals.listing,
        "What waits for people; of one run also what is decided",
        KNOWN,
        results.ApprovalPage,
        query=wire.ListApprovals,
    ),
    _row(
        "GET /runs/{run}/tasks/{task}/approval",
        approvals.show,
        "A request, what it shows, and who answered what",
        READ,
        results.Approval,
    ),
    *(
        _row(
            f"POST /runs/{{run}}/tasks/{{task}}/{verb}",
            getattr(approvals, verb),
            summary,
            "approve on run, or named in the request",
            results.Approval,
            body=wire.AnswerBody,
        )
        for verb, summary in (("approve", "Approve what a step asks for"), ("reject", "Refuse it"))
    ),
)

IN_NAMESPACE: Final[dict[str, Any]] = {"query": wire.InNamespace}
OF_FLOWS: Final = (
    _row("GET /flows", flows.list_flows, "List flows", READ_HERE, results.FlowList, query=wire.ListFlows),
    _row(
        "POST /flows",
        flows.register,
        "Let a flow's name mean a definition",
        "register in namespace",
        {201: results.FlowDocument},
        body=wire.FlowBody,
        **IN_NAMESPACE,
    ),
    _row(
        "GET /flows/{flow}",
        flows.show,
        "What a flow's name means",
        READ_HERE,
        results.FlowDocument,
        **IN_NAMESPACE,
    ),
    _row(
        "GET /flows/{flow}/versions",
        flows.versions,
        "What a flow's name ever meant",
        READ_HERE,
        results.VersionList,
        **IN_NAMESPACE,
    ),
    _row(
        "GET /flows/{flow}/diff",
        flows.diff,
        "What changed between two versions of a flow",
        READ_HERE,
        results.FlowDiff,
        query=wire.Versions,
        problems=(404,),
    ),
    _row("POST /flows/{flow}/runs", runs.start_flow, "Start a flow", START_HERE, STARTED, **STARTING),
    _row(
        "GET /definitions/{hash:hash}",
        flows.definition,
        "A definition by its hash",
        READ_SOMEWHERE,
        results.Definition,
    ),
    _row(
        "POST /definitions/{hash:hash}/runs",
        runs.start_definition,
        "Start a definition",
        START_HERE,
        STARTED,
        **STARTING,
    ),
)

OF_PEOPLE: Final = (
    _row("GET /whoami", people.whoami, "Who you are here", KNOWN, access.Whoami, problems=()),
    _row(
        "GET /namespaces",
        people.namespaces,
        "List namespaces",
        KNOWN,
        access.NamespaceList,
        problems=(),
    ),
    _row(
        "POST /namespaces",
        people.create_namespace,
        "Make a namespace",
        ADMIN,
        {201: access.NamespaceDocument},
        body=wire.NamespaceBody,
    ),
    _row(
        "GET /namespaces/{namespace}",
        people.namespace,
        "Show a namespace; to an admin, with its roles",
        "any right in namespace",
        access.NamespaceDocument,
    ),
    _row(
        "GET /namespaces/{namespace}/audit",
        people.history,
        "Every change of access to it",
        ADMIN_HERE,
        access.AccessHistory,
    ),
    _row(
        "PUT /namespaces/{namespace}/roles/{principal}",
        people.grant,
        "Give a principal a role",
        ADMIN_HERE,
        access.RolesDocument,
        body=wire.RoleBody,
    ),
    _row(
        "DELETE /namespaces/{namespace}/roles/{principal}",
        people.revoke,
        "Take a role away, or all of them",
        ADMIN_HERE,
        access.RolesDocument,
        query=wire.ByRole,
    ),
    _row("GET /groups", people.groups, "List groups", KNOWN, access.GroupList, problems=()),
    _row(
        "PUT /groups/{group}",
        people.set_group,
        "Let a group consist of exactly these",
        ADMIN,
        access.GroupDocument,
        body=wire.GroupBody,
    ),
    _row("GET /tokens", people.tokens, "List tokens", KNOWN, access.TokenList, problems=()),
    _row(
        "POST /tokens",
        people.create_token,
        "Make a token; its secret is in this answer only",
        KNOWN,
        {201: access.NewToken},
        body=wire.TokenBody,
    ),
    _row(
        "DELETE /tokens/{token}",
        people.revoke_token,
        "End a token",
        KNOWN,
        access.TokenDocument,
        query=wire.Because,
    ),
)

OF_HOME: Final = (
    _row("GET /health", home.health, "Whether runs are accepted", NOTHING, results.Health, problems=()),
    _row("GET /openapi.json", home.openapi, "This document", NOTHING, dict[str, Any], problems=()),
    _row("GET /metrics", home.metrics, "Counts and durations for Prometheus", KNOWN, bytes, media=TEXT),
)

ROUTES: Final = (*OF_RUNS, *OF_BATCHES, *OF_RECORDS, *OF_APPROVALS, *OF_FLOWS, *OF_LOG, *OF_PEOPLE, *OF_HOME)
