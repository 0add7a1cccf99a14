"""What a server tells Prometheus: counts, durations and levels, none of them by a name that people choose.

Rules of this file:

1. Labels come from short lists that the code knows: states, verdicts, kinds of trigger, route templates.
   Never a run, a flow, a namespace or a principal: those are in the record.
2. What happened is counted where it is read from the log (`recorded`) or where it is done (`committed`,
   `request`); a level is asked for when somebody looks.
3. `prometheus_client` with a registry of our own: several servers in one process do not add up.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import perf_counter
from typing import Final

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import choose_encoder
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runnotary import __version__
from runnotary.core import events as ev
from runnotary.core.chain import RUN, Recorded
from runnotary.core.ids import created_us

DURATIONS: Final = (0.01, 0.05, 0.1, 0.5, 1, 5, 10, 30, 60, 300, 600, 1800, 3600, 4 * 3600, 24 * 3600)
INSTANTS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60)
SIZES: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096, 16384)
SECOND: Final = 1_000_000
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
Level = Callable[[], float]

log = logging.getLogger("runnotary.http")


class Metrics:
    """The metrics of one server."""

    def __init__(self) -> None:
        # Else each counter has a second series that says when it began.
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry: Final = CollectorRegistry()
        self._answered: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}
        ProcessCollector(registry=self.registry)
        self._levels: dict[str, Gauge] = {}
        self._made_of_record()
        self._made_of_commits()
        self._made_of_requests()
        self._level("build_info", "1, with the version of the server", ("version",)).labels(__version__).set(
            1
        )

    def exposition(self, accept: str = "") -> tuple[bytes, str]:
        """Return everything as text in the form that the client takes best, and its content type."""
        try:
            encode, content_type = choose_encoder(accept)
        except (TypeError, ValueError):  # a version that is no number
            encode, content_type = choose_encoder("")
        return encode(self.registry), content_type

    # --- what happened -----------------------------------------------------------------------------

    def recorded(self, stream: bytes, entry: Recorded) -> None:
        """Count an event of the record; a consumer of the log (engine/consumers.py)."""
        match entry.event:
            case ev.RunCreated(trigger=trigger):
                self._created.labels(trigger.kind).inc()
            case ev.RunFinished(status=status) if stream[:1] == RUN:
                self._runs.labels(status).observe(max(0, entry.at - created_us(stream[1:])) / SECOND)
            case ev.TaskStarted(ready_at=ready) as started:
                self._waits.observe(max(0, entry.at - ready) / SECOND)
                self._started.labels(started.executor).inc()
            case ev.TaskEnded(verdict=verdict, started_at=began, exited_at=over):
                self._attempts.labels(verdict).observe(max(0, over - began) / SECOND if began else 0)
                if verdict != "retry":
                    self._tasks.labels("failed" if verdict == "lost" else verdict).inc()
            case ev.TaskSettled(keys=keys, status=status):
                self._tasks.labels(status).inc(len(keys))

    def committed(self, seconds: float, events: int) -> None:
        """Count a commit of the store, in whichever thread: how long it took, and of how many events."""
        self._commits.observe(seconds)
        self._batches.observe(events)

    def kept(self, size: int) -> None:
        """Count bytes that were kept as a blob, in whichever thread."""
        self._bytes.inc(size)

    def request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count an answered request. `route` is the template, empty if none fits the path."""
        found = self._answered.get((method, route, status))
        if found is None:
            name = method if method in METHODS else "other"
            found = self._requests.labels(name, route, str(status)), self._answers.labels(name, route)
            if name == method:
                self._answered[method, route, status] = found
        found[0].inc()
        found[1].observe(seconds)

    @property
    def followers(self) -> Gauge:
        """How many event streams are open now; whoever serves one moves it up and down."""
        return self._followers

    # --- how things stand --------------------------------------------------------------------------

    def watch(self, name: str, meaning: str, level: Level) -> None:
        """Ask `level` for a value whenever somebody looks; one of the same name is asked no more."""
        self._level(name, meaning).set_function(level)

    def _level(self, name: str, meaning: str, labels: tuple[str, ...] = ()) -> Gauge:
        if name not in self._levels:
            self._levels[name] = Gauge(f"runnotary_{name}", meaning, labels, registry=self.registry)
        return self._levels[name]

    # --- the tables --------------------------------------------------------------------------------

    def _made_of_record(self) -> None:
        counter, histogram = self._counter, self._histogram
        self._created = counter("runs_created", "Runs accepted, by kind of trigger", "trigger")
        self._runs = histogram("run_seconds", "From acceptance to end of a run", DURATIONS, "status")
        self._started = counter("attempts_started", "Attempts ordered, by executor", "executor")
        self._attempts = histogram("attempt_seconds", "How long attempts ran", DURATIONS, "verdict")
        self._waits = histogram("task_wait_seconds", "From ready to ordered: waiting for a slot", DURATIONS)
        self._tasks = counter("tasks_ended", "Tasks that ended, those without an effect included", "status")

    def _made_of_commits(self) -> None:
        self._commits = self._histogram("commit_seconds", "How long durable commits took", INSTANTS)
        self._batches = self._histogram("commit_events", "Events that shared a commit", SIZES)
        self._bytes = self._counter("blob_bytes", "Bytes kept as blobs since the start")

    def _made_of_requests(self) -> None:
        words = ("method", "route")
        self._requests = self._counter("http_requests", "Requests answered", *words, "status")
        self._answers = self._histogram("http_request_seconds", "Until the answer began", INSTANTS, *words)
        self._followers = self._level("followers", "Event streams that are open")

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(f"runnotary_{name}", meaning, labels, registry=self.registry)

    def _histogram(self, name: str, meaning: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(f"runnotary_{name}", meaning, labels, buckets=buckets, registry=self.registry)


# --- requests --------------------------------------------------------------------------------------


class Counted:
    """Counts every request when its answer begins, also one that fits no route or ends in a defect."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app: Final = app
        self._metrics: Final = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = perf_counter()
        status = 500

        async def counted(message: Message) -> None:
            nonlocal began, status
            if message["type"] == "http.response.start":
                status = message["status"]
                self._count(scope, status, perf_counter() - began)
                began = 0
            await send(message)

        try:
            await self._app(scope, receive, counted)
        finally:
            if began:
                self._count(scope, status, perf_counter() - began)

    def _count(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "")
        self._metrics.request(scope["method"], route, status, seconds)
        if log.isEnabledFor(logging.DEBUG):
            words = {
                "method": scope["method"],
                "route": route,
                "status": status,
                "seconds": round(seconds, 6),
            }
            log.debug("http.request", extra={"about": words})
