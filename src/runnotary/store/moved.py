"""A record that was moved to another kind of database says so in its ledger, and is written to no more.

The event (`engine.noted` of kind `moved`) is the last one that both places have: in the old one nothing
follows it, in the new one the record goes on. A restore from a copy of either begins a log of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from runnotary.core import chain
from runnotary.core.errors import Conflict, RolledBack
from runnotary.core.events import By, EngineNoted
from runnotary.core.times import to_text as time_text
from runnotary.store.connection import Connection
from runnotary.store.outside import refuse_rollback
from runnotary.store.sealing import LEDGER, RESTORED

MOVED: Final = "moved"
_HINT: Final = "let database_url be its address; the record here is only read"


class Moved(msgspec.Struct, frozen=True):
    """Data of an `engine.noted` of kind `moved`: the kinds of the two places, and where the new one is."""

    by: By
    source: str
    target: str
    place: str
    reason: str = ""


def moved_away(connection: Connection) -> tuple[Moved, int] | None:
    """Return where a record went from here, and when; None if it is the one that goes on."""
    found: tuple[Moved, int] | None = None
    for seq, envelope, body in connection.ask("noted", (LEDGER,)).fetchall():
        record = None if body is None else chain.opened(seq, envelope, body)
        if record is None or not isinstance(record.event, EngineNoted):
            continue
        if record.event.kind == RESTORED:
            found = None
        elif record.event.kind == MOVED:
            found = msgspec.convert(record.event.data, Moved), record.at
    return found if found and found[0].target != connection.dialect.folder.name else None


def refuse_moved(connection: Connection) -> None:
    """Refuse to write to a record that went elsewhere: the one there goes on under the same name and key.

    Raises:
        Conflict: it did.
    """
    if said := _whither(connection):
        raise Conflict(said, hint=_HINT)


def refuse_older(home: Path, connection: Connection, copies: Sequence[Path]) -> None:
    """Refuse what `refuse_rollback` does; of a record that went elsewhere it is said where the newest one is.

    Raises:
        RolledBack, Damaged: see there.
    """
    try:
        refuse_rollback(home, connection, copies)
    except RolledBack as wrong:
        with suppress(connection.Error, ValueError, TypeError):
            if said := _whither(connection):
                raise RolledBack([*wrong.findings, said], hint=_HINT) from None
        raise


def _whither(connection: Connection) -> str:
    found = moved_away(connection)
    return (
        f"this record was moved to {found[0].place} at {time_text(found[1])}, and goes on there"
        if found
        else ""
    )
