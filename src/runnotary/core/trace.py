"""Where a run and its attempts stand in a trace (W3C Trace Context), derived from ids alone.

A run is a trace, an attempt a span in it: the id of the trace is the 128 bits of the run's id, that of a span
the last 64 bits of the id of what it spans. So nothing about tracing is stored, and whoever knows a run and
an attempt can compute what the step itself finds in `TRACEPARENT`.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from runnotary.core.ids import from_text

VARIABLE: Final = "TRACEPARENT"
HEADER: Final = "traceparent"
"""Also the key in `run.created.source`: the trace of whoever asked for the run."""

_FORM: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")


class Context(msgspec.Struct, frozen=True):
    """A place in a trace that somebody else's program named."""

    trace: str
    span: str
    sampled: bool = True

    def __str__(self) -> str:
        return f"00-{self.trace}-{self.span}-{self.sampled:02x}"


def trace_id(run: bytes) -> str:
    """Return the id of a run's trace, 32 hexadecimal digits."""
    return run.hex()


def span_id(spanned: bytes) -> str:
    """Return the id of the span of a run or an attempt, 16 hexadecimal digits."""
    return spanned[8:].hex()


def traceparent(run: str, attempt: str) -> str:
    """Return what a step passes on so that its callees' spans become children of its attempt."""
    return str(Context(trace_id(from_text(run)), span_id(from_text(attempt))))


def read(text: str) -> Context | None:
    """Read a `traceparent`; None if it is not one, as the specification wants it: then it was not sent.

    A later version is read as far as this one goes.
    """
    found = _FORM.fullmatch(text.strip())
    if found is None:
        return None
    version, trace, span, flags, further = found.groups()
    if version == "ff" or (version == "00" and further) or not int(trace, 16) or not int(span, 16):
        return None
    return Context(trace, span, bool(int(flags, 16) & 1))
