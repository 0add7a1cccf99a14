"""The client.

Written by `tools/unasync.py` from `async_client.py`; do not edit.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from os import PathLike
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Self, TypeVar, Unpack

import httpx2

from runnotary.client import batches, flows, input_files, runs, streams
from runnotary.client.loading import FlowSource, Loaded, Loader, document_of, is_flow_file
from runnotary.client.places import place
from runnotary.client.request import Request
from runnotary.client.results import BatchResponse, Flow, LogEntry, LogPage, Run, RunEvent, RunPage, Sweep
from runnotary.client.sync_access import Access
from runnotary.client.sync_approvals import Approvals
from runnotary.client.sync_connection import Connection
from runnotary.client.sync_evidence import Evidence
from runnotary.client.sync_records import Records
from runnotary.client.waiting import Wait
from runnotary.client.words import RunChanges, RunFilter, RunRequest, RunWords
from runnotary.core.errors import RunnotaryError, Unreachable
from runnotary.core.hashing import canonical

Json = Any
E = TypeVar("E")


class Client(Records, Approvals, Evidence, Access):
    """A server of runs. Open it with `with`, or `close()` it; one may serve many threads.

    `url` and `token` default to RUNNOTARY_URL and RUNNOTARY_TOKEN, `timeout` is in seconds and for one
    request. Every call raises the errors of `runnotary.core.errors`: what the server says is wrong, or
    `Unreachable` when nobody answers.
    """

    load: Loader | None = None
    """Turns a flow file into a document and its code; who has no loader registers documents only."""

    def __init__(
        self,
        url: str | None = None,
        *,
        token: str | None = None,
        timeout: float = 30.0,
        transport: httpx2.BaseTransport | None = None,
    ) -> None:
        where = place(url, token, os.environ, here=transport is not None and url is None)
        self._connection = Connection(where, timeout=timeout, transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    # --- flows -----------------------------------------------------------------------------------

    def register_flow(
        self, flow: FlowSource, *, namespace: str = "default", name: str = "", version: str = ""
    ) -> Flow:
        """Let a flow's name mean this definition from now on; nothing happens if it already does.

        A document is registered as it is; a path names a flow file, whose code goes along.

        Raises:
            InvalidDefinition: with every problem that it has.
        """
        loaded = self._loaded(flow)
        words = {word: said for word, said in (("flow", name), ("version", version)) if said}
        request = flows.register(loaded.document, namespace, {**loaded.words, **words})
        return self._connection.ask(request)

    def _loaded(self, flow: FlowSource) -> Loaded:
        """Read a flow, and let the server have its code."""
        loaded = self._connection.beside(document_of, flow, self.load)
        for code in loaded.code:
            self.put_blob(code)
        return loaded

    def list_flows(self, *, namespace: str = "default") -> list[Flow]:
        """Return the flows of a namespace; `*` is every namespace."""
        return self._connection.ask(flows.listing(namespace))

    def get_flow(self, name: str, *, namespace: str = "default") -> Flow:
        """Return what a flow's name means now."""
        return self._connection.ask(flows.show(name, namespace))

    def flow_versions(self, name: str, *, namespace: str = "default") -> list[dict[str, Json]]:
        """Return everything that a flow's name ever meant, newest first."""
        return self._connection.ask(flows.versions(name, namespace))

    def flow_diff(
        self, name: str, was: str = "", now: str = "", *, namespace: str = "default"
    ) -> dict[str, Json]:
        """Return what changed between two versions of a flow, by label or hash: of the newest (or `now`),
        since the one before it (or `was`).
        """
        return self._connection.ask(flows.diff(name, was, now, namespace))

    def get_definition(self, definition_hash: str) -> dict[str, Json]:
        """Return a definition by its hash."""
        return dict(self._connection.ask(flows.definition(definition_hash)))

    # --- start and look --------------------------------------------------------------------------

    def run_flow(
        self,
        flow: str | PathLike[str],
        inputs: Mapping[str, Json] | None = None,
        *,
        wait: bool | float = False,
        **said: Unpack[RunWords],
    ) -> Run:
        """Start a run of a flow: its name, its definition's hash, or a flow file.

        A flow file that has a name is registered first. A `Path` among the inputs is a file, whose
        content goes along.

        However often the request has to be sent, it is one run; an `idempotency_key` of your own extends that
        to other calls. `wait=True` returns when the run is over, a number of seconds at the latest then.

        Raises:
            FlowNotFound, InvalidRunInput, PermissionDenied: no run was created.
        """
        definition = ""
        if is_flow_file(flow):
            flow, definition = self._taken_in(flow, said.get("namespace") or "default")
        given = self._with_files(inputs or {})
        request = runs.start(str(flow), given, said, self._connection.key(), definition=definition)
        run = self._connection.ask(request)
        if wait is False or run.over:
            return run
        if wait is True:
            return self.wait_for_run(run.id)
        return self._look(Wait(run.id, float(wait), float(wait)), give_up=False)

    def _taken_in(self, file: str | PathLike[str], namespace: str) -> tuple[str, str]:
        """Let the server have a flow file; return what to start, and what that shall mean."""
        loaded = self._loaded(Path(file))
        if not loaded.words.get("flow"):
            return (self.put_blob(canonical(loaded.document)))["digest"], ""
        flow = self._connection.ask(flows.register(loaded.document, namespace, loaded.words))
        return flow.flow or "", flow.definition_hash

    def _with_files(self, given: Mapping[str, Json]) -> dict[str, Json]:
        blobs = {}
        for path in dict.fromkeys(input_files.paths(given)):
            blobs[path] = self.put_blob(path)
        return {name: input_files.kept(value, blobs) for name, value in given.items()}

    def get_run(self, run_id: str) -> Run:
        """Return a run, by its id, the beginning of it, or `@latest`.

        Raises:
            RunNotFound: there is none, or none that we may see.
        """
        return self._connection.ask(runs.show(run_id))

    def list_runs(
        self,
        *,
        limit: int = runs.PAGE,
        offset: int = 0,
        cursor: str | None = None,
        total: bool = False,
        **filters: Unpack[RunFilter],
    ) -> RunPage:
        """Return a page of runs, newest first; go on with `cursor=page.next_cursor` while `page.has_next`."""
        request = runs.listing(filters, limit=limit, offset=offset, cursor=cursor, total=total)
        return self._connection.ask(request)

    def iter_runs(self, *, limit: int = runs.PAGE, **filters: Unpack[RunFilter]) -> Iterator[Run]:
        """Yield runs, newest first. `limit` is how many are fetched at a time, when they are needed."""
        page = self._connection.ask(runs.listing(filters, limit=limit))
        while True:
            yield from page.runs
            if not (page.has_next and page.next_cursor):
                return
            page = self._connection.ask(runs.listing(filters, limit=limit, cursor=page.next_cursor))

    def list_all_runs(self, *, limit: int = 1000, **filters: Unpack[RunFilter]) -> list[Run]:
        """Return all runs that the filters show."""
        return list(self.iter_runs(limit=limit, **filters))

    # --- change and end --------------------------------------------------------------------------

    def update_run(self, run_id: str, *, if_match: str = "", **changes: Unpack[RunChanges]) -> Run:
        """Change what may be changed about a run: label, tags, labels, monitors, managers.

        Raises:
            Conflict: something happened to the run since `if_match` (`run.etag`) was read.
        """
        return self._connection.ask(runs.update(run_id, changes, if_match))

    def cancel_run(
        self, run_id: str, *, reason: str = "", grace_ms: int = 10_000, force: bool = False
    ) -> Run:
        """Ask for the end of a run. It may still be ending on return; a cancelled run is no error.

        Raises:
            AlreadyEnded: it has ended in another way.
        """
        return self._connection.ask(runs.cancel(run_id, reason=reason, grace_ms=grace_ms, force=force))

    def resume_run(self, run_id: str) -> Run:
        """Go on with an interrupted run."""
        return self._connection.ask(runs.act(run_id, "resume", {}))

    def rerun_run(self, run_id: str, *, idempotency_key: str = "") -> Run:
        """Start a new run of the same definition on the same inputs; its `previous_run` is the old one."""
        return self._connection.ask(runs.rerun(run_id, idempotency_key or self._connection.key()))

    def archive_run(self, run_id: str, *, reason: str = "") -> Run:
        """Take a run that is over out of the listings; it is kept and still verifies."""
        return self._connection.ask(runs.act(run_id, "archive", {"reason": reason}))

    def unarchive_run(self, run_id: str, *, reason: str = "") -> Run:
        """Bring an archived run back into the listings."""
        return self._connection.ask(runs.act(run_id, "unarchive", {"reason": reason}))

    def hold_run(self, run_id: str, *, reason: str) -> Run:
        """Keep a run from being purged."""
        return self._connection.ask(runs.act(run_id, "hold", {"reason": reason}))

    def release_hold(self, run_id: str, *, reason: str = "") -> Run:
        """Let a run be purged again."""
        return self._connection.ask(runs.act(run_id, "release-hold", {"reason": reason}))

    def purge_run(self, run_id: str, *, reason: str) -> dict[str, Json]:
        """Erase what a run holds, for ever; that it was there stays on record.

        Raises:
            Conflict: it is not over, or held.
        """
        return dict(self._connection.ask(runs.purge(run_id, reason)))

    def erase_run(self, run_id: str, *, reason: str) -> dict[str, Json]:
        """Erase what the events of a run say, its files included; that they were, and when, can be proven.

        Raises:
            Conflict: it is not over, or held.
        """
        return dict(self._connection.ask(runs.erase(run_id, reason)))

    def archive_runs(
        self, *, older_than: str, reason: str = "", dry_run: bool = False, **filters: Unpack[RunFilter]
    ) -> Sweep:
        """Archive every run that ended longer ago than `older_than` (`30d`, `12h`)."""
        request = runs.sweep("archive", filters, older_than=older_than, reason=reason, dry_run=dry_run)
        return self._connection.ask(request)

    def purge_runs(
        self, *, older_than: str, reason: str = "", dry_run: bool = False, **filters: Unpack[RunFilter]
    ) -> Sweep:
        """Purge every run that ended longer ago than `older_than` (`90d`) and is not held."""
        request = runs.sweep("purge", filters, older_than=older_than, reason=reason, dry_run=dry_run)
        return self._connection.ask(request)

    # --- log, events, wait -----------------------------------------------------------------------

    def get_run_logs(self, run_id: str, limit: int = 100, offset: int = 0) -> LogPage:
        """Return a page of what happened in a run, from its beginning."""
        return self._connection.ask(runs.logs(run_id, limit, offset))

    def iter_run_logs(self, run_id: str, page_size: int = 50) -> Iterator[LogEntry]:
        """Yield what happened in a run, fetched a page at a time when needed."""
        page = self._connection.ask(runs.logs(run_id, page_size))
        while True:
            yield from page.entries
            if not (page.has_next and page.next_cursor):
                return
            page = self._connection.ask(runs.logs(run_id, page_size, cursor=page.next_cursor))

    def list_all_run_logs(self, run_id: str, page_size: int = 1000) -> list[LogEntry]:
        """Return everything that happened in a run."""
        return list(self.iter_run_logs(run_id, page_size))

    def follow_run(self, run_id: str, *, after: int = 0) -> Iterator[RunEvent]:
        """Yield the events of a run as they happen, each once, those of the past first; ends with the run.

        A connection that breaks off, or a server that is restarted, is no interruption.
        """
        following = streams.Following(streams.of_run(run_id), after)
        with closing(self._connection.events(following)) as arriving:
            yield from arriving

    def follow_all(self, *, after: streams.After = 0) -> Iterator[RunEvent]:
        """Yield the events of all runs that we may see, as they happen; never ends by itself.

        `after` is the `id` of an event, 0 for the beginning, or `latest` for what happens from now on.
        """
        following = streams.Following(streams.of_all(), after)
        with closing(self._connection.events(following)) as arriving:
            yield from arriving

    def wait_for_run(self, run_id: str, poll_interval: float = 5.0, timeout: float | None = None) -> Run:
        """Return a run when it is over. `poll_interval` and `timeout` are in seconds; without one, for ever.

        The server answers the moment the run ends; the interval is how often it is asked again. A server that
        is being restarted is waited for.

        Raises:
            WaitTimeout: the run is not over in time; it goes on.
        """
        return self._look(Wait(run_id, poll_interval, timeout), give_up=True)

    def _look(self, wait: Wait, *, give_up: bool) -> Run:
        began = monotonic()
        while True:
            asked = monotonic() - began
            try:
                run = self._connection.ask_once(runs.show(wait.run_id, wait.hold(asked)))
            except Unreachable as failure:
                self._connection.sleep(wait.away(failure, monotonic() - began))
                continue
            if run.over or (wait.up(monotonic() - began) and not give_up):
                return run
            self._connection.sleep(wait.pause(run, asked, monotonic() - began))

    # --- many at once ----------------------------------------------------------------------------

    def batch_run_flows(
        self, requests: Sequence[RunRequest | Mapping[str, Json]], concurrency: int = batches.CONCURRENCY
    ) -> BatchResponse:
        """Start many runs, `concurrency` at a time; the results are in the order asked.

        However often a request has to be sent, each entry is one run.
        """
        key = self._connection.key()

        def part(entries: Sequence[RunRequest | Mapping[str, Json]], number: int) -> Request[BatchResponse]:
            return batches.start(entries, concurrency, f"{key}-{number}")

        return self._in_parts(requests, part, lambda _: None)

    def batch_get_runs(self, run_ids: Sequence[str], concurrency: int = batches.CONCURRENCY) -> BatchResponse:
        """Return many runs, in the order asked. A server reads them at once, whatever `concurrency` says."""
        return self._in_parts(run_ids, lambda part, _: batches.get(part), str)

    def batch_cancel_runs(
        self, run_ids: Sequence[str], concurrency: int = batches.CONCURRENCY, *, reason: str = ""
    ) -> BatchResponse:
        """Ask for the end of many runs, `concurrency` at a time."""
        return self._in_parts(run_ids, lambda part, _: batches.cancel(part, reason, concurrency), str)

    def batch_update_runs(
        self, updates: Sequence[Mapping[str, Json]], concurrency: int = batches.CONCURRENCY
    ) -> BatchResponse:
        """Change many runs: each entry has the `id` of a run and what is to be said about it."""
        return self._in_parts(
            updates, lambda part, _: batches.update(part, concurrency), lambda one: str(one.get("id"))
        )

    def _in_parts(
        self,
        entries: Sequence[E],
        made: Callable[[Sequence[E], int], Request[BatchResponse]],
        name: Callable[[E], str | None],
    ) -> BatchResponse:
        gathered = batches.Gathered()
        for number, part in enumerate(batches.parts(entries)):
            try:
                gathered.add(self._connection.ask(made(part, number)))
            except RunnotaryError as error:
                gathered.add_failure([name(one) for one in part], error)
        return gathered.response()
