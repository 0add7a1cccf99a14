"""Listings against an oracle: random rows, random queries, every page, also while rows come in between."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runnotary.core import chain
from runnotary.core import events as ev
from runnotary.core.ids import to_text, uuid7
from runnotary.core.permissions import Visible
from runnotary.core.queries import RunQuery
from runnotary.core.rows import RunRow
from runnotary.ports import Append, Store
from runnotary.store.records import Records
from tests.postgres import Postgres
from tests.simulation.world import MemoryStore
from tests.store import oracle
from tests.store.history import ACTOR, START, open_store
from tests.store.places import Place, PostgresPlace

FLOWS = ("", "report", "Etl", "étude")
NAMES = ("user:ana", "user:bob", "group:qa")
NAMESPACES = ("default", "lab", "ops")
TAGS = ("nightly", "x", "Ünïcode", 'quo"te')
LABELS = ("", "run 1", "RUN 10", "Straße", "a%b_c", "näht")
MESSAGES = ("exit 1", "No Space left")
STATES = ("pending", "running", "waiting", "success", "failed", "cancelled", "skipped")
MOMENTS = tuple(START + 1000 * number for number in range(0, 12, 2))
json = msgspec.json.encode


def some(values: tuple[str, ...], most: int = 2) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(st.sampled_from(values), max_size=most, unique=True).map(tuple)


@st.composite
def run_rows(draw: st.DrawFn, number: int, parents: list[bytes]) -> RunRow:
    """Draw a row that the schema admits; its id holds a millisecond that it may share with others."""
    at = draw(st.sampled_from(MOMENTS))
    run = uuid7(at, draw(st.integers(0, 255)).to_bytes(6, "big") + number.to_bytes(2, "big"))
    status = draw(st.sampled_from(STATES))
    ended = status in STATES[3:]
    failed = ev.Failure("error", draw(st.sampled_from(MESSAGES))) if status == "failed" else None
    parent = draw(st.sampled_from([None, *parents]))
    return RunRow(
        id=run,
        namespace=draw(st.sampled_from(NAMESPACES)),
        flow=draw(st.sampled_from(FLOWS)),
        flow_id="",
        definition="",
        kind=draw(st.sampled_from(("run", "TrainingRun"))),
        status=status,
        reason="",
        trigger="api",
        created_by=draw(st.sampled_from(NAMES)),
        owner=draw(st.sampled_from(("", *NAMES))),
        label=draw(st.sampled_from(LABELS)),
        tags=json(draw(some(TAGS))).decode(),
        labels="{}",
        monitors=json(draw(some(NAMES))).decode(),
        managers=json(draw(some(NAMES))).decode(),
        parent=parent,
        root=parent or run,
        created_at=at,
        started_at=draw(st.none() | st.sampled_from(MOMENTS)),
        ended_at=draw(st.sampled_from(MOMENTS)) if ended else None,
        cancel_requested_at=None,
        progress="{}",
        error=json(failed).decode() if failed else "",
        counts="{}",
        seq=1,
        archived_at=draw(st.none() | st.just(START)) if ended else None,
        held="",
    )


@st.composite
def homes(draw: st.DrawFn) -> list[RunRow]:
    rows: list[RunRow] = []
    for number in range(draw(st.integers(0, 25))):
        rows.append(draw(run_rows(number, [row.id for row in rows[:2]])))
    return rows


@st.composite
def queries(draw: st.DrawFn, rows: list[RunRow]) -> RunQuery:
    """Draw filters: mostly few, so that something is left."""
    ids = [to_text(row.id) for row in rows] or [to_text(bytes(16))]
    moment = st.sampled_from(MOMENTS)
    fields: dict[str, st.SearchStrategy[Any]] = {
        "namespace": some(NAMESPACES),
        "flow": some(FLOWS, 3),
        "status": some(STATES, 5),
        "kind": some(("run", "TrainingRun")),
        "tag": some(TAGS),
        "created_by": some(NAMES),
        "owner": some(NAMES),
        "asset": some(("sales",), 1),
        "label": st.sampled_from(("run", "STRASSE", "%", "1", "NÄHT")),
        "parent": st.sampled_from([*ids, "nonsense"]),
        "q": st.sampled_from(
            ("report", "ETL nightly", "space", "étude run", 'quo"', "[", ids[0][:9], ids[-1])
        ),
        "prefix": st.sampled_from(("0", ids[0][:10].lower(), ids[-1], "!")),
        "started_from": moment,
        "started_to": moment,
        "ended_from": moment,
        "ended_to": moment,
        "roots_only": st.booleans(),
        "visible": st.builds(
            Visible, some(NAMESPACES), some(NAMES), st.booleans(), st.none() | some(NAMESPACES)
        ),
    }
    chosen = draw(st.lists(st.sampled_from(sorted(fields)), max_size=3, unique=True))
    return RunQuery(
        **{name: draw(fields[name]) for name in chosen},
        include_archived=draw(st.booleans()),
        order_by=draw(st.sampled_from(("created_at", "started_at", "ended_at", "label", "flow", "status"))),
        descending=draw(st.booleans()),
        limit=draw(st.sampled_from((1, 2, 3, 7))),
    )


def insert(store: Store, rows: list[RunRow]) -> None:
    """Put rows as they are: what they say about a run is not what is looked at here."""
    note = (ev.EngineNoted("test"),)
    batch = [Append(chain.run_stream(row.id), 0, note, START, ACTOR, (row,)) for row in rows]
    asyncio.run(store.append(batch))  # type: ignore[arg-type]


def pages(store: Store, query: RunQuery, between: Iterable[list[RunRow]] = ()) -> list[RunRow]:
    """Join all pages; before each further one, insert some more rows."""
    found: list[RunRow] = []
    more = iter(between)
    while page := store.runs(query):
        found += page
        insert(store, next(more, []))
        value = getattr(page[-1], query.order_by)
        query = msgspec.structs.replace(query, after=(value, page[-1].id))
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("listing")


NUMBERS = iter(range(1_000_000))
CAREFUL = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
FEWER = settings(CAREFUL, max_examples=20)
"""A database is made for each of them."""


@given(data=st.data())
@CAREFUL
def test_all_pages_together_are_what_the_filters_leave(folder: Path, data: st.DataObject) -> None:
    check_pages(open_store(folder / str(next(NUMBERS)), durability="normal"), data)


@given(data=st.data())
@FEWER
def test_so_they_are_on_postgresql(postgres: Postgres, folder: Path, data: st.DataObject) -> None:
    home = folder / str(next(NUMBERS))
    check_pages(PostgresPlace(postgres.fresh(), home, postgres).open(), data)


def check_pages(store: Records, data: st.DataObject) -> None:
    rows = data.draw(homes())
    try:
        insert(store, rows)
        for _ in range(6):
            query = data.draw(queries(rows))
            whole = msgspec.structs.replace(query, limit=1000)
            assert pages(store, query) == oracle.listed(rows, whole) == store.runs(whole)
            assert store.count(query) == oracle.counted(rows, query)
            skipped = msgspec.structs.replace(query, offset=2)
            assert store.runs(skipped) == oracle.listed(rows, skipped)
    finally:
        store.close()


@given(data=st.data())
@CAREFUL
def test_rows_that_come_between_pages_repeat_nothing_and_hide_nothing(
    folder: Path, data: st.DataObject
) -> None:
    check_between(open_store(folder / str(next(NUMBERS)), durability="normal"), data)


@given(data=st.data())
@FEWER
def test_so_they_do_on_postgresql(postgres: Postgres, folder: Path, data: st.DataObject) -> None:
    home = folder / str(next(NUMBERS))
    check_between(PostgresPlace(postgres.fresh(), home, postgres).open(), data)


def check_between(store: Records, data: st.DataObject) -> None:
    rows = data.draw(homes())
    late = [data.draw(run_rows(1000 + number, [])) for number in range(6)]
    query = data.draw(queries(rows))
    try:
        insert(store, rows)
        found = pages(store, query, [[row] for row in late])
        assert len({row.id for row in found}) == len(found)
        came = {row.id for row in late}
        whole = msgspec.structs.replace(query, limit=1000)
        assert [row for row in found if row.id not in came] == oracle.listed(rows, whole)
        ordered = oracle.listed(found, msgspec.structs.replace(whole, visible=None))
        assert [row.id for row in found] == [row.id for row in ordered]
    finally:
        store.close()


def test_many_values_are_one_walk(place: Place) -> None:
    store = place.open()
    memory = MemoryStore()
    try:
        rows = [
            msgspec.structs.replace(
                BARE, id=uuid7(START, number.to_bytes(8, "big")), flow=f"flow{number % 40}"
            )
            for number in range(100)
        ]
        for one in (store, memory):
            insert(one, rows)
        query = RunQuery(flow=tuple(f"flow{number}" for number in range(30)), limit=1000)
        assert store.runs(query) == memory.runs(query)
        assert len(store.runs(query)) == store.count(query) == 80
    finally:
        store.close()


def test_text_that_means_something_to_sql_is_only_text(place: Place) -> None:
    store = place.open()
    try:
        rows = [
            msgspec.structs.replace(BARE, id=uuid7(START + 1000 * number, bytes(8)), label=label)
            for number, label in enumerate(("50% off", "50 off", "a_b", "' OR 1=1 --", "\\"))
        ]
        insert(store, rows)
        for text, labels in {
            "%": ["50% off"],
            "_": ["a_b"],
            "' OR 1=1": ["' OR 1=1 --"],
            "\\": ["\\"],
            "OFF": ["50 off", "50% off"],
        }.items():
            assert [row.label for row in store.runs(RunQuery(label=text))] == labels
            assert [row.label for row in store.runs(RunQuery(q=text.split()[0]))] == labels
    finally:
        store.close()


BARE = RunRow(
    id=bytes(16),
    namespace="default",
    flow="",
    flow_id="",
    definition="",
    kind="run",
    status="running",
    reason="",
    trigger="api",
    created_by="user:ana",
    owner="user:ana",
    label="",
    tags="[]",
    labels="{}",
    monitors="[]",
    managers="[]",
    parent=None,
    root=bytes(16),
    created_at=START,
    started_at=START,
    ended_at=None,
    cancel_requested_at=None,
    progress="{}",
    error="",
    counts="{}",
    seq=1,
)
