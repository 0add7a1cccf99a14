"""Taking away what another server adds to, or is about to name, at the same time."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path

import pytest

from runnotary.core import chain
from runnotary.core import events as ev
from runnotary.core.documents import use_rows
from runnotary.ports import Append, Appended, Erasure
from runnotary.store.postgresql.store import PostgresStore
from runnotary.store.verify import verify
from tests.postgres import Postgres
from tests.store.history import ACTOR, BY, START, Tale, Ticks
from tests.store.places import PostgresPlace

RUNS = 24


@pytest.fixture
def place(postgres: Postgres, tmp_path: Path) -> PostgresPlace:
    return PostgresPlace(postgres.fresh(), tmp_path / "home", postgres)


async def taken_away(store: PostgresStore, tale: Tale, *, bodies: bool) -> bool:
    """Purge a run, or erase what it says, as of now; False if it has grown meanwhile."""
    seq, head = store.head(tale.stream)
    name = chain.stream_name(tale.stream)
    said = ev.StreamErased(name, BY, "asked", length=seq, head=head.hex(), bodies=bodies)
    used = tuple(row.blob for row in use_rows(tale.run, {}.__getitem__))
    erasure = Erasure(tale.id, seq, head, None, used, bodies)
    ledger = chain.ledger_stream("default")
    while True:
        append = Append(ledger, store.head(ledger)[0], (said,), START, ACTOR, (), (erasure,))
        (result,) = await store.append([append])
        if isinstance(result, Appended):
            return True
        if result.stream != ledger:
            return False
        assert result.code == "conflict", result


async def changed(store: PostgresStore, tale: Tale) -> bool:
    """Say something more about a run that is over; False if it is gone."""
    before = tale.run.label
    (result,) = await store.append([tale.turn(ev.RunUpdated(BY, {"label": before}, {"label": "late"}))])
    assert isinstance(result, Appended) or result.code == "conflict", result
    return isinstance(result, Appended)


@pytest.mark.parametrize("bodies", [False, True])
def test_a_run_that_grows_while_it_is_taken_away_stays_or_refuses(place: PostgresPlace, bodies: bool) -> None:
    outcomes: Counter[tuple[bool, bool]] = Counter()

    async def both() -> None:
        clock = Ticks()
        first, second = place.open("a"), place.open("b")
        tales = [Tale(number, clock) for number in range(RUNS)]
        for tale in tales:
            await tale.tell(first)
        for number, tale in enumerate(tales):
            if number % 3 == 0:  # its end is remembered in both servers
                assert await changed(second, tale)
            done = (taken_away(first, tale, bodies=bodies), changed(second, tale))
            gone, grown = await asyncio.gather(*(done if number % 2 else reversed(done)))
            gone, grown = (gone, grown) if number % 2 else (grown, gone)
            outcomes[gone, grown] += 1
            if not gone:
                assert await taken_away(first, tale, bodies=bodies)
        first.close()
        second.close()

    asyncio.run(both())
    assert all(gone or grown for gone, grown in outcomes), outcomes
    found = verify(place.record, deep=True).findings
    assert found == (), [str(one) for one in found]


def test_a_blob_stays_while_another_server_is_at_work(place: PostgresPlace) -> None:
    async def work() -> None:
        alone = place.open("a")
        digest = alone.blobs.put(b"small bytes")
        await alone.append([])
        other = place.open("b")
        assert await alone.blobs.discard([(digest, alone.position() + 1)], {digest}) == []
        assert other.blobs.get(digest) == b"small bytes"
        other.close()
        assert await alone.blobs.discard([(digest, alone.position() + 1)], {digest}) == [digest]
        assert not alone.blobs.has(digest)
        alone.close()

    asyncio.run(work())
