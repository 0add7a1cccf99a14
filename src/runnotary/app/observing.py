"""A home observed while a server works on it: metrics, log lines and traces, all of them from the record.

Nothing here is needed for a run: each part follows the log by position (engine/consumers.py), and levels are
asked for when somebody looks.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Protocol

from runnotary.app.home import Embedded
from runnotary.app.reporting import Reporter
from runnotary.config import Settings
from runnotary.core.errors import InvalidInput
from runnotary.engine.consumers import Consumer, Consumers
from runnotary.exports.spans import Span, Spans
from runnotary.ports import Store
from runnotary.server.metrics import Metrics


class Traces(Protocol):
    """Where spans go (exports/otel.py)."""

    def send(self, span: Span, /) -> None:
        """Queue a span; never waits."""

    def close(self) -> None:
        """Send what is queued; may block."""


@asynccontextmanager
async def observed(settings: Settings, home: Embedded) -> AsyncIterator[Metrics]:
    """Yield the metrics of a home; log lines and traces go their way meanwhile.

    Raises:
        InvalidInput: traces are wanted, and what sends them is not installed.
    """
    metrics = Metrics()
    traces = _traces(settings)
    reporter = Reporter(partial(_namespace_of, home.store))
    wanted: list[Consumer] = [metrics.recorded, reporter]
    if traces is not None:
        wanted.append(Spans(home.store.read, traces.send))
    _watch(metrics, home)
    home.store.measure(metrics)
    consumers = Consumers(home.store, wanted)
    try:
        yield metrics
    finally:
        consumers.close()
        if traces is not None:
            await asyncio.to_thread(traces.close)


def _watch(metrics: Metrics, home: Embedded) -> None:
    """Let the metrics ask how things stand."""
    engine, store = home.engine, home.store
    metrics.watch("runs_open", "Runs that are not over", lambda: engine.load.runs)
    metrics.watch("tasks_queued", "Tasks that are ready and wait for a slot", lambda: engine.load.queued)
    metrics.watch("slots", "Attempts that may run at once", lambda: engine.load.slots)
    metrics.watch("slots_used", "Attempts that run", lambda: engine.load.used)
    metrics.watch("log_position", "Commits of streams in the log so far", store.position)
    metrics.watch("database_bytes", "The database and its write-ahead log", store.size)


def _namespace_of(store: Store, run: bytes) -> str:
    row = store.run(run)
    return row.namespace if row else ""


def _traces(settings: Settings) -> Traces | None:
    """Return where traces go. The one place that imports what only `runnotary[otel]` brings."""
    if settings.traces == "off":
        return None
    try:
        traces: Traces = importlib.import_module("runnotary.exports.otel").Traces()
    except ModuleNotFoundError:
        raise InvalidInput(
            "traces: OpenTelemetry is not installed", hint="pip install 'runnotary[otel]'"
        ) from None
    return traces
