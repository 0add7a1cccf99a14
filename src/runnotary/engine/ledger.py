"""Facts about a home itself: appended to its ledger, whoever else writes there meanwhile.

A ledger is a stream like any other, so an append is conditional on its length; a lost race is read again
and repeated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from runnotary.core.chain import ENGINE_ACTOR, ledger_stream
from runnotary.core.errors import Changed, Conflict
from runnotary.core.events import EngineNoted, Event, StreamErased
from runnotary.core.rows import Row
from runnotary.engine.parts import Parts
from runnotary.ports import Append, Erasure, Refusal

TRIES: Final = 5
Said = Callable[[int], tuple[Event, tuple[Row, ...]] | None]
Made = Callable[[bytes, int, int], Append | None]


class LedgerWriter:
    """Writes the ledgers of one home, one fact at a time."""

    def __init__(self, parts: Parts) -> None:
        self._parts: Final = parts
        self._turn: Final = asyncio.Lock()

    async def append(self, namespace: str, actor: bytes, say: Said) -> None:
        """Append what `say` returns for the time of the append; None means that there is nothing to say.

        `say` is called again, and may look again, if another writer got in.

        Raises:
            Conflict: another writer got in again and again, or the store refuses the fact.
            NotRecorded: the store failed to write it.
        """

        def made(stream: bytes, seq: int, now: int) -> Append | None:
            said = say(now)
            return Append(stream, seq, said[:1], now, actor, said[1]) if said else None

        await self._append(namespace, made)

    async def note_step(self, us: int) -> None:
        """Note a step of the clock: a reader of the record should not trust times across it."""
        noted = EngineNoted("clock_step", {"us": us})
        await self.append("default", ENGINE_ACTOR, lambda now: (noted, ()))

    async def bury(
        self, namespace: str, actor: bytes, erased: Sequence[tuple[StreamErased, Erasure]]
    ) -> None:
        """Write the tombstones of runs, and take the runs away in the same commit: all of them or none.

        Raises:
            Changed: one of the runs is not any more as its tombstone says.
            Conflict: as in `append`.
        """
        tombstones = tuple(event for event, _ in erased)
        gone = tuple(erasure for _, erasure in erased)
        await self._append(
            namespace, lambda stream, seq, now: Append(stream, seq, tombstones, now, actor, (), gone)
        )

    async def _append(self, namespace: str, make: Made) -> None:
        stream, store = ledger_stream(namespace), self._parts.store
        async with self._turn:
            for _ in range(TRIES):
                seq, _head = store.head(stream)
                last = max((record.at for record in store.read(stream, seq - 1)), default=0)
                append = make(stream, seq, max(self._parts.clock.now(), last))
                if append is None:
                    return
                (result,) = await store.append([append])
                if not isinstance(result, Refusal):
                    return
                if result.code != "conflict":
                    raise result.error(f"the ledger of {namespace} refuses the fact")
                if result.stream != stream:
                    raise Changed("a run changed while it was about to be purged")
        raise Conflict(f"the ledger of {namespace} keeps changing; try again")
