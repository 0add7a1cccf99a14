"""Waiting for the end of a run, of a home or of a server, without an engine of one's own."""

from __future__ import annotations

import logging
import time
from typing import Any, Final

from runnotary.app.records import INTERRUPTED, reading, shown_status
from runnotary.config import Settings
from runnotary.core.errors import WaitTimeout
from runnotary.core.states import TERMINAL

Json = Any
log = logging.getLogger("runnotary.app")


class Deadline:
    """When to give up, if at all; `seconds` from now."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds: Final = seconds
        self._end: Final = None if seconds is None else time.monotonic() + seconds

    def left(self) -> float | None:
        """Return the seconds that are left; None if there is no end."""
        return None if self._end is None else max(0.0, self._end - time.monotonic())


def ended(settings: Settings, run: str, interval: float, deadline: Deadline) -> Json:
    """Return the document of a run when it is over. `interval` is in seconds.

    A server that is being restarted is waited for.

    Raises:
        WaitTimeout: the run is not over in time; it goes on.
    """
    if settings.url:
        from runnotary.app.remote import ended_there

        return ended_there(settings, run, interval, deadline.left())
    warned = False
    with reading(settings) as reader:
        while True:
            document = reader.document(reader.resolve(run))
            if document["status"] in TERMINAL:
                return document
            status = shown_status(document["status"], settings)
            left = deadline.left()
            if left is not None and left <= 0:
                raise WaitTimeout(f"run {run} is {status} after {deadline.seconds:g} s")
            if status == INTERRUPTED and not warned:
                log.warning("no engine works on run %s now; go on: runnotary run watch %s", run, run)
                warned = True
            time.sleep(interval if left is None else min(interval, left))
