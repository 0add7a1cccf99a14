"""Requests about runs: start, look, change, end, put away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from runnotary.client.request import Answer, Request, get, key_header, segment, send
from runnotary.client.results import LogPage, Run, RunPage, Sweep, json_of, one_of
from runnotary.client.words import RunChanges, RunFilter, RunWords, run_body

Json = Any
PAGE: Final = 100


def run_of(answer: Answer) -> Run:
    """Read a run document."""
    return one_of(Run, json_of(answer.body))


def _page(answer: Answer) -> RunPage:
    return one_of(RunPage, json_of(answer.body))


def _log_page(answer: Answer) -> LogPage:
    return one_of(LogPage, json_of(answer.body))


def _sweep(answer: Answer) -> Sweep:
    return one_of(Sweep, json_of(answer.body))


def start(
    flow: str, inputs: Mapping[str, Json] | None, said: RunWords, key: str, *, definition: str = ""
) -> Request[Run]:
    """Start a run; the key makes it one run however often the request is sent.

    `definition` is the hash of what the flow's name shall mean in this run, whatever it means by then.
    """
    words: dict[str, Json] = {**said, "definition": definition}
    key = str(words.pop("idempotency_key", "") or key)
    body = run_body(flow, inputs, words)
    return send("POST", "/runs", run_of, body, headers=key_header(key), repeatable=True)


def show(run_id: str, wait: int = 0) -> Request[Run]:
    """Ask for a run; with `wait`, the server answers when it is over, or after so many seconds."""
    headers = {"prefer": f"wait={wait}"} if wait else {}
    return get(f"/runs/{segment(run_id)}", run_of, headers=headers, wait=wait)


def listing(
    filters: RunFilter, *, limit: int = PAGE, offset: int = 0, cursor: str | None = None, total: bool = False
) -> Request[RunPage]:
    """Ask for a page of runs."""
    params = {**filters, "limit": limit, "offset": offset or None, "cursor": cursor, "total": total or None}
    return get("/runs", _page, params=params)


def update(run_id: str, changes: RunChanges, if_match: str = "") -> Request[Run]:
    """Change what may be changed; with `if_match`, only if nothing happened to the run since.

    Without it the same change twice is one change. With it, a second try would be refused for the first.
    """
    headers = {"if-match": if_match} if if_match else {}
    path = f"/runs/{segment(run_id)}"
    return send("PATCH", path, run_of, dict(changes), headers=headers, repeatable=not if_match)


def cancel(run_id: str, *, reason: str, grace_ms: int, force: bool) -> Request[Run]:
    """Ask for the end of a run."""
    document = {"reason": reason, "grace_ms": grace_ms, "force": force}
    return act(run_id, "cancel", document)


def act(run_id: str, verb: str, document: Mapping[str, Json], *, repeatable: bool = True) -> Request[Run]:
    """Do something with a run that is done once, however often it is asked for."""
    return send("POST", f"/runs/{segment(run_id)}/{verb}", run_of, document, repeatable=repeatable)


def rerun(run_id: str, key: str) -> Request[Run]:
    """Start a new run of the same definition on the same inputs."""
    path = f"/runs/{segment(run_id)}/rerun"
    return send("POST", path, run_of, {}, headers=key_header(key), repeatable=True)


def purge(run_id: str, reason: str) -> Request[Json]:
    """Erase what a run holds; its place in the log stays."""
    document = {"reason": reason}
    return send("POST", f"/runs/{segment(run_id)}/purge", lambda answer: json_of(answer.body), document)


def erase(run_id: str, reason: str) -> Request[Json]:
    """Erase what the events of a run say; their envelopes stay."""
    document = {"reason": reason}
    return send("POST", f"/runs/{segment(run_id)}/erase", lambda answer: json_of(answer.body), document)


def sweep(verb: str, filters: RunFilter, *, older_than: str, reason: str, dry_run: bool) -> Request[Sweep]:
    """Archive or purge every run that the filter shows and that ended long enough ago."""
    document = {**filters, "older_than": older_than, "reason": reason, "dry_run": dry_run}
    return send("POST", f"/runs:{verb}", _sweep, document, repeatable=True)


def logs(run_id: str, limit: int, offset: int = 0, cursor: str | None = None) -> Request[LogPage]:
    """Ask for a page of a run's log."""
    params = {"limit": limit, "offset": offset or None, "cursor": cursor}
    return get(f"/runs/{segment(run_id)}/logs", _log_page, params=params)
