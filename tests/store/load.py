"""Load on several servers of one database, and the proof that nothing of it was lost or doubled."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

import psycopg

from runnotary.core import chain
from runnotary.core import events as ev
from runnotary.core.errors import Unreachable
from runnotary.ports import Append, Appended, Change
from runnotary.store.postgresql.store import PostgresStore
from runnotary.store.records import Records
from runnotary.store.verify import verify
from tests.store.history import ACTOR, START
from tests.store.places import PostgresPlace

KIND: Final = "load"
PATIENCE_SECONDS: Final = 240
Read = TypeVar("Read")
Fault = Callable[[], Awaitable[object]]


class Load:
    """Words that are said, each in one event. Whoever is refused looks whether it was, and says it again."""

    def __init__(
        self, *stores: PostgresStore, streams: int = 3, words: int = 20, shared: bool = True
    ) -> None:
        self.stores: Final = stores
        self._streams: Final = streams
        self._words: Final = words
        self._shared: Final = shared
        self.meant: Final[set[str]] = set()
        self.acknowledged: Final[Counter[str]] = Counter()
        self.refused: Final[Counter[str]] = Counter()
        self.told: Final[list[list[Change]]] = [[] for _ in stores]
        self._grown: Final = asyncio.Condition()

    async def run(self, *faults: Fault) -> None:
        """Say everything; the faults happen one after the other, spread over the work."""
        began = [store.position() for store in self.stores]
        for store, told in zip(self.stores, self.told, strict=True):
            store.watch(told.extend)
        total = len(self.stores) * self._streams * self._words
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.gather(
                *(
                    self._say(store, f"{number if not self._shared else 's'}-{stream}", f"{number}-{stream}")
                    for number, store in enumerate(self.stores)
                    for stream in range(self._streams)
                ),
                *(
                    self._happen(fault, (index + 1) * total // (len(faults) + 1))
                    for index, fault in enumerate(faults)
                ),
            )
            await self._all_told(began)

    async def _all_told(self, began: Sequence[int]) -> None:
        """See that every watcher is told the whole log, in its order and once, whoever committed."""
        await self.stores[0].checkpoint()  # places all that waits
        last = self.stores[0].position()
        for told, first in zip(self.told, began, strict=True):
            while not told or told[-1].pos < last:
                await asyncio.sleep(0.01)
            assert [one.pos for one in told if one.pos <= last] == list(range(told[0].pos, last + 1))
            assert told[0].pos >= first

    async def _happen(self, fault: Fault, after: int) -> None:
        async with self._grown:
            await self._grown.wait_for(lambda: sum(self.acknowledged.values()) >= after)
        await fault()

    async def _say(self, store: PostgresStore, stream: str, who: str) -> None:
        key = chain.ledger_stream(stream)
        for number in range(self._words):
            word = f"{who}-{number}"
            self.meant.add(word)
            while True:
                seq = (await patiently(lambda: store.head(key)))[0]
                event = ev.EngineNoted(KIND, {"word": word})
                (result,) = await store.append([Append(key, seq, (event,), START, ACTOR)])
                if isinstance(result, Appended):
                    self.acknowledged[word] += 1
                    break
                self.refused[result.code] += 1
                assert result.code != "failed", result
                if word in await patiently(lambda: words_in(store, key)):
                    break
            async with self._grown:
                self._grown.notify_all()

    def check(self, place: PostgresPlace) -> None:
        """Close the servers; see that each word was said once, and that the record is whole and covered."""
        for store in self.stores:
            store.close()
        check_words(place, self.meant)


async def patiently(read: Callable[[], Read]) -> Read:
    """Read as soon as the database answers: a server's readers do not wait for it."""
    while True:
        try:
            return await asyncio.to_thread(read)
        except (Unreachable, psycopg.OperationalError):
            await asyncio.sleep(0.05)


def words_in(store: Records, stream: bytes) -> list[str]:
    return [
        record.event.data["word"]
        for record in store.read(stream)
        if isinstance(record.event, ev.EngineNoted) and record.event.kind == KIND
    ]


def check_words(place: PostgresPlace, meant: set[str]) -> None:
    """See that each word was said once, and that the record is whole and covered by a checkpoint."""
    reader = place.read()
    try:
        said = [word for name in reader.ledgers() for word in words_in(reader, chain.ledger_stream(name))]
    finally:
        reader.close()
    counted = Counter(said)
    assert set(said) == meant, f"lost: {sorted(meant - set(said))}, unknown: {sorted(set(said) - meant)}"
    assert len(said) == len(meant), f"doubled: {[word for word in counted if counted[word] > 1]}"
    report = verify(place.record, deep=True)
    assert report.ok, "\n".join(map(str, report.findings))
    assert place.tell("SELECT count(*) FROM pending") == [(0,)]
    assert report.checkpoint is not None and report.checkpoint.uncovered == 0
