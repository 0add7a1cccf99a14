"""What commands read of a home, without an engine: its reader, and the folders of attempts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from runnotary.app.home import is_locked, reading
from runnotary.config import Settings
from runnotary.core.states import OPEN
from runnotary.engine.reader import Reader as Reader
from runnotary.executors.process.environment import Shell as Shell
from runnotary.executors.process.environment import read_shell

Json = Any
INTERRUPTED = "interrupted"

__all__ = ["INTERRUPTED", "Reader", "Shell", "attempt_folder", "reading", "shell_of", "shown_status"]


def shown_status(status: str, settings: Settings) -> str:
    """Return a status as it is shown: open without an engine is `interrupted`, which is never stored."""
    return INTERRUPTED if status in OPEN and not is_locked(settings.home) else status


def attempt_folder(settings: Settings, attempt: str) -> Path:
    """Return where an attempt runs, or has left what it is kept for."""
    return settings.home.absolute() / "attempts" / attempt


def shell_of(settings: Settings, attempt: str) -> Shell | None:
    """Return how to stand where an attempt stood; None if its folder is gone."""
    return read_shell(str(attempt_folder(settings, attempt)))
