"""What commands read of a home or of a server, without an engine of their own: a reader, and live output.

A server that is set (`url`) is asked instead of any home; nothing here tells the two apart for its caller.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runnotary.app import home
from runnotary.app.home import is_locked
from runnotary.app.seats import attempt_folder
from runnotary.app.stores import has_servers
from runnotary.config import Settings
from runnotary.core.states import OPEN
from runnotary.engine.reader import Reader as Reader
from runnotary.executors.process.environment import Shell as Shell
from runnotary.executors.process.environment import read_shell

Json = Any
INTERRUPTED = "interrupted"

__all__ = [
    "INTERRUPTED",
    "Reader",
    "Shell",
    "document_of",
    "has_engine",
    "output_of",
    "reading",
    "shell_of",
    "shown_status",
]


@contextmanager
def reading(settings: Settings) -> Iterator[Reader]:
    """Open the home for questions, or ask the server.

    Raises:
        RunNotFound: nothing was ever recorded there.
        Unreachable: the server does not answer.
    """
    if settings.url:
        from runnotary.app.remote import reading_there

        with reading_there(settings) as reader:
            yield reader
    else:
        with home.reading(settings) as reader:
            yield reader


def document_of(settings: Settings, name: str) -> Json:
    """Return the document of the run that a name means.

    Raises:
        RunNotFound: there is none. Unreachable: the server does not answer.
    """
    with reading(settings) as reader:
        return reader.document(reader.resolve(name))


def has_engine(settings: Settings) -> bool:
    """Tell whether an engine works on the runs there now; a server is one."""
    if settings.shared and not settings.url:
        return has_servers(settings)
    return bool(settings.url) or is_locked(settings.home)


def shown_status(status: str, settings: Settings) -> str:
    """Return a status as it is shown: open without an engine is `interrupted`, which is never stored."""
    return INTERRUPTED if status in OPEN and not has_engine(settings) else status


def output_of(settings: Settings, reader: Reader, task: Json, number: int, kind: str, after: int) -> bytes:
    """Return what a running attempt of a task has written to a stream beyond so many bytes.

    Nothing if the stream is not there: not begun, or just over, which the next look at the task tells.
    """
    if settings.url:
        from runnotary.app.remote import RemoteReader

        assert isinstance(reader, RemoteReader)
        return reader.output(task, number, kind, after)
    path = _attempt_folder(settings, task["attempts"][number - 1]["id"]) / kind
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            file.seek(after)
            return file.read()
    except OSError:
        return b""


def shell_of(settings: Settings, attempt: str) -> Shell | None:
    """Return how to stand where an attempt stood; None if its folder is gone."""
    return read_shell(str(_attempt_folder(settings, attempt)))


def _attempt_folder(settings: Settings, attempt: str) -> Path:
    return attempt_folder(settings.home.absolute(), attempt)
