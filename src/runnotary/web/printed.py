"""What steps print: the last lines of a stream, of one that is over or of one that is being written."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Final

from runnotary.core.errors import RunnotaryError
from runnotary.web import shown
from runnotary.web.visit import Visit

Json = Any
STREAMS: Final = ("stdout", "stderr")


def printed(
    visit: Visit, run_id: str, task: Json, stream: str, lines: int, *, number: int = 0
) -> shown.Tail | None:
    """Return the last lines of an attempt, the newest if none is named; None if it printed nothing."""
    attempts = task["attempts"]
    if not attempts:
        return None
    number = number or len(attempts)
    attempt = attempts[number - 1]
    if attempt["status"] == "running":
        source = visit.operations.output(visit.known(), run_id, task["key"], stream, attempt=number)
        return _growing(stream, source.path, lines) if source.path else None
    log = attempt.get(stream)
    if not log or not log.get("blob"):
        return None
    try:
        data = visit.operations.reader.blobs.get(log["blob"])
    except RunnotaryError as wrong:
        return shown.Tail(stream, (f"(cannot be shown: {wrong.message})",), 0, log["size"])
    return shown.tail(stream, data, lines, total=log["size"])


def _growing(stream: str, path: Path, lines: int) -> shown.Tail | None:
    """Read the end of a stream that is being written; what lies there may be no link and no pipe."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            whole = file.seek(0, os.SEEK_END)
            file.seek(max(0, whole - shown.TAIL_BYTES))
            data = file.read(shown.TAIL_BYTES)
    except OSError:
        return None
    return shown.tail(stream, data, lines, total=whole) if data else None
