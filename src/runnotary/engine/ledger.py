"""Facts about a home itself: appended to its ledger, whoever else writes there meanwhile.

A ledger is a stream like any other, so an append is conditional on its length; a lost race is read again
and repeated.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from runnotary.core.chain import ledger_stream
from runnotary.core.errors import Conflict
from runnotary.core.events import Event
from runnotary.core.rows import Row
from runnotary.engine.parts import Parts
from runnotary.ports import Append, Refusal

TRIES: Final = 5
Said = Callable[[int], tuple[Event, tuple[Row, ...]] | None]


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
        """
        stream, store = ledger_stream(namespace), self._parts.store
        async with self._turn:
            for _ in range(TRIES):
                seq, _head = store.head(stream)
                last = max((record.at for record in store.read(stream, seq - 1)), default=0)
                now = max(self._parts.clock.now(), last)
                said = say(now)
                if said is None:
                    return
                event, rows = said
                (result,) = await store.append([Append(stream, seq, (event,), now, actor, rows)])
                if not isinstance(result, Refusal):
                    return
                if result.code != "conflict":
                    raise Conflict(f"the ledger of {namespace} refuses the fact: {result.message}")
        raise Conflict(f"the ledger of {namespace} keeps changing; try again")
