"""How many SQL statements a run costs, by name and counted exactly: on the writer, and on the readers."""

from __future__ import annotations

import asyncio
import sqlite3
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench import flows
from bench.rig import Place, embedded
from runnotary.app.home import Flows
from runnotary.core.ids import to_text
from runnotary.core.queries import RunQuery
from runnotary.engine.reader import Reader
from runnotary.store.log import SqliteStore

Json = Any


def kind(statement: str) -> str:
    """`INSERT events`, `COMMIT`, `SELECT runs`: the verb and the table."""
    words = statement.replace("(", " ").split()
    verb = words[0].upper()
    if verb == "INSERT":
        return f"INSERT {words[words.index('INTO') + 1]}"
    if verb == "SELECT":
        return f"SELECT {words[words.index('FROM') + 1]}"
    return verb


def counted(
    tmp_path: Path, document: Json, work: Callable[[Place, str], Any], times: int = 1
) -> Counter[str]:
    """Count the statements of `work` and of the checkpoint after it; it was done once before, to warm up."""
    seen: Counter[str] = Counter()

    def note(statement: str) -> None:
        seen[kind(statement)] += 1

    async def whole() -> None:
        async with embedded(tmp_path / "home") as place:
            flow = place.keep(document)
            await work(place, flow)
            await place.store.checkpoint()
            for connection in connections(place.store):
                connection.set_trace_callback(note)
            for _ in range(times):
                await work(place, flow)
            await place.store.checkpoint()
            for connection in connections(place.store):
                connection.set_trace_callback(None)

    asyncio.run(asyncio.wait_for(whole(), 60))
    return seen


def connections(store: Any) -> list[sqlite3.Connection]:
    assert isinstance(store, SqliteStore)
    assert store._writer is not None
    return [store._writer._connection, *store._readers]


async def one(place: Place, flow: str) -> None:
    await place.one(flow)


CHECKPOINT = {"BEGIN": 1, "COMMIT": 1, "DELETE": 1, "INSERT checkpoints": 1}


def test_a_run_of_one_effect_free_step_is_one_commit_and_reads_nothing(tmp_path: Path) -> None:
    assert counted(tmp_path, flows.ONE_SET, one) - Counter(CHECKPOINT) == {
        "BEGIN": 1,
        "COMMIT": 1,
        "INSERT events": 3,
        "INSERT log": 1,
        "INSERT runs": 1,
        "INSERT tasks": 1,
    }


def test_a_run_of_one_process_is_two_commits(tmp_path: Path) -> None:
    """The blobs, runtime and environment, were kept with the first run; new and ended rows are put."""
    assert counted(tmp_path, flows.ONE_TRUE, one) - Counter(CHECKPOINT) == {
        "BEGIN": 2,
        "COMMIT": 2,
        "INSERT events": 4,
        "INSERT log": 2,
        "INSERT runs": 2,
        "INSERT tasks": 2,
    }


def test_each_further_step_of_a_chain_is_one_commit(tmp_path: Path) -> None:
    three = counted(tmp_path / "3", flows.chain(3, {"run": ["true"]}), one)
    ten = counted(tmp_path / "10", flows.chain(10, {"run": ["true"]}), one)
    ten.subtract(three)
    assert {name: number for name, number in ten.items() if number} == {
        "BEGIN": 7,
        "COMMIT": 7,
        "INSERT events": 14,
        "INSERT log": 7,
        "INSERT tasks": 14,
        "UPDATE": 7,
    }


def test_effect_free_steps_are_one_commit_however_many_they_are(tmp_path: Path) -> None:
    seen = counted(tmp_path, flows.fan(50), one)
    assert (seen["COMMIT"], seen["INSERT runs"], seen["INSERT tasks"]) == (2, 1, 52), (
        "one is the checkpoint's"
    )


def test_runs_at_once_share_commits(tmp_path: Path) -> None:
    async def many(place: Place, flow: str) -> None:
        await place.many(flow, 100)

    seen = counted(tmp_path, flows.ONE_SET, many)
    assert seen["INSERT log"] == seen["INSERT runs"] == 100
    # How many each commit takes is a matter of luck; that it takes more than one is not.
    assert seen["COMMIT"] <= 20


def looks(tmp_path: Path, document: Json, look: Callable[[Reader, bytes], Any]) -> Counter[str]:
    """Count the statements of the second of two looks at a run that is over."""
    seen: Counter[str] = Counter()

    async def whole() -> None:
        async with embedded(tmp_path / "home") as place:
            reader = Reader(place.store, place.blobs, Flows(place.blobs))
            run = await place.one(place.keep(document))
            look(reader, run)
            for connection in connections(place.store):
                connection.set_trace_callback(lambda statement: seen.update([kind(statement)]))
            look(reader, run)
            for connection in connections(place.store):
                connection.set_trace_callback(None)

    asyncio.run(asyncio.wait_for(whole(), 60))
    return seen


def test_a_run_that_is_looked_at_again_costs_one_look_at_its_row(tmp_path: Path) -> None:
    def look(reader: Reader, run: bytes) -> None:
        reader.document(reader.resolve(to_text(run)))

    assert looks(tmp_path, flows.chain(100, {"set": {"x": 1}}), look) == {"SELECT runs": 1}


def test_a_page_of_runs_that_is_looked_at_again_is_one_statement(tmp_path: Path) -> None:
    def look(reader: Reader, run: bytes) -> None:
        for row in reader.store.runs(RunQuery(limit=50)):
            reader.document(row)

    assert looks(tmp_path, flows.ONE_SET, look) == {"SELECT runs": 1}
