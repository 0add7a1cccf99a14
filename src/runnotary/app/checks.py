"""Verification, backup and restore of a record, for commands."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from runnotary.app.home import locked
from runnotary.app.moving import place_of
from runnotary.app.signing import HomeKey
from runnotary.app.system import SystemChance, SystemClock, operating_user
from runnotary.app.verifying import checked as checked
from runnotary.config import Settings
from runnotary.store.backup import backup
from runnotary.store.outside import HELP
from runnotary.store.restoring import Restored, Wanted, restore

ROLLED_BACK: Final = HELP


def backed_up(settings: Settings, target: Path) -> int:
    """Copy the record to a new folder, which is a home; return the number of blob files."""
    return backup(place_of(settings), target)


def restored(settings: Settings, source: Path, *, reason: str, accept_loss: bool) -> Restored:
    """Make the record from a backup.

    Raises:
        HomeLocked: an engine works there. Conflict: there is a record.
        RolledBack: a checkpoint outside is newer than the backup.
    """
    wanted = Wanted(by=operating_user(), reason=reason, accept_loss=accept_loss, copies=settings.copies)
    seat = locked(settings.home)
    try:
        return restore(
            source, place_of(settings), wanted, clock=SystemClock(), chance=SystemChance(), signer_of=HomeKey
        )
    finally:
        seat.close()
