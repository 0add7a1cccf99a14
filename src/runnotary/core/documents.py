"""What a run looks like from outside: rows for the read tables, documents for people and programs.

Everything here is derived. `rows` is a function of the folded state, so `verify` makes it again and
compares; documents are functions of rows and events and are never stored. Field names are the product's
interface: design §4, and nothing is ever invented to fill one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

import msgspec

from runnotary.core import asked
from runnotary.core import events as ev
from runnotary.core.chain import Recorded
from runnotary.core.evidence import blobs_in_value
from runnotary.core.flow import Flow
from runnotary.core.hashing import digest_bytes
from runnotary.core.ids import attempt_id, from_text, task_id, to_text
from runnotary.core.rows import KeyRow, Row, RunRow, TaskRow, UseRow
from runnotary.core.run import Run, Task, split_key
from runnotary.core.states import State
from runnotary.core.times import maybe
from runnotary.core.times import to_text as time_text

Json = Any
_encode: Final = msgspec.json.Encoder(order="sorted").encode


def rows(run: Run, keys: Iterable[str] | None = None) -> tuple[Row, ...]:
    """Return the rows of a run and of these tasks (of all tasks if none are named)."""
    chosen = run.tasks if keys is None else sorted(keys)
    return (run_row(run), *(task_row(run, run.tasks[key]) for key in chosen))


def run_row(run: Run) -> RunRow:
    """Return the row of `runs`."""
    created = run.created
    assert created is not None
    finished = run.finished
    return RunRow(
        id=run.id,
        namespace=created.namespace,
        flow=created.flow,
        flow_id=created.flow_id,
        definition=created.definition,
        kind=created.kind,
        status=run.state.value,
        reason=finished.reason if finished else "",
        trigger=created.trigger.kind,
        created_by=created.by.principal,
        owner=created.owner,
        label=run.label,
        tags=_json(run.tags),
        labels=_json(run.labels),
        monitors=_json(run.monitors),
        managers=_json(run.managers),
        parent=_raw(created.parent),
        root=_raw(created.root) or run.id,
        created_at=run.created_at,
        started_at=run.started_at,
        ended_at=run.ended_at,
        cancel_requested_at=run.cancel_at,
        progress=_json(_progress(run)),
        error=_json(finished.error) if finished and finished.error else "",
        counts=_json({state.value: count for state, count in run.counts.items() if count}),
        seq=run.seq,
        archived_at=run.archived_at,
        held=run.held,
    )


def key_rows(run: Run) -> tuple[KeyRow, ...]:
    """Return the row of `keys`, if the client gave the run a key of its own. It never changes."""
    created = run.created
    if created is None or not created.key:
        return ()
    return (KeyRow(created.by.principal, created.key, run.id, digest_bytes(created.key_body)),)


def use_rows(run: Run, load: Callable[[str], Json]) -> tuple[UseRow, ...]:
    """Return the rows of `uses` of a run that is over: what it was given, and what its tasks made.

    What it was given it did not make, even if a task wrote it again. `load` returns the value of a blob: of
    inputs too large for their event.
    """
    created = run.created
    if created is None or run.finished is None:
        return ()
    inputs = load(created.inputs_large.blob) if created.inputs_large else created.inputs
    given = {named.digest for named in blobs_in_value(inputs)}
    made = {file.blob for task in run.tasks.values() for file in task.files.values()} - given
    return tuple(UseRow(digest_bytes(blob), run.id, int(blob in made)) for blob in sorted(given | made))


def _progress(run: Run) -> Json:
    """Return the share of steps that are over, in percent: the one progress that needs no guess."""
    total = len(run.flow.steps)
    over = total - run.left[False] - run.left[True]
    return {"pct": 100 * over // total if total else 100, "steps": total, "over": over}


def task_row(run: Run, task: Task) -> TaskRow:
    """Return the row of `tasks`."""
    return TaskRow(
        run=run.id,
        key=task.key,
        step=task.step,
        visit=task.visit,
        status=task.state.value,
        reason=task.reason,
        executor=task.executor,
        attempts=task.attempt,
        exit_code=task.exit_code,
        signal=task.signal,
        started_at=task.started_at,
        ended_at=task.ended_at,
        progress=task.progress,
        error=_json(task.error) if task.error else "",
    )


def plain(value: msgspec.Struct | None) -> Json:
    """Return a small struct as an object with all its fields, those at their default included."""
    return None if value is None else msgspec.structs.asdict(value)


def _json(value: Json) -> str:
    return _encode(value).decode()


def _raw(text: str) -> bytes | None:
    return from_text(text) if text else None


# --- the run document ------------------------------------------------------------------------------


def run_document(row: RunRow, created: ev.RunCreated, finished: ev.RunFinished | None, head: str) -> Json:
    """Return the run document (design §4) from its row, its first event and, once ended, its outcome."""
    status = State(row.status)
    return {
        "id": to_text(row.id),
        "namespace": row.namespace,
        "flow": row.flow or None,
        "flow_id": row.flow_id or None,
        "flow_title": created.title or None,
        "flow_description": created.description or None,
        "definition_hash": row.definition,
        "engine_version": created.engine,
        "durability": created.durability,
        "kind": row.kind,
        "status": row.status,
        "reason": row.reason or None,
        "trigger": {"kind": created.trigger.kind, "id": created.trigger.id or None},
        "created_by": row.created_by,
        "authenticated_by": created.by.auth,
        "owner": row.owner,
        "label": row.label or None,
        "tags": msgspec.json.decode(row.tags),
        "labels": msgspec.json.decode(row.labels),
        "monitors": msgspec.json.decode(row.monitors),
        "managers": msgspec.json.decode(row.managers),
        "inputs": created.inputs if created.inputs_large is None else None,
        "inputs_ref": created.inputs_large.blob if created.inputs_large else None,
        "source": created.source or None,
        "items": {state.value: int(state is status) * created.items for state in State}
        | {"total": created.items},
        "max_concurrency": created.max_concurrency or None,
        "overrides": {},
        "parent": {"run": created.parent, "task": created.parent_task} if created.parent else None,
        "root_run": to_text(row.root),
        "previous_run": next((link.run for link in created.links if link.rel == "previous"), None),
        "links": msgspec.to_builtins(created.links),
        "asset": None,
        "flow_kind": None,
        "input_versions": {},
        "extension": {},
        "progress": msgspec.json.decode(row.progress),
        "tasks": msgspec.json.decode(row.counts),
        **_outcome(row, finished),
        "external": None,
        "created_at": time_text(row.created_at),
        "started_at": maybe(row.started_at),
        "ended_at": maybe(row.ended_at),
        "cancel_requested_at": maybe(row.cancel_requested_at),
        "archived_at": maybe(row.archived_at),
        "held": row.held or None,
        "log": {"events": row.seq, "head": head},
    }


def _outcome(row: RunRow, finished: ev.RunFinished | None) -> dict[str, Json]:
    if finished is None:
        return {"metrics": {}, "outputs": None, "artifacts": {}, "error": None}
    return {
        "metrics": finished.metrics,
        "outputs": finished.outputs if finished.outputs_large is None else None,
        "outputs_ref": finished.outputs_large.blob if finished.outputs_large else None,
        "artifacts": {name: plain(file) for name, file in finished.artifacts.items()},
        "error": plain(finished.error),
    }


# --- task documents --------------------------------------------------------------------------------


def task_documents(
    run_id: bytes, flow: Flow, recorded: Iterable[Recorded], load: Callable[[str], Json]
) -> list[Json]:
    """Return every task with all its attempts and their evidence, steps that have not begun included.

    `load` returns the JSON value of a blob (environments, runtimes, large values).
    """
    record = TaskRecord(run_id, flow, load)
    for entry in recorded:
        record.add(entry)
    return record.documents()


class TaskRecord:
    """Collects the evidence of each task from the events that name it."""

    def __init__(self, run_id: bytes, flow: Flow, load: Callable[[str], Json]) -> None:
        self._run = run_id
        self._flow = flow
        self._load = load
        self._tasks: dict[str, dict[str, Json]] = {}

    def add(self, entry: Recorded) -> None:
        """Take in one event."""
        event = entry.event
        match event:
            case ev.TaskStarted():
                self._started(event, entry.at)
            case ev.TaskEnded():
                self._ended(event, entry.at)
            case ev.TaskReported() | ev.TaskExpanded():
                self._told(event)
            case ev.TaskWaiting():
                self._waiting(event, entry.at)
            case ev.TaskSignalled():
                self._signalled(event, entry.at)
            case ev.TaskStopping():
                self._task(event.key)["attempts"][-1]["stopping"] = event.why
            case ev.TaskSettled():
                for key in event.keys:
                    self._settled(key, event, entry.at)

    def _told(self, event: ev.TaskReported | ev.TaskExpanded) -> None:
        if isinstance(event, ev.TaskExpanded):
            self._task(event.key).update(status="running", count=event.count)
        elif event.progress is not None:
            self._task(event.key)["progress"] = {"pct": event.progress, "message": event.message}

    def documents(self) -> list[Json]:
        """Return the tasks in the order of the flow, the tasks of a `for_each` step after it."""
        order = {name: index for index, name in enumerate(self._flow.steps)}
        for name in order:
            self._task(name)
        return sorted(self._tasks.values(), key=lambda task: (order[task["step"]], task["index"] or 0))

    def _task(self, key: str) -> dict[str, Json]:
        task = self._tasks.get(key)
        if task is None:
            step, visit = split_key(key)
            task = self._tasks[key] = {
                "id": task_id(self._run, key),
                "run": to_text(self._run),
                "item": 0,
                "step": step,
                "key": key,
                "index": visit if visit is None else visit + 1,
                "kind": self._flow.steps[step].action,
                "status": "pending",
                "reason": None,
                "error": None,
                "executor": None,
                "progress": None,
                "variables": {},
                "approval": None,
                "started_at": None,
                "ended_at": None,
                "attempts": [],
            }
        return task

    def _started(self, event: ev.TaskStarted, at: int) -> None:
        task = self._task(event.key)
        step = self._flow.steps[task["step"]]
        variables = self._load(event.variables_large.blob) if event.variables_large else event.variables
        task.update(status="running", executor=event.executor)
        task["started_at"] = task["started_at"] or time_text(at)
        files = {**_files(variables), **_files(event.staged)}
        task["attempts"].append(
            {
                "number": event.attempt,
                "id": attempt_id(self._run, event.key, event.attempt),
                "status": "running",
                "command": list(step.argv),
                "image": None,
                "image_digest": None,
                "code": {path: file.blob for path, file in self._flow.code.items()},
                "with": {name: value for name, value in variables.items() if name not in files},
                "inputs": files,
                "environment": {"values": event.environment, "secrets": sorted(step.secrets)},
                "fingerprint": event.fingerprint,
                "queued_at": time_text(event.ready_at),
                "intent_at": time_text(at),
                "cached_from": None,
            }
        )

    def _waiting(self, event: ev.TaskWaiting, at: int) -> None:
        task = self._task(event.key)
        status = "running" if event.waits_for in ("timer", "child") else "waiting"
        task.update(status=status, waits_for=event.waits_for, due=maybe(event.due))
        task["started_at"] = task["started_at"] or time_text(at)
        if event.waits_for == "approval":
            task["approval"] = asked.asked(self._run, event, at, self._load)

    def _signalled(self, event: ev.TaskSignalled, at: int) -> None:
        task = self._task(event.key)
        if task["approval"] is not None:
            asked.answered(task["approval"], event, at)
            task["status"] = "waiting" if task["approval"]["status"] == asked.WAITING else "running"

    def _ended(self, event: ev.TaskEnded, at: int) -> None:
        task = self._task(event.key)
        attempt = task["attempts"][-1]
        values = self._load(event.values_large.blob) if event.values_large else event.values
        status = {"retry": "failed", "lost": "failed"}.get(event.verdict, event.verdict)
        if event.environment:
            attempt["environment"] = {**attempt["environment"], **self._load(event.environment)}
        attempt.update(
            status=status,
            reason=event.reason or None,
            error=plain(event.error),
            exit_code=event.exit_code,
            signal=event.signal,
            outputs={name: plain(file) for name, file in event.files.items()},
            variables=values,
            stdout=plain(event.stdout),
            stderr=plain(event.stderr),
            started_at=maybe(event.started_at),
            ended_at=maybe(event.exited_at) or time_text(at),
            usage=_usage(event),
            host=event.host or None,
            pid=event.pid or None,
            runtime=self._runtime(event.runtime),
            containment=event.containment or None,
        )
        if event.verdict == "retry":
            attempt["retry_at"] = maybe(event.retry_at)
            return
        task.update(status=status, reason=event.reason or None, error=attempt["error"])
        task.update(variables=values, ended_at=time_text(at))

    def _runtime(self, blob: str) -> Json:
        if not blob:
            return None
        return {"kind": self._load(blob).get("kind"), "hash": blob}

    def _settled(self, key: str, event: ev.TaskSettled, at: int) -> None:
        task = self._task(key)
        values = self._load(event.values_large.blob) if event.values_large else event.values
        task.update(status=event.status, reason=event.reason or None, ended_at=time_text(at))
        task.update(error=plain(event.error), variables=values or task["variables"])
        if task["approval"] is not None:
            asked.settled(task["approval"], event)
        if event.status == State.SUCCESS:
            task["started_at"] = task["started_at"] or time_text(at)


def _usage(event: ev.TaskEnded) -> Json:
    if event.cpu_ms is None and event.max_rss_bytes is None:
        return None
    return {"cpu_s": (event.cpu_ms or 0) / 1000, "max_rss_bytes": event.max_rss_bytes}


def _files(values: dict[str, Json]) -> dict[str, Json]:
    """Return the file values among these, lists of files included."""
    found: dict[str, Json] = {}
    for name, value in values.items():
        some = value if isinstance(value, list) else [value]
        if some and all(isinstance(one, dict) and ("$file" in one or "$dir" in one) for one in some):
            found[name] = value
    return found
