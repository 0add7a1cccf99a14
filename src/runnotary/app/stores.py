"""Which record the settings mean, and how it is opened: a home's own database, or one that servers share."""

from __future__ import annotations

import shlex
from pathlib import Path

from runnotary.app.seats import Seat, host_name, is_vacant
from runnotary.app.signing import HomeKey
from runnotary.app.system import SystemChance, SystemClock
from runnotary.config import Settings
from runnotary.core.errors import FileMissing, RunNotFound
from runnotary.store.log import SqliteStore
from runnotary.store.opening import Record
from runnotary.store.outside import refuse_rollback
from runnotary.store.records import Records
from runnotary.store.sqlite import database


def opened(settings: Settings, seat: Seat, *, serves: bool) -> Records:
    """Open the record for writing, as the server of a folder; `serves` one goes on with what others left."""
    clock, chance = SystemClock(), SystemChance()
    signer, witness = HomeKey(settings.home), shlex.split(settings.witness)
    if not settings.shared:
        return SqliteStore.open(
            settings.home,
            clock=clock,
            chance=chance,
            signer=signer,
            durability=settings.durability,
            copies=settings.copies,
            witness=witness,
            profile=settings.profile,
        )
    # The driver takes 50 ms to import.
    from runnotary.store.postgresql.servers import Server
    from runnotary.store.postgresql.store import PostgresStore

    server = Server(
        seat.name,
        host_name(),
        lease_seconds=settings.lease,
        takes_over=serves,
        is_dead=lambda name: name == seat.name or is_vacant(settings.home, name),
    )
    return PostgresStore.open(
        settings.database_url,
        settings.home,
        server=server,
        clock=clock,
        chance=chance,
        signer=signer,
        copies=settings.copies,
        witness=witness,
        profile=settings.profile,
    )


def opened_read_only(settings: Settings) -> Records:
    """Open the record for reading.

    Raises:
        RunNotFound: nothing was ever recorded. RolledBack: what was is gone, or older.
    """
    if settings.shared:
        from runnotary.store.postgresql.store import PostgresStore

        try:
            return PostgresStore.open_read_only(settings.database_url, settings.home, settings.copies)
        except FileMissing as missing:
            raise RunNotFound(missing.message, hint=missing.hint) from None
    if not database(settings.home).exists():
        refuse_rollback(settings.home, None, settings.copies)
        raise RunNotFound(
            f"nothing is recorded in {settings.home}", hint="start a flow: runnotary start FILE"
        )
    return SqliteStore.open_read_only(settings.home, settings.copies)


def is_new(settings: Settings) -> bool:
    """Tell whether nothing was ever recorded."""
    if not settings.shared:
        return not database(settings.home).exists()
    from runnotary.store.postgresql.store import is_new as is_new_there

    return is_new_there(settings.database_url)


def record_of(settings: Settings) -> Path | Record:
    """Return what a verification reads."""
    if not settings.shared:
        return settings.home
    from runnotary.store.postgresql.record import PostgresRecord

    return PostgresRecord(settings.database_url, settings.home)


def has_servers(settings: Settings) -> bool:
    """Tell whether a server works on the shared record; one of this host that was killed does not."""
    from runnotary.store.postgresql.store import has_servers as are_there

    def is_dead(name: str, host: str) -> bool:
        return host == host_name() and is_vacant(settings.home, name)

    return are_there(settings.database_url, is_dead)
