"""A run as a trace: a span for the run, and one in it for every attempt, made from events alone.

Ids are those of core/trace.py, times those of the record. What a flow or a person put in (inputs, outputs,
labels, messages) stays in the record. A step without an effect has no attempt, and so no span.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from runnotary.core import events as ev
from runnotary.core import trace
from runnotary.core.chain import RUN, Recorded
from runnotary.core.ids import attempt_id, from_text, to_text
from runnotary.core.run import split_key
from runnotary.core.trace import Context

Attribute = str | int | bool


class Span(msgspec.Struct, frozen=True, kw_only=True):
    """One span that is over; times are µs since 1970. `error` is a code, empty if it went well."""

    context: Context
    parent: Context | None
    name: str
    start: int
    end: int
    attributes: dict[str, Attribute]
    links: tuple[Context, ...] = ()
    error: str = ""


class Open:
    """What must be known of a run until its span is complete."""

    __slots__ = ("at", "created", "started")

    def __init__(self) -> None:
        self.created: ev.RunCreated | None = None
        self.at = 0
        self.started: dict[tuple[str, int], tuple[int, ev.TaskStarted]] = {}

    def add(self, entry: Recorded) -> None:
        match entry.event:
            case ev.RunCreated() as created:
                self.created, self.at = created, entry.at
            case ev.TaskStarted(key=key, attempt=attempt) as started:
                self.started[key, attempt] = entry.at, started
            case ev.TaskEnded(key=key, attempt=attempt):
                self.started.pop((key, attempt), None)


class Spans:
    """Makes spans of events; a consumer of the log (engine/consumers.py).

    `read` returns a stream from its beginning: a run that was under way before this one began to listen is
    read once. `finished` is given each span as it ends.
    """

    def __init__(self, read: Callable[[bytes], Iterable[Recorded]], finished: Callable[[Span], None]) -> None:
        self._read: Final = read
        self._finished: Final = finished
        self._open: Final[dict[bytes, Open]] = {}

    def __call__(self, stream: bytes, entry: Recorded) -> None:
        if stream[:1] != RUN:
            return
        run = stream[1:]
        match entry.event:
            case ev.RunCreated() | ev.TaskStarted():
                self._known(stream, entry.seq).add(entry)
            case ev.TaskEnded() as ended:
                known = self._known(stream, entry.seq)
                self._finished(_of_attempt(run, known, ended, entry.at))
                known.add(entry)
            case ev.RunFinished() as finished:
                self._finished(_of_run(run, self._known(stream, entry.seq), finished, entry.at))
                del self._open[stream]

    def _known(self, stream: bytes, seq: int) -> Open:
        """Return what is known of a run before this event of it."""
        known = self._open.get(stream)
        if known is None:
            known = self._open[stream] = Open()
            for entry in self._read(stream) if seq > 1 else ():
                if entry.seq >= seq:
                    break
                known.add(entry)
        return known


def _of_run(run: bytes, known: Open, finished: ev.RunFinished, at: int) -> Span:
    created = known.created
    assert created is not None, "a run begins with run.created"
    words: dict[str, Attribute] = {
        "runnotary.run.id": to_text(run),
        "runnotary.namespace": created.namespace,
        "runnotary.flow": created.flow,
        "runnotary.definition": created.definition,
        "runnotary.trigger": created.trigger.kind,
        "runnotary.status": finished.status,
        "runnotary.reason": finished.reason,
    }
    code = finished.error.code if finished.error else finished.reason or finished.status
    return Span(
        context=_context(run, run),
        parent=None,
        name=created.flow or "run",
        start=known.at,
        end=at,
        attributes=_telling(words),
        links=tuple(_links(created)),
        error=code if finished.status == "failed" else "",
    )


def _links(created: ev.RunCreated) -> Iterable[Context]:
    """Yield whose trace asked for the run, and the runs it is linked with."""
    asked = created.source.get(trace.HEADER)
    context = trace.read(asked) if isinstance(asked, str) else None
    if context is not None:
        yield context
    for run in (created.parent, *(link.run for link in created.links)):
        if run:
            yield _context(from_text(run), from_text(run))


def _of_attempt(run: bytes, known: Open, ended: ev.TaskEnded, at: int) -> Span:
    intended, started = known.started.get((ended.key, ended.attempt), (at, None))
    words: dict[str, Attribute] = {
        "runnotary.run.id": to_text(run),
        "runnotary.namespace": known.created.namespace if known.created else "",
        "runnotary.task": ended.key,
        "runnotary.attempt": ended.attempt,
        "runnotary.executor": started.executor if started else "",
        "runnotary.verdict": ended.verdict,
        "runnotary.reason": ended.reason,
        "host.name": ended.host,
        "process.pid": ended.pid,
    }
    if ended.exit_code is not None:
        words["process.exit.code"] = ended.exit_code
    failed = ended.verdict in ("failed", "lost", "retry")
    code = ended.error.code if ended.error else ended.reason or ended.verdict
    return Span(
        context=_context(run, from_text(attempt_id(run, ended.key, ended.attempt))),
        parent=_context(run, run),
        name=split_key(ended.key)[0],
        start=ended.started_at or intended,
        end=ended.exited_at or at,
        attributes=_telling(words),
        error=code if failed else "",
    )


def _telling(words: dict[str, Attribute]) -> dict[str, Attribute]:
    """Leave out what is empty; an exit code of 0 and a first attempt say something."""
    empty = {"process.pid"}
    return {name: value for name, value in words.items() if value != "" and (value or name not in empty)}


def _context(run: bytes, spanned: bytes) -> Context:
    return Context(trace.trace_id(run), trace.span_id(spanned))
