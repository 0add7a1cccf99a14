"""The SQLite store itself: commits, isolation of culprits, statements, listings, second processes."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from runnotary.core import chain
from runnotary.core import events as ev
from runnotary.core.errors import Damaged, FileMissing
from runnotary.core.permissions import Visible
from runnotary.core.queries import RunQuery
from runnotary.core.rows import RunRow, TaskRow
from runnotary.core.states import OPEN, State
from runnotary.store import sqlite
from runnotary.store.listing import _walks, page
from runnotary.store.log import SqliteStore
from runnotary.store.sqlite import SQLITE, connect_reader, schema
from runnotary.store.verify import verify
from tests.store.history import (
    START,
    Tale,
    Ticks,
    append,
    codes,
    flow_of,
    note,
    open_store,
    run_id,
    small_home,
    tell_forty,
)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def store(home: Path) -> Iterator[SqliteStore]:
    opened = open_store(home)
    yield opened
    opened.close()


def traced(store: SqliteStore) -> list[str]:
    """Return a list that fills with every statement the writer executes, but for pragmas."""
    seen: list[str] = []
    assert store._writer is not None
    store._writer._connection.set_trace_callback(
        lambda sql: None if sql.startswith("PRAGMA") else seen.append(" ".join(sql.split()[:3]))
    )
    return seen


def test_one_table_holds_the_events(home: Path) -> None:
    open_store(home).close()
    with closing(connect_reader(home)) as reader:
        tables = [row[0] for row in reader.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
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


def test_a_batch_with_a_culprit_is_written_in_parts(store: SqliteStore) -> None:
    bad = Tale(2, Ticks())
    turn = bad.turn(bad.created())
    seen = traced(store)
    append(
        store,
        note("a"),
        msgspec.structs.replace(turn, rows=(msgspec.structs.replace(turn.rows[0], status="success"),)),
        note("b"),
    )
    # Together, then each alone: the two good ones commit, the bad one rolls back.
    assert seen.count("COMMIT") == 2


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


# --- reading beside the writer ----------------------------------------------------------------------


def test_a_reader_cannot_write(store: SqliteStore, home: Path) -> None:
    reader = connect_reader(home)
    with pytest.raises(sqlite3.OperationalError):
        reader.execute("DELETE FROM events")
    reader.close()


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


# --- listings ---------------------------------------------------------------------------------------


@pytest.fixture
def listed(store: SqliteStore) -> SqliteStore:
    tell_forty(store)
    return store


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
