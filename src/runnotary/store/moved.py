"""A record that was moved to another kind of database says so in its ledger, and is written to no more.

The event (`engine.noted` of kind `moved`) is the last one that both places have: in the old one nothing
follows it, in the new one the record goes on.
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
from runnotary.store.sealing import LEDGER

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
    """Return where a record went from here, and when; None if it, or what it is a copy of, goes on."""
    size = connection.ask("last_pos").fetchone()[0]
    row = connection.ask("leaves", (size - 1, size)).fetchone()
    if row is None or row[0] != LEDGER:
        return None
    seq, envelope, body = connection.ask("read_stream", (LEDGER, row[1] - 1, 1)).fetchone()
    record = None if body is None else chain.opened(seq, envelope, body)
    if record is None or not isinstance(record.event, EngineNoted) or record.event.kind != MOVED:
        return None
    said = msgspec.convert(record.event.data, Moved)
    return None if said.target == connection.dialect.folder.name else (said, record.at)


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
