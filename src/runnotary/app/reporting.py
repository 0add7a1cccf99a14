"""What a server says while it works: one line for each thing, as text or as JSON.

Rules of this file:

1. A line about a run has the run's id in a field of its own, and its namespace; one about a task has its key
   too. So a search by any of these finds everything that was said.
2. Nothing that a flow or a person put in stands in a line: no input, output, variable, label or message of a
   step. The record has them, for those who may read it.
3. Who is slow to read the lines holds up nobody: another thread writes them.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from typing import Any, Final, TextIO

import msgspec

from runnotary.core import events as ev
from runnotary.core.chain import LEDGER, RUN, Recorded
from runnotary.core.ids import created_us, to_text
from runnotary.core.times import to_text as time_text

Json = Any
OURS: Final = "runnotary"
ROOTS: Final = (OURS, "uvicorn", "opentelemetry", "asyncio")
AT_A_TIME: Final = 512
LATE_S: Final = 0.05
"""So late a line is written, with those that came meanwhile: to wake the thread costs more than a line."""

WAITING_MAX: Final = 65_536
RUNS_REMEMBERED: Final = 4096

_encode: Final = msgspec.json.Encoder(enc_hook=str).encode

record: Final = logging.getLogger("runnotary.record")


@contextmanager
def lines(form: str, level: str, to: TextIO | None = None) -> Iterator[None]:
    """Write what is logged from `level` on (`debug`, `info`, `warning`, `error`), as `text` or `json`."""
    writing = Writing(JsonLine() if form == "json" else TextLine(), to or sys.stderr)
    loggers = [logging.getLogger(name) for name in ROOTS]
    before = [(one.level, one.propagate, list(one.handlers)) for one in loggers]
    least = logging.getLevelNamesMapping()[level.upper()]
    for one in loggers:
        one.setLevel(least if one.name == OURS else max(logging.INFO, least))
        one.propagate, one.handlers = False, [writing]
    try:
        yield
    finally:
        for one, (was, propagated, handlers) in zip(loggers, before, strict=True):
            one.setLevel(was)
            one.propagate, one.handlers = propagated, handlers
        writing.close()


class Writing(logging.Handler):
    """Writes records in a thread of its own, as many at a time as there are."""

    def __init__(self, form: logging.Formatter, to: TextIO) -> None:
        super().__init__()
        self.setFormatter(form)
        self._to: Final = to
        self._queue: Final[SimpleQueue[logging.LogRecord | None]] = SimpleQueue()
        self._left_out = 0
        self._closing: Final = threading.Event()
        self._thread: Final = threading.Thread(target=self._write, name="runnotary-lines", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        """Queue a record, unless nobody reads them any more."""
        if self._queue.qsize() < WAITING_MAX:
            self._queue.put(record)
        else:
            self._left_out += 1

    def close(self) -> None:
        """Write what is queued, and end."""
        self._closing.set()
        self._queue.put(None)
        self._thread.join()
        super().close()

    def _write(self) -> None:
        record = self._queue.get()
        while record is not None:
            self._closing.wait(LATE_S)
            written = [self._formatted(record)]
            with suppress(Empty):
                while len(written) < AT_A_TIME and (record := self._queue.get_nowait()) is not None:
                    written.append(self._formatted(record))
            if self._left_out:
                written.append(
                    self._formatted(_own("%d lines were left out: nobody read them", self._left_out))
                )
                self._left_out = 0
            with suppress(OSError, ValueError):  # nobody reads them any more
                self._to.write("".join(written))
                self._to.flush()
            if record is not None:
                record = self._queue.get()

    def _formatted(self, record: logging.LogRecord) -> str:
        try:
            return f"{self.format(record)}\n"
        except Exception as defect:  # noqa: BLE001 - one bad line must not end all others
            return f"{self.format(_own('a line of %s could not be written: %r', record.name, defect))}\n"


def _own(message: str, *values: object) -> logging.LogRecord:
    return logging.LogRecord("runnotary.lines", logging.WARNING, "", 0, message, values, None)


class JsonLine(logging.Formatter):
    """A JSON object in a line: time, level, event, what it is about, and a traceback if there is one."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": time_text(int(record.created * 1_000_000)),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **fields_of(record),
        }
        if record.exc_info:
            line["traceback"] = "".join(traceback.format_exception(*record.exc_info)).rstrip()
        return _encode(line).decode()


class TextLine(logging.Formatter):
    """Time of day, level, what happened, and what it is about as `name=value`."""

    def format(self, record: logging.LogRecord) -> str:
        time = time_text(int(record.created * 1_000_000))[:23] + "Z"
        said = " ".join(f"{name}={_text(value)}" for name, value in fields_of(record).items())
        line = f"{time} {record.levelname.lower():<7} {_text(record.getMessage(), quoted=False)} {said}"
        if record.exc_info:
            line += "\n" + "".join(traceback.format_exception(*record.exc_info)).rstrip()
        return line.rstrip()


def fields_of(record: logging.LogRecord) -> dict[str, Json]:
    """Return what a line is about: `extra={"about": {…}}` of the call, without what is empty."""
    about: dict[str, Json] = getattr(record, "about", {})
    return {name: value for name, value in about.items() if value is not None and value != ""}


def _text(value: Json, *, quoted: bool = True) -> str:
    text = str(value)
    if text.isprintable() and not (quoted and (" " in text or '"' in text)):
        return text
    return (
        _encode(text).decode()
        if quoted
        else "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    )


# --- events of the record --------------------------------------------------------------------------


class Reporter:
    """Says what enters the record; a consumer of the log (engine/consumers.py).

    Starts and ends of runs and what is decided about them are `info`, steps are `debug`, and whatever ends
    otherwise than it should is `warning`.
    """

    def __init__(self, namespace_of: Callable[[bytes], str]) -> None:
        self._look_up: Final = namespace_of
        self._namespaces: Final[dict[bytes, str]] = {}

    def __call__(self, stream: bytes, entry: Recorded) -> None:
        level, words = said(entry)
        if not record.isEnabledFor(level):
            return
        about: dict[str, Json] = {"stream": stream.hex()}
        if stream[:1] == RUN:
            about = {"run": to_text(stream[1:]), "namespace": self._namespace_of(stream[1:], entry.event)}
            if isinstance(entry.event, ev.RunFinished):
                words["seconds"] = max(0, entry.at - created_us(stream[1:])) / 1_000_000
        elif stream[:1] == LEDGER:
            about = {"namespace": stream[1:].decode()}
        record.log(level, ev.NAMES[type(entry.event)], extra={"about": about | {"seq": entry.seq} | words})

    def _namespace_of(self, run: bytes, event: ev.Event) -> str:
        known = event.namespace if isinstance(event, ev.RunCreated) else self._namespaces.get(run)
        if known is None:
            known = self._look_up(run)
        if isinstance(event, ev.RunFinished):
            self._namespaces.pop(run, None)
        else:
            while len(self._namespaces) >= RUNS_REMEMBERED:
                del self._namespaces[next(iter(self._namespaces))]
            self._namespaces[run] = known
        return known


def said(entry: Recorded) -> tuple[int, dict[str, Json]]:
    """Return the level of an event, and what of it may be told to whoever reads the log of a server."""
    told = _of_run(entry.event)
    return told if told is not None else _of_task(entry.event)


def _of_run(event: ev.Event) -> tuple[int, dict[str, Json]] | None:
    match event:
        case ev.RunCreated():
            words = {"flow": event.flow, "definition": event.definition, "by": event.by.principal}
            return logging.INFO, words
        case ev.RunFinished():
            level = logging.WARNING if event.status == "failed" else logging.INFO
            code = event.error.code if event.error else ""
            return level, {"status": event.status, "reason": event.reason, "code": code}
        case ev.RunCancelRequested() | ev.RunHeld() | ev.RunUpdated() | ev.StreamErased():
            return logging.INFO, {"by": event.by.principal}
        case ev.DefinitionChanged():
            words = {"flow": event.flow, "definition": event.definition, "by": event.by.principal}
            return logging.INFO, words
        case ev.AccessChanged():
            return logging.INFO, {"kind": event.kind, "by": event.by.principal}
        case ev.RunAnnotated() | ev.EngineNoted():
            return logging.INFO, {"kind": event.kind}
    return None


def _of_task(event: ev.Event) -> tuple[int, dict[str, Json]]:
    match event:
        case ev.TaskEnded():
            level = logging.WARNING if event.verdict in ("failed", "lost") else logging.DEBUG
            words = {"task": event.key, "attempt": event.attempt, "status": event.verdict}
            code = event.error.code if event.error else ""
            return level, {**words, "reason": event.reason, "code": code, "exit_code": event.exit_code}
        case ev.TaskSettled():
            return logging.DEBUG, {"tasks": len(event.keys), "status": event.status, "reason": event.reason}
        case ev.TaskStarted():
            words = {"task": event.key, "attempt": event.attempt, "executor": event.executor}
            return logging.DEBUG, words
        case ev.TaskReported() | ev.TaskBound() | ev.TaskStopping():
            return logging.DEBUG, {"task": event.key, "attempt": event.attempt}
        case ev.TaskSignalled():
            return logging.INFO, {"task": event.key, "by": event.by.principal}
        case ev.TaskExpanded() | ev.TaskWaiting():
            return logging.DEBUG, {"task": event.key}
    return logging.DEBUG, {}
