"""The SQLite store itself: commits, isolation of culprits, statements, listings, second processes."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from runnotary.core import chain
from runnotary.core import events as ev
from runnotary.core.errors import Conflict, Damaged, FileMissing
from runnotary.core.ids import to_text
from runnotary.core.permissions import Visible
from runnotary.core.queries import RunQuery
from runnotary.core.rows import FlowRow, RunRow, TaskRow
from runnotary.core.states import OPEN, State
from runnotary.ports import Append, Appended, Refusal
from runnotary.store import sqlite
from runnotary.store.listing import _walks, page
from runnotary.store.log import SqliteStore
from runnotary.store.sqlite import SQLITE, connect_reader, schema
from runnotary.store.verify import verify
from tests.store.history import ACTOR, DEFINITION, START, Tale, Ticks, flow_of, open_store, run_id, small_home

NOTE = ev.EngineNoted("test")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def store(home: Path) -> Iterator[SqliteStore]:
    opened = open_store(home)
    yield opened
    opened.close()


def note(name: str, expected: int = 0, event: ev.Event = NOTE) -> Append:
    return Append(chain.ledger_stream(name), expected, (event,), START, ACTOR)


def append(store: SqliteStore, *batch: Append) -> list[Appended | Refusal]:
    return asyncio.run(_append(store, batch))


async def _append(store: SqliteStore, batch: tuple[Append, ...]) -> list[Appended | Refusal]:
    return await store.append(batch)


def codes(results: list[Appended | Refusal]) -> list[str]:
    return [result.code if isinstance(result, Refusal) else "ok" for result in results]


def traced(store: SqliteStore) -> list[str]:
    """Return a list that fills with every statement the writer executes, but for pragmas."""
    seen: list[str] = []
    assert store._writer is not None
    store._writer._connection.set_trace_callback(
        lambda sql: None if sql.startswith("PRAGMA") else seen.append(" ".join(sql.split()[:3]))
    )
    return seen


def test_the_tables_have_the_columns_of_the_structs(home: Path) -> None:
    open_store(home).close()
    reader = connect_reader(home)
    for table, kind in (("runs", RunRow), ("tasks", TaskRow), ("flows", FlowRow)):
        columns = [row[1] for row in reader.execute(f"PRAGMA table_info({table})")]
        assert columns == list(kind.__struct_fields__)
    tables = [row[0] for row in reader.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
    reader.close()
    assert [table for table in tables if "event" in table] == ["events"]


@pytest.mark.parametrize("table", ["runs", "tasks"])
@pytest.mark.parametrize("state", [*State, "unheard-of"])
@pytest.mark.parametrize("over", [False, True])
def test_the_tables_know_the_states(table: str, state: str, over: bool) -> None:
    with closing(sqlite3.connect(":memory:")) as memory:
        memory.executescript(schema())
        _try_state(memory, table, state, over)


def _try_state(memory: sqlite3.Connection, table: str, state: str, over: bool) -> None:
    row: RunRow | TaskRow = Tale(1, Ticks()).turn(Tale(1, Ticks()).created()).rows[0]  # type: ignore[assignment]
    if table == "tasks":
        row = TaskRow(run_id(1), "a", "a", None, "", "", "", 0, None, None, None, None, None, "")
    row = msgspec.structs.replace(row, status=str(state), ended_at=START if over else None)
    statement = SQLITE.sql["put_run" if table == "runs" else "put_task"]
    allowed = state in list(State) and over == (State(state) not in OPEN)
    if allowed:
        memory.execute(statement, msgspec.structs.astuple(row))
    else:
        with pytest.raises(sqlite3.IntegrityError):
            memory.execute(statement, msgspec.structs.astuple(row))


def test_a_turn_costs_one_commit_and_one_statement_per_row(store: SqliteStore) -> None:
    tale = Tale(1, Ticks())
    append(store, note("warm"))
    seen = traced(store)
    append(store, tale.turn(tale.created(), tale.started("clean")))
    assert seen == [
        "BEGIN IMMEDIATE",
        "INSERT INTO events",
        "INSERT INTO events",
        "INSERT INTO log",
        "INSERT OR REPLACE",
        "INSERT OR REPLACE",
        "COMMIT",
    ]


def test_a_group_shares_one_commit_and_one_row_per_key(store: SqliteStore) -> None:
    tale = Tale(1, Ticks())
    append(store, note("warm"))
    seen = traced(store)
    append(store, *[tale.turn(event) for event in (tale.created(), tale.started("clean"))], note("b"))
    assert seen.count("COMMIT") == 1
    assert seen.count("INSERT OR REPLACE") == 2
    # One leaf per stream and commit, whatever the number of appends.
    assert seen.count("INSERT INTO log") == 2


def test_what_queues_during_a_commit_shares_the_next(store: SqliteStore) -> None:
    async def crowd() -> None:
        await store.append([note("warm")])
        await asyncio.gather(*[store.append([note(f"n{number}")]) for number in range(200)])

    seen = traced(store)
    asyncio.run(crowd())
    assert seen.count("COMMIT") < 100


def test_small_blobs_ride_in_the_next_commit(store: SqliteStore, home: Path) -> None:
    append(store, note("warm"))
    seen = traced(store)
    name = store.blobs.put(b"small")
    assert store.blobs.get(name) == b"small" and store.blobs.has(name) and store.blobs.size(name) == 5
    assert seen == []
    append(store, note("a"))
    assert seen == ["BEGIN IMMEDIATE", "INSERT INTO blobs", "INSERT INTO events", "INSERT INTO log", "COMMIT"]
    store.close()
    with_none_waiting = SqliteStore.open_read_only(home)
    assert with_none_waiting.blobs.get(name) == b"small"
    with_none_waiting.close()


def test_a_blob_put_last_is_there_after_closing(home: Path) -> None:
    store = open_store(home)
    name = store.blobs.put(b"last words")
    store.close()
    again = SqliteStore.open_read_only(home)
    assert again.blobs.get(name) == b"last words"
    again.close()


# --- whoever breaks a batch is refused alone --------------------------------------------------------


def test_a_body_too_large_is_refused_alone(store: SqliteStore) -> None:
    large = ev.EngineNoted("large", {"text": "x" * ev.BODY_MAX})
    results = append(store, note("a"), note("b", 0, large), note("c"))
    assert codes(results) == ["ok", "failed", "ok"]


def test_an_event_that_cannot_be_written_is_refused_alone(store: SqliteStore) -> None:
    results = append(store, note("a"), note("b", 0, ev.EngineNoted("odd", {"value": object()})), note("c"))
    assert codes(results) == ["ok", "failed", "ok"]


def test_a_row_that_the_schema_forbids_is_refused_alone(store: SqliteStore, home: Path) -> None:
    good, bad = Tale(1, Ticks()), Tale(2, Ticks())
    turn = bad.turn(bad.created())
    forbidden = msgspec.structs.replace(turn.rows[0], status="success")
    seen = traced(store)
    results = append(
        store,
        note("a"),
        msgspec.structs.replace(turn, rows=(forbidden,)),
        good.turn(good.created()),
    )
    assert codes(results) == ["ok", "failed", "ok"]
    assert store.run(good.id) is not None and store.run(bad.id) is None
    assert list(store.read(bad.stream)) == []
    # Together, then each alone: the two good ones commit, the bad one rolls back.
    assert seen.count("COMMIT") == 2
    store.blobs.put(DEFINITION)
    append(store, turn)
    store.close()
    assert verify(home).findings == ()


def test_a_writer_that_someone_overtook_finds_its_place_again(store: SqliteStore, home: Path) -> None:
    """A second writer is a defect elsewhere; it must not become a hole or a fork here."""
    append(store, note("a"))
    other = open_store(home)
    assert codes(append(other, note("a", 1), note("b"))) == ["ok", "ok"]
    other.close()
    assert codes(append(store, note("a", 1), note("b", 0), note("c"))) == ["conflict", "conflict", "ok"]
    assert codes(append(store, note("a", 2))) == ["ok"]
    store.close()
    assert verify(home).ok


def test_a_failing_disk_refuses_and_recovers(store: SqliteStore, home: Path) -> None:
    assert store._writer is not None
    connection = store._writer._connection
    append(store, note("a"))
    connection.execute("PRAGMA max_page_count = 1")
    filler = ev.EngineNoted("filler", {"text": "x" * 60_000})
    name = store.blobs.put(b"rides along")
    results = append(store, *[note(f"f{number}", 0, filler) for number in range(4)])
    assert set(codes(results)) == {"unwritten"}
    connection.execute("PRAGMA max_page_count = 1000000")
    assert codes(append(store, note("a", 1))) == ["ok"]
    store.close()
    assert verify(home, deep=True).ok
    again = SqliteStore.open_read_only(home)
    assert again.blobs.has(name)
    again.close()


def test_heads_that_were_forgotten_are_read_again(
    store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runnotary.store.streams._HEADS_MAX", 4)
    for number in range(12):
        append(store, note(f"n{number}"))
    for number in range(12):
        assert codes(append(store, note(f"n{number}", 1))) == ["ok"]


# --- around the loop --------------------------------------------------------------------------------


def test_a_caller_that_gave_up_does_not_stop_the_others(store: SqliteStore) -> None:
    async def impatient() -> None:
        gone = asyncio.ensure_future(store.append([note("gone")]))
        await asyncio.sleep(0)
        gone.cancel()
        assert codes(await store.append([note("stays")])) == ["ok"]

    asyncio.run(impatient())
    assert store.head(chain.ledger_stream("gone"))[0] == 1


def test_callers_in_several_loops_are_all_answered(store: SqliteStore) -> None:
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


def test_a_closed_store_refuses(home: Path) -> None:
    store = open_store(home)
    store.close()
    assert codes(append(store, note("a"))) == ["unwritten"]
    store.close()


# --- reading beside the writer ----------------------------------------------------------------------


def test_a_reader_in_another_place_sees_what_is_committed(store: SqliteStore, home: Path) -> None:
    reader = SqliteStore.open_read_only(home)
    append(store, note("a"))
    assert reader.head(chain.ledger_stream("a"))[0] == 1
    assert reader.home_salt() == store.home_salt()
    with pytest.raises(Conflict):
        append(reader, note("a", 1))
    with pytest.raises(Conflict):
        reader.blobs.put(b"x")
    reader.close()


def test_a_reader_cannot_write(store: SqliteStore, home: Path) -> None:
    reader = connect_reader(home)
    with pytest.raises(sqlite3.OperationalError):
        reader.execute("DELETE FROM events")
    reader.close()


def test_a_long_stream_is_read_in_pieces_that_hold_nothing_open(store: SqliteStore) -> None:
    stream = chain.ledger_stream("long")
    append(store, Append(stream, 0, (NOTE,) * 1500, START, ACTOR))
    reading = store.read(stream)
    assert next(reading).seq == 1
    assert not store._reader().in_transaction
    assert [record.seq for record in reading] == list(range(2, 1501))


def test_no_record_is_said_so(tmp_path: Path) -> None:
    with pytest.raises(FileMissing):
        SqliteStore.open_read_only(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_home_is_left_as_one_database_file(home: Path) -> None:
    small_home(home)
    assert sorted(path.name for path in home.iterdir()) == ["blobs", "checkpoint", "log.key", "runnotary.db"]


def test_a_home_that_is_no_database_is_damaged_not_a_crash(home: Path) -> None:
    home.mkdir()
    (home / "runnotary.db").write_bytes(b"not a database, but long enough to have a header" * 40)
    with pytest.raises(Damaged):
        open_store(home)
    with pytest.raises(Damaged):
        SqliteStore.open_read_only(home)
    assert not verify(home).ok


def test_the_ledger_folds(home: Path) -> None:
    small_home(home)
    store = SqliteStore.open_read_only(home)
    ledger = store.ledger("default")
    assert ledger.seq == 4 and ledger.salt == store.home_salt()
    assert sorted(ledger.flows.values(), key=lambda row: row.name) == store.flows("default")
    store.close()


# --- listings ---------------------------------------------------------------------------------------


@pytest.fixture
def listed(store: SqliteStore) -> SqliteStore:
    clock = Ticks()
    for number in range(1, 41):
        tale = Tale(number, clock)
        turn = tale.turn(tale.created())
        row = msgspec.structs.replace(
            turn.rows[0],
            flow="odd" if number % 2 else "even",
            namespace="other" if number > 35 else "default",
            tags='["tenth","x"]' if number % 10 == 0 else "[]",
            parent=run_id(1) if number in (5, 6) else None,
        )
        append(store, msgspec.structs.replace(turn, rows=(row,)))
        if number > 30:
            status = "failed" if number > 35 else "success"
            ended = msgspec.structs.replace(row, status=status, ended_at=clock.now())
            append(store, Append(tale.stream, 1, (NOTE,), clock.now(), ACTOR, (ended,)))
    return store


def numbers(store: SqliteStore, **filters: object) -> list[int]:
    query = RunQuery(**filters)  # type: ignore[arg-type]
    return [int.from_bytes(row.id[9:], "big") & 0xFFFF for row in store.runs(query)]


def test_listings_filter_and_page(listed: SqliteStore) -> None:
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


def test_a_run_is_found_by_the_beginning_of_its_id(listed: SqliteStore) -> None:
    row = listed.runs(RunQuery(limit=1))[0]
    text = to_text(row.id)
    for length in (26, 20, 11):
        assert row in listed.runs(RunQuery(prefix=text[:length].lower(), limit=100))
    assert listed.runs(RunQuery(prefix=text)) == [row]
    for nonsense in ("z", "U", "!", text + "0", "8ZZ"):
        assert listed.runs(RunQuery(prefix=nonsense)) == []


WALKED = [
    RunQuery(),
    RunQuery(descending=False),
    RunQuery(after=(START, run_id(30))),
    RunQuery(status=("failed",)),
    RunQuery(status=("failed", "success"), namespace=("default",)),
    RunQuery(flow=("odd", "even"), label="x"),
    RunQuery(status=("failed",), after=(START, run_id(30)), q="x y"),
    RunQuery(visible=Visible(("a",), ("user:x",))),
    RunQuery(order_by="flow"),
    RunQuery(order_by="status", descending=False, after=("failed", run_id(30))),
]


@pytest.mark.parametrize("query", WALKED)
def test_a_page_is_walked_never_sorted(listed: SqliteStore, query: RunQuery) -> None:
    with closing(connect_reader(listed.home)) as reader:
        for walk in _walks(query, SQLITE):
            sql, values = page(query, walk, 50, SQLITE)
            plan = [row[3] for row in reader.execute(f"EXPLAIN QUERY PLAN {sql}", values)]
            assert "runs" in plan[0] and not any("TEMP B-TREE" in line for line in plan), plan
            if query.status or query.flow or query.order_by != "created_at":
                assert "USING INDEX runs_" in plan[0], plan


def test_open_runs_are_read_from_their_own_index(listed: SqliteStore) -> None:
    with closing(connect_reader(listed.home)) as reader:
        plan = [row[3] for row in reader.execute(f"EXPLAIN QUERY PLAN {SQLITE.sql['open_runs']}")]
    assert plan == ["SCAN runs USING INDEX runs_open"] or plan == ["SCAN runs USING COVERING INDEX runs_open"]
    assert len(listed.open_runs()) == 30


def test_verify_of_this_history_is_clean(home: Path) -> None:
    report = verify(small_home(home), deep=True, flow_of=flow_of)
    assert report.findings == ()
    assert report.checked["runs"] == 4 and report.checked["events"] == 26
    assert report.checked["blobs"] == report.checked["blobs_read"] > 5


# --- media that cannot be written -------------------------------------------------------------------


def on_read_only_media(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let SQLite say what it says on such a medium, where no shared-memory file can be made."""
    real = sqlite._read_only

    def opened(path: Path, mode: str) -> sqlite3.Connection:
        if mode == "mode=ro":
            raise sqlite3.OperationalError("unable to open database file")
        return real(path, mode)

    monkeypatch.setattr(sqlite, "_read_only", opened)


def test_a_home_on_read_only_media_is_read_as_it_lies(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small_home(home)
    on_read_only_media(monkeypatch)
    reader = SqliteStore.open_read_only(home)
    assert reader.run(run_id(1)) is not None
    reader.close()
    assert verify(home, deep=True, flow_of=flow_of).ok


def test_commits_beside_the_database_are_not_overlooked_there(
    store: SqliteStore, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(store, note("a"))
    on_read_only_media(monkeypatch)
    with pytest.raises(FileMissing, match="commits beside it"):
        SqliteStore.open_read_only(home)


def test_a_copy_taken_in_the_middle_of_work_is_read_whole(home: Path, tmp_path: Path) -> None:
    store = open_store(home)
    append(store, note("a"))
    copy = Path(shutil.copytree(home, tmp_path / "copy"))
    store.close()
    (copy / "runnotary.db-shm").unlink()
    reader = SqliteStore.open_read_only(copy)
    assert reader.head(chain.ledger_stream("a"))[0] == 1
    reader.close()
