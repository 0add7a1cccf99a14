"""What was erased stands nowhere in the file of the database, not even where nothing should be."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import pytest

from runnotary.core import events as ev
from runnotary.core.chain import ledger_stream, run_stream
from runnotary.ports import Append, Erasure
from runnotary.store.log import SqliteStore
from tests.store.history import assert_appended, open_store, run_id

STREAMS, ROUNDS = 300, 60
WORD = "zebedee"


async def grown(store: SqliteStore) -> list[int]:
    """Let many streams grow side by side, as those of runs do; some of them name somebody."""
    chance = random.Random(1)
    named = [number for number in range(STREAMS) if number % 50 == 0]
    for done in range(ROUNDS):
        batch = [
            Append(
                run_stream(run_id(number)),
                done,
                (ev.RunAnnotated("said", {"by": WORD if number in named else "other", "x": filler}),),
                1,
                bytes(16),
            )
            for number in range(STREAMS)
            if (filler := "x" * chance.choice((50, 300, 900, 3000)))
        ]
        assert_appended(list(await store.append(batch)))
    return named


async def erased(store: SqliteStore, numbers: list[int]) -> None:
    for number in numbers:
        seq, head = store.head(run_stream(run_id(number)))
        said = ev.StreamErased(f"run/{number}", ev.By("user:root"), length=seq, head=head.hex(), bodies=True)
        gone = Erasure(run_id(number), seq, head, bodies=True)
        at = store.head(ledger_stream("default"))[0]
        append = Append(ledger_stream("default"), at, (said,), 1, bytes(16), (), (gone,))
        assert_appended(list(await store.append([append])))


def copies(home: Path) -> int:
    return sum(path.read_bytes().count(WORD.encode()) for path in home.rglob("*") if path.is_file())


@pytest.mark.parametrize("scrubbed", [False, True])
def test_where_sqlite_split_a_page_it_leaves_copies_until_the_file_is_written_anew(
    tmp_path: Path, scrubbed: bool
) -> None:
    """To overwrite what is deleted (`secure_delete`) is not enough; here is why there is a `scrub`."""
    store = open_store(tmp_path)
    try:

        async def work() -> bool:
            await erased(store, await grown(store))
            assert await store.scrub(at_most=1) is False
            return not scrubbed or await store.scrub()

        assert asyncio.run(work())
    finally:
        store.close()
    assert (copies(tmp_path) == 0) is scrubbed
