"""What every store in a database does: culprits isolated, callers answered, readings, listings."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import msgspec
import pytest

from runnotary.core import chain
from runnotary.core import events as ev
from runnotary.core.errors import Conflict, FileMissing
from runnotary.core.ids import to_text
from runnotary.core.queries import RunQuery
from runnotary.core.rows import FlowRow, RunRow, TaskRow
from runnotary.ports import Append
from runnotary.store.records import Records
from runnotary.store.verify import verify
from tests.store.history import (
    ACTOR,
    DEFINITION,
    NOTE,
    START,
    Tale,
    Ticks,
    append,
    codes,
    fill_small,
    flow_of,
    note,
    run_id,
    tell_forty,
)
from tests.store.places import Place


@pytest.fixture
def store(place: Place) -> Iterator[Records]:
    opened = place.open()
    yield opened
    opened.close()


@pytest.fixture
def listed(store: Records) -> Records:
    tell_forty(store)
    return store


def test_the_tables_have_the_columns_of_the_structs(store: Records, place: Place) -> None:
    for table, kind in (("runs", RunRow), ("tasks", TaskRow), ("flows", FlowRow)):
        assert [name for name in place.columns(table) if name != "server"] == list(kind.__struct_fields__)


def test_a_blob_put_last_is_there_after_closing(place: Place) -> None:
    store = place.open()
    name = store.blobs.put(b"last words")
    store.close()
    again = place.read()
    assert again.blobs.get(name) == b"last words"
    again.close()


# --- whoever breaks a batch is refused alone --------------------------------------------------------


def test_a_body_too_large_is_refused_alone(store: Records) -> None:
    large = ev.EngineNoted("large", {"text": "x" * ev.BODY_MAX})
    results = append(store, note("a"), note("b", 0, large), note("c"))
    assert codes(results) == ["ok", "failed", "ok"]


def test_an_event_that_cannot_be_written_is_refused_alone(store: Records) -> None:
    results = append(store, note("a"), note("b", 0, ev.EngineNoted("odd", {"value": object()})), note("c"))
    assert codes(results) == ["ok", "failed", "ok"]


def test_a_row_that_the_schema_forbids_is_refused_alone(store: Records, place: Place) -> None:
    good, bad = Tale(1, Ticks()), Tale(2, Ticks())
    turn = bad.turn(bad.created())
    forbidden = msgspec.structs.replace(turn.rows[0], status="success")
    results = append(
        store,
        note("a"),
        msgspec.structs.replace(turn, rows=(forbidden,)),
        good.turn(good.created()),
    )
    assert codes(results) == ["ok", "failed", "ok"]
    assert store.run(good.id) is not None and store.run(bad.id) is None
    assert list(store.read(bad.stream)) == []
    store.blobs.put(DEFINITION)
    append(store, turn)
    store.close()
    assert verify(place.record).findings == ()


def test_a_writer_that_someone_overtook_finds_its_place_again(store: Records, place: Place) -> None:
    """A second writer is a defect elsewhere; it must not become a hole or a fork here."""
    append(store, note("a"))
    other = place.open()
    assert codes(append(other, note("a", 1), note("b"))) == ["ok", "ok"]
    other.close()
    assert codes(append(store, note("a", 1), note("b", 0), note("c"))) == ["conflict", "conflict", "ok"]
    assert codes(append(store, note("a", 2))) == ["ok"]
    store.close()
    assert verify(place.record).ok


def test_heads_that_were_forgotten_are_read_again(store: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runnotary.store.streams._HEADS_MAX", 4)
    for number in range(12):
        append(store, note(f"n{number}"))
    for number in range(12):
        assert codes(append(store, note(f"n{number}", 1))) == ["ok"]


# --- around the loop --------------------------------------------------------------------------------


def test_a_caller_that_gave_up_does_not_stop_the_others(store: Records) -> None:
    async def impatient() -> None:
        gone = asyncio.ensure_future(store.append([note("gone")]))
        await asyncio.sleep(0)
        gone.cancel()
        assert codes(await store.append([note("stays")])) == ["ok"]

    asyncio.run(impatient())
    assert store.head(chain.ledger_stream("gone"))[0] == 1


def test_callers_in_several_loops_are_all_answered(store: Records) -> None:
    found: list[str] = []

    def in_a_thread(number: int) -> None:
        for expected in range(10):
            found.extend(codes(append(store, note(f"t{number}", expected))))

    threads = [threading.Thread(target=in_a_thread, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["ok"] * 40


def test_a_closed_store_refuses(place: Place) -> None:
    store = place.open()
    store.close()
    assert codes(append(store, note("a"))) == ["unwritten"]
    store.close()


# --- reading beside the writer ----------------------------------------------------------------------


def test_a_reader_in_another_place_sees_what_is_committed(store: Records, place: Place) -> None:
    reader = place.read()
    append(store, note("a"))
    assert reader.head(chain.ledger_stream("a"))[0] == 1
    assert reader.home_salt() == store.home_salt()
    with pytest.raises(Conflict):
        append(reader, note("a", 1))
    with pytest.raises(Conflict):
        reader.blobs.put(b"x")
    reader.close()


def test_a_long_stream_is_read_in_pieces_that_hold_nothing_open(store: Records) -> None:
    stream = chain.ledger_stream("long")
    append(store, Append(stream, 0, (NOTE,) * 1500, START, ACTOR))
    reading = store.read(stream)
    assert next(reading).seq == 1
    assert not store._reader().in_transaction
    assert [record.seq for record in reading] == list(range(2, 1501))


def test_no_record_is_said_so(place: Place) -> None:
    with pytest.raises(FileMissing):
        place.read()
    with pytest.raises(FileMissing):
        verify(place.record)
    assert not place.home.exists()


def test_the_ledger_folds(place: Place) -> None:
    fill_small(place.open())
    store = place.read()
    ledger = store.ledger("default")
    assert ledger.seq == 4 and ledger.salt == store.home_salt()
    assert sorted(ledger.flows.values(), key=lambda row: row.name) == store.flows("default")
    store.close()


# --- listings ---------------------------------------------------------------------------------------


def numbers(store: Records, **filters: object) -> list[int]:
    query = RunQuery(**filters)  # type: ignore[arg-type]
    return [int.from_bytes(row.id[9:], "big") & 0xFFFF for row in store.runs(query)]


def test_listings_filter_and_page(listed: Records) -> None:
    every = list(range(40, 0, -1))
    assert numbers(listed, limit=100) == every
    assert numbers(listed, limit=5, offset=3) == every[3:8]
    assert numbers(listed, limit=5, after=(START, run_id(30))) == [29, 28, 27, 26, 25]
    assert numbers(listed, status=("failed",)) == [40, 39, 38, 37, 36]
    assert numbers(listed, status=("failed", "success"), limit=3, offset=4) == [36, 35, 34]
    assert numbers(listed, flow=("odd",), limit=3) == [39, 37, 35]
    assert numbers(listed, namespace=("other",)) == [40, 39, 38, 37, 36]
    assert numbers(listed, tag=("tenth",)) == [40, 30, 20, 10]
    assert numbers(listed, tag=("tent",)) == []
    assert numbers(listed, label="run 3", limit=100) == [39, 38, 37, 36, 35, 34, 33, 32, 31, 30, 3]
    assert 5 not in numbers(listed, roots_only=True, limit=100)
    assert numbers(listed, limit=0) == []


def test_a_run_is_found_by_the_beginning_of_its_id(listed: Records) -> None:
    row = listed.runs(RunQuery(limit=1))[0]
    text = to_text(row.id)
    for length in (26, 20, 11):
        assert row in listed.runs(RunQuery(prefix=text[:length].lower(), limit=100))
    assert listed.runs(RunQuery(prefix=text)) == [row]
    for nonsense in ("z", "U", "!", text + "0", "8ZZ"):
        assert listed.runs(RunQuery(prefix=nonsense)) == []


def test_verify_of_this_history_is_clean(place: Place) -> None:
    fill_small(place.open())
    report = verify(place.record, deep=True, flow_of=flow_of)
    assert report.findings == ()
    assert report.checked["runs"] == 4 and report.checked["events"] == 26
    assert report.checked["blobs"] == report.checked["blobs_read"] > 5
