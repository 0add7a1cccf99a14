"""Two places of one record, and what tests of moves, backups and restores see in them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from runnotary.core.events import EngineNoted
from runnotary.store.moving import Side, move
from runnotary.store.places import Place
from runnotary.store.postgresql.place import PostgresPlace
from runnotary.store.records import Records
from runnotary.store.sealing import LEDGER
from runnotary.store.sqlite_place import SqlitePlace
from runnotary.store.tables import tables
from tests.postgres import Postgres
from tests.store import places
from tests.store.history import BY, START, Seeded, Tale, Ticks, push_flow

LATER = START + 10**12


class Two:
    """The two places of a move: in one a record, in the other none."""

    def __init__(self, old: places.Place, new: places.Place) -> None:
        self.old, self.new = old, new

    def move(self, **words: Any) -> tuple[Side, Side]:
        given: dict[str, Any] = {"by": BY, "reason": "more servers", "copies": ()} | words
        return move(place_of(self.old), place_of(self.new), clock=Ticks(LATER), chance=Seeded(9), **given)


def place_of(place: places.Place) -> Place:
    if isinstance(place, places.PostgresPlace):
        return PostgresPlace(place.url, place.home)
    return SqlitePlace(place.home)


def fill(store: Records, numbers: Iterable[int] = (1, 2, 3)) -> None:
    async def tell() -> None:
        clock = Ticks()
        if store.head(LEDGER)[0] == 1:
            await push_flow(store, "report", clock)
        for number in numbers:
            await Tale(number, Ticks(START + number * 10**7), large=number == 2).tell(store)
        await store.checkpoint()

    try:
        asyncio.run(tell())
    finally:
        store.close()


def rows(place: places.Place) -> dict[str, list[tuple[Any, ...]]]:
    """Return all that a record says, without what only the servers on it say about themselves."""
    return {
        table.name: place.tell(
            f"SELECT {', '.join(table.columns)} FROM {table.name} ORDER BY {', '.join(table.key)}"
        )
        for table in tables()
    }


def is_empty(place: places.Place) -> bool:
    if isinstance(place, places.SqlitePlace):
        return not (place.home / "runnotary.db").exists()
    return not place.columns("release")


def events(place: places.Place, kind: str) -> list[EngineNoted]:
    store = place.read()
    try:
        noted = [record.event for record in store.noted()]
        return [event for event in noted if isinstance(event, EngineNoted) and event.kind == kind]
    finally:
        store.close()


def with_pending(postgres: Postgres, tmp_path: Path) -> places.PostgresPlace:
    """Return a record whose last entries wait for positions: the server that gives them was killed."""
    place = places.PostgresPlace(postgres.fresh(), tmp_path / "home", postgres)
    fill(place.open())
    place.tell("DELETE FROM checkpoints")
    (place.home / "checkpoint").unlink()
    place.tell(
        "WITH gone AS (DELETE FROM log WHERE pos > 5 RETURNING *)"
        " INSERT INTO pending (stream, from_seq, seq, head)"
        " SELECT stream, from_seq, seq, head FROM gone ORDER BY pos"
    )
    return place


def fresh_like(place: places.Place, home: Path) -> places.Place:
    """Return an empty place of the same kind."""
    if isinstance(place, places.PostgresPlace):
        return places.PostgresPlace(place.postgres.fresh(), place.home, place.postgres)
    return places.SqlitePlace(home)
