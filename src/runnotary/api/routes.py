"""The one table of routes. The server, the OpenAPI document, the reference page and the permission matrix are
made from it.

`needs` says what the caller must be granted: an action on the run, in the namespace of the call, or in
`somewhere`; `known` is anybody with credentials that count, `nothing` is everybody. It tells; the operations
decide.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import msgspec

from runnotary.api import batches, flows, home, people, records, results, runs, wire
from runnotary.api.call import Handler
from runnotary.engine.requests import Changes, RunRequest

API: Final = "/api/v1"
JSON: Final = "application/json"
BYTES: Final = "application/octet-stream"
TEXT: Final = "text/plain"
EVENTS: Final = "text/event-stream"


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One row.

    `answers` are the statuses of success with the type of their document; `problems` the statuses that a
    refusal may have beside those of every route. A handler that is no coroutine runs in a thread.
    """

    verb: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    handler: Handler
    summary: str
    needs: str
    query: type[msgspec.Struct] = wire.Query
    body: type[Any] | None = None
    answers: dict[int, Any]
    problems: tuple[int, ...] = ()
    media: str = JSON
    headers: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The operation's name, unlike any other's."""
        return f"{self.handler.__module__.rpartition('.')[2]}_{self.handler.__name__.lstrip('_')}"


def _run(verb: Any, below: str, handler: Handler, summary: str, needs: str, **words: Any) -> Route:
    words.setdefault("answers", {200: results.RunDocument})
    problems = (404, 409) if verb != "GET" else (404,)
    words.setdefault("problems", problems)
    return Route(
        verb=verb, path=f"{API}/runs/{{run}}{below}", handler=handler, summary=summary, needs=needs, **words
    )


def _why(below: str, handler: Handler, summary: str, needs: str, answer: Any = results.RunDocument) -> Route:
    return _run("POST", below, handler, summary, needs, body=wire.Why, answers={200: answer})


STARTED: Final = {200: results.RunDocument, 201: results.RunDocument, 202: results.RunDocument}
WAITING: Final = ("prefer",)
STARTING: Final = ("idempotency-key", "prefer")

OF_RUNS: Final = (
    Route(
        verb="GET",
        path=f"{API}/runs",
        handler=runs.list_runs,
        summary="List runs, newest first",
        needs="read in somewhere",
        query=wire.ListRuns,
        answers={200: results.RunPage},
    ),
    Route(
        verb="POST",
        path=f"{API}/runs",
        handler=runs.start,
        summary="Start a run of a flow or a definition",
        needs="start in namespace",
        query=wire.InNamespace,
        body=RunRequest,
        answers=STARTED,
        problems=(404, 409),
        headers=STARTING,
    ),
    _run(
        "GET",
        "",
        runs.show,
        "Show a run",
        "read on run",
        headers=(*WAITING, "if-none-match"),
        answers={200: results.RunDocument, 304: None},
    ),
    _run(
        "PATCH",
        "",
        runs.update,
        "Change label, tags, labels, monitors or managers",
        "update on run",
        body=Changes,
        headers=("if-match",),
        problems=(404, 409, 412),
    ),
    _run(
        "POST",
        "/cancel",
        runs.cancel,
        "Ask for the end of a run",
        "cancel on run",
        body=wire.CancelBody,
        answers={200: results.RunDocument, 202: results.RunDocument},
    ),
    _why("/resume", runs.resume, "Go on with an interrupted run", "resume on run"),
    _why("/archive", runs.archive, "Take an ended run off the lists", "archive on run"),
    _why("/unarchive", runs.unarchive, "Put a run back on the lists", "archive on run"),
    _why("/hold", runs.hold, "Protect a run from being purged", "hold on run"),
    _why("/release-hold", runs.release_hold, "Let a run be purged again", "hold on run"),
    _why("/purge", runs.purge, "Erase what an ended run holds", "purge on run", results.Purged),
    Route(
        verb="POST",
        path=f"{API}/runs:archive",
        handler=runs.archive_many,
        summary="Archive ended runs by filter and age",
        needs="archive in namespace",
        body=wire.Sweep,
        answers={200: results.Swept},
        problems=(404, 409),
    ),
    Route(
        verb="POST",
        path=f"{API}/runs:purge",
        handler=runs.purge_many,
        summary="Purge ended runs by filter and age",
        needs="purge in namespace",
        body=wire.Sweep,
        answers={200: results.Swept},
        problems=(404, 409),
    ),
)

OF_BATCHES: Final = tuple(
    Route(
        verb="POST",
        path=f"{API}/runs:batch-{word}",
        handler=handler,
        summary=summary,
        needs=needs,
        body=body,
        answers={200: results.BatchResults},
        headers=("idempotency-key",) if word == "start" else (),
    )
    for word, handler, summary, needs, body in (
        ("start", batches.start, "Start many runs", "each: start in namespace", wire.BatchStart),
        ("get", batches.get, "Show many runs", "each: read on run", wire.BatchGet),
        ("cancel", batches.cancel, "Cancel many runs", "each: cancel on run", wire.BatchCancel),
        ("update", batches.update, "Change many runs", "each: update on run", wire.BatchUpdate),
    )
)

OF_RECORDS: Final = (
    _run(
        "GET",
        "/logs",
        records.logs,
        "What happened, entry by entry",
        "read on run",
        query=wire.Page,
        answers={200: results.EntryPage},
    ),
    _run(
        "GET",
        "/tasks",
        records.tasks,
        "Its tasks with all attempts",
        "read on run",
        answers={200: results.TaskList},
    ),
    _run(
        "GET",
        "/tasks/{task}",
        records.task,
        "One task, by id, key or step",
        "read on run",
        query=wire.OfTask,
        answers={200: results.TaskDocument},
    ),
    *(
        _run(
            "GET",
            f"/tasks/{{task}}/{stream}",
            handler,
            f"What a task wrote to {stream}",
            "read on run",
            query=wire.OfStream,
            answers={200: bytes, 206: bytes},
            problems=(404, 416),
            media=TEXT,
            headers=("range",),
        )
        for stream, handler in (("stdout", records.stdout), ("stderr", records.stderr))
    ),
    _run("GET", "/files", records.files, "Its files", "read on run", answers={200: results.FileList}),
    _run(
        "GET",
        "/files/{name:path}",
        records.file,
        "The content of one file",
        "read on run",
        answers={200: bytes, 206: bytes},
        problems=(404, 416),
        media=BYTES,
        headers=("range",),
    ),
    _run(
        "GET",
        "/lineage",
        records.lineage,
        "Which file came from which",
        "read on run",
        answers={200: results.Lineage},
    ),
    _run("GET", "/audit", records.audit, "Every event", "read on run", answers={200: results.Audit}),
    _run(
        "GET",
        "/events",
        records.run_events,
        "Events as they happen",
        "read on run",
        query=wire.After,
        answers={200: bytes},
        media=EVENTS,
        headers=("last-event-id",),
    ),
    Route(
        verb="GET",
        path=f"{API}/events",
        handler=records.all_events,
        summary="Events of all runs as they happen",
        needs="read in somewhere",
        query=wire.After,
        answers={200: bytes},
        media=EVENTS,
        headers=("last-event-id",),
    ),
    Route(
        verb="POST",
        path=f"{API}/blobs",
        handler=records.put_blob,
        summary="Keep bytes under their hash",
        needs="start in namespace",
        query=wire.InNamespace,
        body=bytes,
        answers={201: results.BlobDocument},
    ),
    Route(
        verb="GET",
        path=f"{API}/blobs/{{hash:hash}}",
        handler=records.blob,
        summary="Bytes by their hash",
        needs="read in somewhere",
        answers={200: bytes, 206: bytes},
        problems=(404, 416),
        media=BYTES,
        headers=("range",),
    ),
)

OF_FLOWS: Final = (
    Route(
        verb="GET",
        path=f"{API}/flows",
        handler=flows.list_flows,
        summary="List flows",
        needs="read in namespace",
        query=wire.ListFlows,
        answers={200: results.FlowList},
    ),
    Route(
        verb="POST",
        path=f"{API}/flows",
        handler=flows.register,
        summary="Let a flow's name mean a definition",
        needs="register in namespace",
        query=wire.InNamespace,
        body=wire.FlowBody,
        answers={201: results.FlowDocument},
        problems=(409,),
    ),
    Route(
        verb="GET",
        path=f"{API}/flows/{{flow}}",
        handler=flows.show,
        summary="What a flow's name means",
        needs="read in namespace",
        query=wire.InNamespace,
        answers={200: results.FlowDocument},
        problems=(404,),
    ),
    Route(
        verb="GET",
        path=f"{API}/flows/{{flow}}/versions",
        handler=flows.versions,
        summary="What a flow's name ever meant",
        needs="read in namespace",
        query=wire.InNamespace,
        answers={200: results.VersionList},
        problems=(404,),
    ),
    Route(
        verb="POST",
        path=f"{API}/flows/{{flow}}/runs",
        handler=runs.start_flow,
        summary="Start a run of a flow",
        needs="start in namespace",
        query=wire.InNamespace,
        body=RunRequest,
        answers=STARTED,
        problems=(404, 409),
        headers=STARTING,
    ),
    Route(
        verb="GET",
        path=f"{API}/definitions/{{hash:hash}}",
        handler=flows.definition,
        summary="A definition by its hash",
        needs="read in somewhere",
        answers={200: results.Definition},
        problems=(404,),
    ),
    Route(
        verb="POST",
        path=f"{API}/definitions/{{hash:hash}}/runs",
        handler=runs.start_definition,
        summary="Start a run of a definition",
        needs="start in namespace",
        query=wire.InNamespace,
        body=RunRequest,
        answers=STARTED,
        problems=(404, 409),
        headers=STARTING,
    ),
)

OF_PEOPLE: Final = (
    Route(
        verb="GET",
        path=f"{API}/whoami",
        handler=people.whoami,
        summary="Who the server takes you for",
        needs="known",
        answers={200: results.Whoami},
    ),
    Route(
        verb="GET",
        path=f"{API}/namespaces",
        handler=people.namespaces,
        summary="List namespaces",
        needs="known",
        answers={200: results.NamespaceList},
    ),
    Route(
        verb="POST",
        path=f"{API}/namespaces",
        handler=people.create_namespace,
        summary="Make a namespace",
        needs="administer everywhere",
        body=wire.NamespaceBody,
        answers={201: results.NamespaceDocument},
        problems=(409,),
    ),
    Route(
        verb="GET",
        path=f"{API}/namespaces/{{namespace}}",
        handler=people.namespace,
        summary="Show a namespace, its roles for an admin",
        needs="any right in namespace",
        answers={200: results.NamespaceDocument},
        problems=(404,),
    ),
    Route(
        verb="GET",
        path=f"{API}/namespaces/{{namespace}}/audit",
        handler=people.history,
        summary="Every change of access to a namespace",
        needs="administer in namespace",
        answers={200: results.AccessHistory},
        problems=(404,),
    ),
    Route(
        verb="PUT",
        path=f"{API}/namespaces/{{namespace}}/roles/{{principal}}",
        handler=people.grant,
        summary="Give a principal a role",
        needs="administer in namespace",
        body=wire.RoleBody,
        answers={200: results.RolesDocument},
        problems=(404, 409),
    ),
    Route(
        verb="DELETE",
        path=f"{API}/namespaces/{{namespace}}/roles/{{principal}}",
        handler=people.revoke,
        summary="Take a role away, or all of them",
        needs="administer in namespace",
        query=wire.ByRole,
        answers={200: results.RolesDocument},
        problems=(404, 409),
    ),
    Route(
        verb="GET",
        path=f"{API}/tokens",
        handler=people.tokens,
        summary="List tokens, never their secrets",
        needs="known",
        answers={200: results.TokenList},
    ),
    Route(
        verb="POST",
        path=f"{API}/tokens",
        handler=people.create_token,
        summary="Make a token; its secret is in this answer only",
        needs="known",
        body=wire.TokenBody,
        answers={201: results.NewToken},
        problems=(409,),
    ),
    Route(
        verb="DELETE",
        path=f"{API}/tokens/{{token}}",
        handler=people.revoke_token,
        summary="End a token",
        needs="known",
        query=wire.Because,
        answers={200: results.TokenDocument},
        problems=(404, 409),
    ),
    Route(
        verb="GET",
        path=f"{API}/groups",
        handler=people.groups,
        summary="List groups",
        needs="known",
        answers={200: results.GroupList},
    ),
    Route(
        verb="PUT",
        path=f"{API}/groups/{{group}}",
        handler=people.set_group,
        summary="Let a group consist of exactly these",
        needs="administer everywhere",
        body=wire.GroupBody,
        answers={200: results.GroupDocument},
        problems=(409,),
    ),
)

OF_HOME: Final = (
    Route(
        verb="GET",
        path=f"{API}/health",
        handler=home.health,
        summary="Whether runs are accepted",
        needs="nothing",
        answers={200: results.Health},
    ),
    Route(
        verb="GET",
        path=f"{API}/openapi.json",
        handler=home.openapi,
        summary="This document",
        needs="nothing",
        answers={200: dict[str, Any]},
    ),
    Route(
        verb="GET",
        path="/metrics",
        handler=home.metrics,
        summary="Counts and durations for Prometheus",
        needs="known",
        answers={200: bytes},
        problems=(404,),
        media=TEXT,
    ),
)

ROUTES: Final = (*OF_RUNS, *OF_BATCHES, *OF_RECORDS, *OF_FLOWS, *OF_PEOPLE, *OF_HOME)
