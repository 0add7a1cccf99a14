"""What a running step says about itself: JSON lines in the file that `$RUNNOTARY_REPORT` names.

    {"progress": 40, "message": "third file"}     percent, and words
    {"metric": {"rows": 1204, "loss": 0.07}}      numbers, text or true/false by name; the last one counts
    {"metric": "rows", "value": 1204}             the same for one

A line that is none of these, is incomplete, or is longer than 64 KiB says nothing: a report is never a
reason to fail. `table`, `artifact` and `version` are kept for later releases. Secrets are masked.
"""

from __future__ import annotations

import math
import os
from typing import Any, Final

import msgspec

from runnotary.executors.process import regular
from runnotary.executors.process.leaks import Leaks
from runnotary.ports import Report

Json = Any

LINE_MAX: Final = 64 * 1024
METRICS_MAX: Final = 500
NAME_MAX: Final = 200
TEXT_MAX: Final = 500
METRICS_BYTES: Final = 16 * 1024
_CHUNK: Final = 256 * 1024
_decode: Final = msgspec.json.Decoder().decode


class Reports:
    """Reads one report file from where it last stopped."""

    def __init__(self, path: str, leaks: Leaks) -> None:
        self._path = path
        self._leaks = leaks
        self._offset = 0
        self._rest = b""
        self._too_long = False
        self._bytes = 0
        self._progress: int | None = None
        self._message = ""
        self._fresh: dict[str, Json] = {}
        self.metrics: dict[str, Json] = {}

    def news(self, attempt: str) -> Report | None:
        """Return what was said since the last call, in one; None if nothing was."""
        self.read(limit=8 * _CHUNK)
        if self._progress is None and not self._message and not self._fresh:
            return None
        report = Report(attempt, self._progress, self._message, self._fresh)
        self._progress, self._message, self._fresh = None, "", {}
        return report

    def read(self, *, limit: int | None = None) -> None:
        """Take in what the file holds by now; at most about `limit` bytes of it."""
        try:
            handle = regular.opened(self._path)
        except OSError:
            return
        try:
            size = os.fstat(handle).st_size
            left = size - self._offset if limit is None else limit
            while left > 0 and (data := os.pread(handle, _CHUNK, self._offset)):
                self._offset += len(data)
                left -= len(data)
                self._take(data)
        finally:
            os.close(handle)

    def _take(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            if not self._too_long and line:
                self._line(line)
            self._too_long = False
        if len(self._rest) > LINE_MAX:
            self._rest, self._too_long = b"", True

    def _line(self, line: bytes) -> None:
        if len(line) > LINE_MAX:
            return
        try:
            said = _decode(self._leaks.masked(line))
        except (msgspec.DecodeError, RecursionError):
            return
        if not isinstance(said, dict):
            return
        progress = said.get("progress")
        if isinstance(progress, int | float) and not isinstance(progress, bool) and math.isfinite(progress):
            self._progress = max(0, min(100, int(progress)))
        message = said.get("message")
        if isinstance(message, str):
            self._message = message[:TEXT_MAX]
        metric = said.get("metric")
        if isinstance(metric, str):
            metric = {metric: said.get("value")}
        if isinstance(metric, dict):
            for name, value in metric.items():
                self._metric(name, value)

    def _metric(self, name: str, value: Json) -> None:
        if isinstance(value, str):
            value = value[:TEXT_MAX]
        elif isinstance(value, bool):
            pass
        elif isinstance(value, int | float):
            if not (-(2**63) <= value < 2**63):
                return
        else:
            return
        if name not in self.metrics:
            size = len(name) + TEXT_MAX if isinstance(value, str) else len(name) + 24
            if len(name) > NAME_MAX or len(self.metrics) >= METRICS_MAX or self._bytes + size > METRICS_BYTES:
                return
            self._bytes += size
        self.metrics[name] = self._fresh[name] = value
