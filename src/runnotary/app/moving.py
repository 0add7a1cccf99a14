"""A record moved to another kind of database, and places for backups and restores, for commands."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from runnotary.app.home import locked
from runnotary.app.seats import host_name, is_vacant
from runnotary.app.system import SystemChance, SystemClock, operating_user
from runnotary.config import Settings
from runnotary.core.errors import FileMissing
from runnotary.store.sqlite import database
from runnotary.store.sqlite_place import SqlitePlace

if TYPE_CHECKING:
    from runnotary.store.moving import Side
    from runnotary.store.places import Place


def place_of(settings: Settings) -> Place:
    """Return where the record of these settings lies, or is to lie."""
    if not settings.shared:
        return SqlitePlace(settings.home)
    from runnotary.store.postgresql.place import PostgresPlace

    def is_dead(name: str, host: str) -> bool:
        return host == host_name() and is_vacant(settings.home, name)

    return PostgresPlace(settings.database_url, settings.home, is_dead)


def moved(source: Settings, target: Settings, *, reason: str) -> tuple[Side, Side]:
    """Move the record of `source` to where `target` says; return what both are then.

    Raises:
        HomeLocked: an engine works in one of the homes. And whatever `store.moving.move` raises.
    """
    from runnotary.store.moving import move

    if not source.shared and not database(source.home).is_file():
        raise FileMissing(
            f"{source.home} holds no record",
            hint="an absolute path has four slashes: sqlite:////HOME/runnotary.db",
        )
    own = target if source.shared else source
    with _alone(own):
        return move(
            place_of(source),
            place_of(target),
            by=operating_user(),
            reason=reason,
            copies=own.copies,
            clock=SystemClock(),
            chance=SystemChance(),
        )


@contextmanager
def _alone(settings: Settings) -> Iterator[None]:
    """Hold the lock of a home."""
    seat = locked(settings.home)
    try:
        yield
    finally:
        seat.close()
