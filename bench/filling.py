"""A home filled with many runs, as fast as its own store takes them: `python -m bench.filling HOME NUMBER`.

Every run is one that the engine could have made: its events are planned by the core, sealed and committed by
the store, with the rows that follow from them; `verify` finds nothing. Only the turns are left out: runs of
one kind differ in their id, their time and their words, so each kind is planned once.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from bench import flows
from runnotary import __version__
from runnotary.app.signing import HomeKey
from runnotary.app.system import SystemChance, SystemClock
from runnotary.core import definition
from runnotary.core import events as ev
from runnotary.core.chain import ENGINE_ACTOR, actor_id, run_stream
from runnotary.core.documents import rows
from runnotary.core.fold import fold
from runnotary.core.ids import uuid7
from runnotary.core.plan import Room, advance
from runnotary.core.rows import Row, RunRow, TaskRow
from runnotary.core.run import Run
from runnotary.ports import Append, Refusal
from runnotary.store.log import SqliteStore

Json = Any
BY: Final = ev.By("user:bench", "os-user")
BATCH: Final = 1000
SPACING_US: Final = 1000
FAILS: Final[Json] = {"steps": {"only": {"set": {"x": "1 / (size(run.id) - 26)"}}}}
# Of a hundred runs, this many are of each kind; the last share is that of a rare status.
KINDS: Final = ((flows.ONE_SET, 79), (flows.ONE_SKIPPED, 20), (FAILS, 1))


class Kind:
    """Runs of one definition: planned once, then written as often as wanted."""

    def __init__(self, store: SqliteStore, document: Json) -> None:
        made = definition.define(document)
        digest = store.blobs.put(made.canonical)
        self._created = ev.RunCreated(
            definition=digest, engine=__version__, durability="full", by=BY, owner=BY.principal
        )
        run = Run(bytes(16), definition.compile(made.document))
        fold(run, self._created, 0)
        self._events = tuple(advance(run, room=Room(1), now=0).events)
        assert run.finished is not None
        self._rows = rows(run)
        self._actor = actor_id(store.home_salt(), BY.principal)

    def appends(self, run: bytes, at: int, label: str) -> tuple[Append, Append]:
        """Return what the engine would append for one run that starts and ends at this time, in µs."""
        stream = run_stream(run)
        created = msgspec.structs.replace(self._created, label=label)
        made = tuple(_row(row, run, at, label) for row in self._rows)
        return (
            Append(stream, 0, (created,), at, self._actor),
            Append(stream, 1, self._events, at, ENGINE_ACTOR, made),
        )


def _row(row: Row, run: bytes, at: int, label: str) -> Row:
    if isinstance(row, RunRow):
        return msgspec.structs.replace(
            row, id=run, root=run, label=label, created_at=at, started_at=_at(row.started_at, at), ended_at=at
        )
    assert isinstance(row, TaskRow)
    return msgspec.structs.replace(row, run=run, started_at=_at(row.started_at, at), ended_at=at)


def _at(known: int | None, at: int) -> int | None:
    return None if known is None else at


async def fill(home: Path, number: int) -> float:
    """Add this many runs to a home, the newest of them now; return how many were written in a second."""
    clock, chance = SystemClock(), SystemChance()
    store = SqliteStore.open(home, clock=clock, chance=chance, signer=HomeKey(home))
    kinds = [kind for document, share in KINDS for kind in [Kind(store, document)] * share]
    first = clock.now() - number * SPACING_US
    started = time.perf_counter()
    try:
        for low in range(0, number, BATCH):
            batch: list[Append] = []
            for index in range(low, min(low + BATCH, number)):
                at = first + index * SPACING_US
                kind = kinds[index * 37 % len(kinds)]
                batch += kind.appends(uuid7(at, chance.token(8)), at, f"night {index % 1000}")
            refused = [one for one in await store.append(batch) if isinstance(one, Refusal)]
            assert not refused, refused[0]
    finally:
        store.close()
    return number / (time.perf_counter() - started)


def main(arguments: Sequence[str]) -> int:
    """Fill a home and say how fast that went."""
    home, number = Path(arguments[0]), int(arguments[1])
    print(f"{asyncio.run(fill(home, number)):,.0f} runs/s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
