"""Spans on their way to a collector, by the OpenTelemetry SDK: the one file that imports it.

Where they go, with which headers and how often, say the variables of OpenTelemetry itself
(`OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_BSP_…`, `OTEL_SERVICE_NAME`); the defaults are its own, but for a queue
that holds the spans of a wide flow. Every span is sent: what to keep, a collector decides.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping
from threading import Thread
from typing import Final

from opentelemetry.context import Context as Place
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.id_generator import IdGenerator
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from runnotary import __version__
from runnotary.core.trace import Context
from runnotary.exports.spans import Span

QUEUE: Final = 65_536
PATIENCE_S: Final = 5
NS_IN_US: Final = 1000

log = logging.getLogger("runnotary.traces")


class Derived(IdGenerator):
    """Gives the ids that follow from the record, where the SDK would draw lots."""

    def __init__(self) -> None:
        self.next = Context("", "")

    def generate_span_id(self) -> int:
        return int(self.next.span, 16)

    def generate_trace_id(self) -> int:
        return int(self.next.trace, 16)


class Traces:
    """Sends spans in the background; `send` never waits."""

    def __init__(self, environ: Mapping[str, str] = os.environ) -> None:
        self._ids: Final = Derived()
        said = Resource({"service.name": "runnotary", "service.version": __version__})
        self._provider: Final = TracerProvider(
            sampler=ALWAYS_ON,
            resource=said.merge(OTELResourceDetector().detect()),
            id_generator=self._ids,
            shutdown_on_exit=False,
        )
        queue = int(environ.get("OTEL_BSP_MAX_QUEUE_SIZE") or QUEUE)
        self._exporter: Final = OTLPSpanExporter()
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter, max_queue_size=queue))
        self._tracer: Final = self._provider.get_tracer("runnotary", __version__)

    def send(self, span: Span) -> None:
        """Queue a span that is over. Not for several threads at once."""
        self._ids.next = span.context
        parent = Place()
        if span.parent is not None:
            parent = set_span_in_context(NonRecordingSpan(_written(span.parent)), parent)
        made = self._tracer.start_span(
            span.name,
            context=parent,
            links=[Link(_written(link)) for link in span.links],
            attributes=span.attributes,
            start_time=span.start * NS_IN_US,
        )
        if span.error:
            made.set_status(Status(StatusCode.ERROR, span.error))
        made.end(span.end * NS_IN_US)

    def close(self) -> None:
        """Send what is queued; blocks until it is sent, or the collector has been away for long enough."""
        ending = Thread(target=self._provider.shutdown, name="runnotary-traces", daemon=True)
        ending.start()
        ending.join(PATIENCE_S)
        if ending.is_alive():
            log.warning("the collector of traces does not answer: what was queued for it is lost")
            self._exporter.shutdown()  # type: ignore[no-untyped-call]


def _written(context: Context) -> SpanContext:
    flags = TraceFlags(TraceFlags.SAMPLED if context.sampled else TraceFlags.DEFAULT)
    return SpanContext(int(context.trace, 16), int(context.span, 16), is_remote=True, trace_flags=flags)
