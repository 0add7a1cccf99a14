"""Verification and backup of a home, for commands."""

from __future__ import annotations

from pathlib import Path

from runnotary.config import Settings
from runnotary.store.backup import backup
from runnotary.store.report import Report as Report
from runnotary.store.verify import verify

__all__ = ["Report", "backed_up", "verified"]


def verified(settings: Settings, *, run: bytes | None, deep: bool) -> Report:
    """Check the whole home, or one run in it; `deep` reads every blob there, or every blob of the run."""
    return verify(settings.home, run=run, deep=deep)


def backed_up(settings: Settings, target: Path) -> int:
    """Copy the home's record to a new folder; return the number of blob files."""
    return backup(settings.home, target)
