"""The port `Store`: what every implementation does, the one in memory too."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from runnotary.core import chain
from runnotary.core import events as ev
from runnotary.core.permissions import Visible
from runnotary.core.queries import RunQuery
from runnotary.core.rows import FlowRow, KeyRow, RunRow
from runnotary.ports import Append, Appended, Change, Erasure, Refusal, Store
from tests.simulation.world import MemoryStore
from tests.store.conftest import DATABASES, place_in
from tests.store.history import ACTOR, START, Tale, Ticks, run_id
from tests.store.places import Place

NOTE = ev.EngineNoted("test")


@pytest.fixture(params=[*DATABASES, "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    if request.param == "memory":
        yield MemoryStore()
        return
    opened = place_in(request.param, tmp_path / "home", request).open()
    yield opened
    opened.close()


def note(name: str, expected: int, count: int = 1, at: int = START) -> Append:
    return Append(chain.ledger_stream(name), expected, (NOTE,) * count, at, ACTOR)


def append(store: Store, *batch: Append) -> list[Appended | Refusal]:
    return asyncio.run(store.append(batch))  # type: ignore[arg-type]


def codes(results: list[Appended | Refusal]) -> list[str]:
    return [result.code if isinstance(result, Refusal) else "ok" for result in results]


def test_what_is_appended_is_read_back_in_order(store: Store) -> None:
    tale = Tale(1, Ticks())
    assert codes(append(store, tale.turn(tale.created(), tale.started("clean")))) == ["ok"]
    records = list(store.read(tale.stream))
    assert [record.seq for record in records] == [1, 2]
    assert isinstance(records[0].event, ev.RunCreated) and isinstance(records[1].event, ev.TaskStarted)
    assert records[0].actor == ACTOR
    assert [record.seq for record in store.read(tale.stream, after=1)] == [2]


def test_a_head_is_the_length_and_the_end_of_the_chain(store: Store) -> None:
    stream = chain.ledger_stream("x")
    assert store.head(stream) == (0, chain.GENESIS)
    (result,) = append(store, note("x", 0, 3))
    assert isinstance(result, Appended)
    assert store.head(stream) == (3, result.head)


def test_only_the_expected_length_is_extended(store: Store) -> None:
    append(store, note("a", 0, 2))
    results = append(store, note("a", 1), note("b", 0), note("a", 3))
    assert codes(results) == ["conflict", "ok", "conflict"]
    refused = results[0]
    assert isinstance(refused, Refusal) and refused.actual_seq == 2
    assert codes(append(store, note("a", 2), note("b", 0))) == ["ok", "conflict"]


def test_a_refused_append_leaves_no_trace(store: Store) -> None:
    tale = Tale(1, Ticks())
    late = tale.turn(tale.created())
    wrong = Append(late.stream, 5, late.events, late.at, late.actor, late.rows)
    assert codes(append(store, wrong)) == ["conflict"]
    assert store.run(tale.id) is None
    assert list(store.read(tale.stream)) == []


def test_two_appends_to_one_stream_in_one_batch_follow_each_other(store: Store) -> None:
    results = append(store, note("a", 0, 2), note("a", 2), note("a", 2))
    assert codes(results) == ["ok", "ok", "conflict"]
    assert [result.seq for result in results if isinstance(result, Appended)] == [2, 3]
    assert [record.seq for record in store.read(chain.ledger_stream("a"))] == [1, 2, 3]


def test_what_goes_on_with_a_refused_append_is_refused_with_it(store: Store) -> None:
    """Somebody was faster by as many events as the first one holds: the rest would fit by chance."""
    append(store, note("x", 0))
    assert codes(append(store, note("x", 0), note("x", 1), note("y", 0))) == ["conflict", "conflict", "ok"]
    assert store.head(chain.ledger_stream("x"))[0] == 1


def test_time_never_runs_backwards_in_a_stream(store: Store) -> None:
    append(store, note("a", 0, at=START + 50))
    append(store, note("a", 1, at=START))
    append(store, note("a", 2, at=START + 60))
    assert [record.at - START for record in store.read(chain.ledger_stream("a"))] == [50, 50, 60]


def test_of_several_rows_for_one_key_the_last_one_stays(store: Store) -> None:
    tale = Tale(1, Ticks())
    first, second = tale.turn(tale.created()), tale.turn(tale.started("clean"))
    assert codes(append(store, first, second)) == ["ok", "ok"]
    assert store.run(tale.id) == second.rows[0]
    assert [task.key for task in store.tasks(tale.id)] == ["clean"]


def test_open_runs_are_those_that_are_not_over(store: Store) -> None:
    clock = Ticks()
    open_one, over = Tale(2, clock), Tale(1, clock)
    append(store, open_one.turn(open_one.created()), over.turn(over.created()))
    assert store.open_runs() == [over.id, open_one.id]
    append(store, over.turn(ev.RunFinished("skipped", "condition")))
    assert store.open_runs() == [open_one.id]


def test_runs_are_listed_newest_first(store: Store) -> None:
    clock = Ticks()
    tales = [Tale(number, clock) for number in (2, 1, 3)]
    append(store, *[tale.turn(tale.created()) for tale in tales])
    assert [row.id for row in store.runs(RunQuery(limit=2))] == [run_id(3), run_id(2)]


def test_a_flow_is_found_by_its_name(store: Store) -> None:
    row = FlowRow("default", "report", "id", "sha256:0", "1", "", "", 1, START)
    append(store, Append(chain.ledger_stream("x"), 0, (NOTE,), START, ACTOR, (row,)))
    assert store.flow("default", "report") == row
    assert store.flow("other", "report") is None
    assert store.flows("default") == [row]


def test_many_appenders_at_once_each_get_their_own_answer(store: Store) -> None:
    async def one(number: int) -> list[str]:
        found = []
        for expected in range(8):
            found += codes(await store.append([note(f"s{number}", expected)]))
        return found

    async def all_of_them() -> list[list[str]]:
        return await asyncio.gather(*[one(number) for number in range(64)])

    assert asyncio.run(all_of_them()) == [["ok"] * 8] * 64
    for number in range(64):
        assert store.head(chain.ledger_stream(f"s{number}"))[0] == 8


def test_of_many_that_want_the_same_place_one_gets_it(store: Store) -> None:
    async def all_of_them() -> list[list[Appended | Refusal]]:
        return await asyncio.gather(*[store.append([note("one", 0)]) for _ in range(64)])

    found = [codes(results)[0] for results in asyncio.run(all_of_them())]
    assert sorted(found) == ["conflict"] * 63 + ["ok"]


def test_an_empty_batch_is_answered(store: Store) -> None:
    assert append(store) == []


def test_the_rows_are_the_structs(store: Store) -> None:
    tale = Tale(1, Ticks())
    turn = tale.turn(tale.created())
    append(store, turn)
    assert isinstance(turn.rows[0], RunRow)
    assert store.run(tale.id) == turn.rows[0]


class Noted:
    """Notes what went on beside its commit, and how much of the stream was there then."""

    def __init__(self, store: Store, stream: bytes) -> None:
        self.told: list[tuple[str, int]] = []
        self._length = lambda: store.head(stream)[0]

    def meanwhile(self) -> None:
        self.told.append(("meanwhile", 0))

    def durable(self) -> None:
        self.told.append(("durable", self._length()))


def test_beside_a_commit_durable_is_told_once_it_is_and_before_append_returns(store: Store) -> None:
    batch = [note("beside", 0, 2)]
    beside = Noted(store, batch[0].stream)

    async def both() -> tuple[list[str], int]:
        results = await store.append(batch, beside)
        return codes(results), len([what for what, _ in beside.told if what == "durable"])

    assert asyncio.run(both()) == (["ok"], 1)
    assert ("durable", 2) in beside.told
    assert beside.told.count(("meanwhile", 0)) <= 1


def test_beside_a_refused_commit_nothing_is_durable(store: Store) -> None:
    batch = [note("refused", 0), note("refused", 5)]
    beside = Noted(store, batch[0].stream)
    assert "conflict" in codes(asyncio.run(_beside(store, batch, beside)))
    assert not [what for what, _ in beside.told if what == "durable"]


async def _beside(store: Store, batch: list[Append], beside: Noted) -> list[Appended | Refusal]:
    return await store.append(batch, beside)


# --- the log by position ----------------------------------------------------------------------------


def test_the_feed_is_every_commit_of_a_stream_in_order(store: Store) -> None:
    start = store.position()
    append(store, note("a", 0, 2), note("b", 0))
    append(store, note("a", 2, 3), note("b", 7))
    a, b = chain.ledger_stream("a"), chain.ledger_stream("b")
    found = store.feed(start)
    assert [(one.stream, one.from_seq, one.seq) for one in found] == [(a, 1, 2), (b, 1, 1), (a, 3, 5)]
    assert [one.pos for one in found] == [start + 1, start + 2, start + 3]
    assert store.feed(start + 1, 1) == found[1:2]
    assert store.feed(store.position()) == []


def test_a_watcher_is_told_each_commit_in_the_loop_it_watches_from(store: Store) -> None:
    async def whole() -> list[Change]:
        told: list[Change] = []
        store.watch(told.extend)
        for number in range(5):
            await store.append([note("a", number)])
        await store.append([note("a", 99)])
        await asyncio.sleep(0.01)
        return told

    told = asyncio.run(whole())
    assert told == store.feed(store.position() - 5)
    assert [one.seq for one in told] == [1, 2, 3, 4, 5]


# --- keys and purges ---------------------------------------------------------------------------------


def keyed(tale: Tale, name: str = "k") -> Append:
    turn = tale.turn(tale.created())
    return msgspec.structs.replace(turn, rows=(*turn.rows, KeyRow("user:x", name, tale.id, bytes(32))))


def tombstone(store: Store, tale: Tale, key: tuple[str, str] | None = None) -> Append:
    erasure = Erasure(tale.id, *store.head(tale.stream), key)
    length = store.head(chain.ledger_stream("x"))[0]
    return msgspec.structs.replace(note("x", length), erase=(erasure,))


def test_a_key_is_found_until_its_run_is_purged(store: Store) -> None:
    tale = Tale(1, Ticks())
    assert store.keyed("user:x", "k") is None
    assert codes(append(store, keyed(tale))) == ["ok"]
    assert store.keyed("user:x", "k") == KeyRow("user:x", "k", tale.id, bytes(32))
    assert store.keyed("user:y", "k") is None
    assert codes(append(store, tombstone(store, tale, ("user:x", "k")))) == ["ok"]
    assert store.keyed("user:x", "k") is None


def test_what_follows_in_one_stream_is_written_whole_or_not_at_all(place: Place) -> None:
    """A turn by several actors is several appends; what the database refuses of it, it refuses of all."""
    store, tale, late = place.open(), Tale(1, Ticks()), Tale(2, Ticks())
    append(store, keyed(tale))
    created, started = late.turn(late.created()), keyed(late)
    append(store, created, msgspec.structs.replace(started, expected_seq=1))
    assert store.head(late.stream) == (0, chain.GENESIS)
    assert store.run(late.id) is None
    assert store.keyed("user:x", "k") == KeyRow("user:x", "k", tale.id, bytes(32))
    store.close()


def test_small_blobs_are_durable_after_an_empty_batch(place: Place) -> None:
    opened = place.open()
    name = opened.blobs.put(b"small")
    append(opened)
    beside = place.read()
    assert beside.blobs.get(name) == b"small"
    beside.close()
    opened.close()


def test_a_purge_takes_the_stream_and_its_rows_and_leaves_the_log(store: Store) -> None:
    clock = Ticks()
    tale, other = Tale(1, clock), Tale(2, clock)
    append(store, *[one.turn(one.created(), one.started("clean")) for one in (tale, other)])
    before = store.feed(0)
    assert codes(append(store, tombstone(store, tale))) == ["ok"]
    assert (store.run(tale.id), store.tasks(tale.id), list(store.read(tale.stream))) == (None, [], [])
    assert store.head(tale.stream) == (0, chain.GENESIS)
    assert store.feed(0)[: len(before)] == before
    assert store.run(other.id) is not None and len(store.tasks(other.id)) == 1


def test_a_purge_of_a_run_that_has_grown_is_refused_and_nothing_is_written(store: Store) -> None:
    tale = Tale(1, Ticks())
    append(store, tale.turn(tale.created()))
    late = tombstone(store, tale)
    grown = tale.turn(tale.started("clean"))
    assert codes(append(store, grown, late)) == ["ok", "conflict"]
    assert codes(append(store, late)) == ["conflict"]
    assert store.head(chain.ledger_stream("x"))[0] == 0
    assert len(list(store.read(tale.stream))) == 2


def test_nothing_is_appended_to_a_purged_run(store: Store) -> None:
    tale = Tale(1, Ticks())
    append(store, tale.turn(tale.created()))
    gone, more = tombstone(store, tale), tale.turn(tale.started("clean"))
    assert codes(append(store, gone, more)) == ["ok", "conflict"]
    assert codes(append(store, more)) == ["conflict"]
    assert store.run(tale.id) is None


def test_what_waits_is_told_by_run_and_key_of_those_runs_that_the_filters_leave(store: Store) -> None:
    clock = Ticks()
    tales = [Tale(number, clock) for number in (1, 2, 3)]
    for tale in tales:
        keys = ("summary", "clean") if tale.number == 2 else ("clean",)
        waits = [ev.TaskWaiting(key, "approval", request={"id": key}) for key in keys]
        created = msgspec.structs.replace(tale.created(), namespace="lab" if tale.number == 3 else "default")
        append(store, tale.turn(created, *waits))
    answered = ev.TaskSignalled("clean", ev.By("user:ana"), {"decision": "approved"})
    append(store, tales[0].turn(answered))

    def told(query: RunQuery, *place: Any, limit: int = 50) -> list[tuple[bytes, str]]:
        return [(row.run, row.key) for row in store.waiting(query, place or None, limit)]  # type: ignore[arg-type]

    two, three = tales[1].id, tales[2].id
    every = [(two, "clean"), (two, "summary"), (three, "clean")]
    assert told(RunQuery()) == every
    assert told(RunQuery(), limit=2) == every[:2]
    assert told(RunQuery(), two, "clean") == every[1:]
    assert told(RunQuery(namespace=("lab",))) == every[2:]
    assert told(RunQuery(namespace=("lab", "default"), flow=("report", "other"))) == every
    assert told(RunQuery(flow=("other",))) == []
    assert told(RunQuery(visible=Visible(("lab",)))) == every[2:]
    assert told(RunQuery(visible=Visible())) == []
    append(store, tales[1].turn(ev.RunFinished("cancelled")))
    assert told(RunQuery()) == every[2:], "what is over waits for nobody"
