"""A record is moved to another kind of database, is the same one there, and goes on there alone."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from runnotary.core.errors import Conflict, Damaged, FileMissing, InvalidInput, RolledBack
from runnotary.store import moving, outside
from runnotary.store.keys import KeyFile
from runnotary.store.postgresql.place import PostgresSide
from runnotary.store.sqlite_place import SqliteSide
from runnotary.store.tables import tables
from runnotary.store.verify import verify
from tests.postgres import Postgres
from tests.store import places
from tests.store.history import BY, Tale, Ticks, append, codes, note
from tests.store.moves import Two, events, fill, fresh_like, is_empty, place_of, rows, with_pending


@pytest.fixture(params=["to postgresql", "to sqlite"])
def two(request: pytest.FixtureRequest, postgres: Postgres, tmp_path: Path) -> Two:
    """Both in one home."""
    home = tmp_path / "home"
    found = [places.SqlitePlace(home), places.PostgresPlace(postgres.fresh(), home, postgres)]
    return Two(*(found if request.param == "to postgresql" else reversed(found)))


@pytest.fixture
def there(two: Two) -> Two:
    """With a record in the first of them."""
    fill(two.old.open(quickly=True))
    return two


# --- what is moved -----------------------------------------------------------------------------------


def test_every_row_arrives_byte_for_byte_and_the_event_of_the_move_is_one(there: Two) -> None:
    before = rows(there.old)
    old, new = there.move()
    assert rows(there.new) == rows(there.old)
    assert old.log == new.log and old.checked == new.checked
    assert old.log.size == len(before["log"]) + 1
    for table, had in before.items():
        assert [row for row in rows(there.old)[table] if row in had] == had, "the source lost something"
    (said,) = events(there.new, "moved")
    assert said.data["by"]["principal"] == BY.principal and said.data["reason"] == "more servers"
    assert said.data["place"] == new.place
    for place in (there.old, there.new):
        assert verify(place.record, deep=True).findings == ()
    assert not (there.old.home / moving.GROWING).exists()


def test_it_goes_on_under_its_name_and_key(there: Two) -> None:
    before = outside.published(there.old.home / "checkpoint")
    there.move()
    key = KeyFile(there.new.home).public_key("", ())
    fill(there.new.open(quickly=True), (7, 8))
    report = verify(there.new.record, deep=True)
    assert report.findings == () and report.checked["runs"] == 5
    after = outside.published(there.new.home / "checkpoint")
    assert before is not None and after is not None
    assert after.origin == before.origin and after.size > before.size
    assert report.checkpoint is not None and report.checkpoint.key == key.name
    assert report.checkpoint.uncovered == 0


def test_a_log_with_tiles(two: Two) -> None:
    fill(two.old.open(quickly=True), range(1, 90))
    _, new = two.move()
    assert new.log.size > 256 and len(rows(two.new)["tiles"]) == 1
    assert rows(two.new) == rows(two.old)
    fill(two.new.open(quickly=True), range(100, 160))
    assert verify(two.new.record, deep=True).findings == ()


def test_there_and_back(there: Two, tmp_path: Path) -> None:
    there.move()
    fill(there.new.open(quickly=True), (7,))
    back = Two(there.new, fresh_like(there.old, tmp_path / "back"))
    back.move()
    fill(back.new.open(quickly=True), (8,))
    assert verify(back.new.record, deep=True).findings == ()
    assert len(events(back.new, "moved")) == 2
    with pytest.raises((Conflict, RolledBack), match="was moved to"):
        there.new.open()


def test_into_another_home_go_blobs_key_and_checkpoint(there: Two, tmp_path: Path) -> None:
    home = there.old.home
    there.new.home = tmp_path / "elsewhere"
    there.move()
    for name in ("log.key", "checkpoint"):
        assert (there.new.home / name).read_bytes() == (home / name).read_bytes()
    assert (there.new.home / "log.key").stat().st_mode & 0o777 == 0o600
    kept = {path.name for path in (home / "blobs").glob("??/*")}
    assert kept and {path.name for path in (there.new.home / "blobs").glob("??/*")} == kept
    shutil.rmtree(home)
    fill(there.new.open(quickly=True), (7,))
    assert verify(there.new.record, deep=True).findings == ()


def test_into_another_home_without_any_blob_file(two: Two, tmp_path: Path) -> None:
    fill(two.old.open(quickly=True), ())
    two.new.home = tmp_path / "elsewhere"
    two.move()
    assert verify(two.new.record, deep=True).findings == ()


# --- nothing forks ------------------------------------------------------------------------------------


def test_what_it_was_moved_from_takes_nothing_more(there: Two) -> None:
    there.move()
    before = rows(there.old)
    with pytest.raises(Conflict, match="was moved to"):
        there.old.open()
    assert rows(there.old) == before
    there.old.read().close()
    fill(there.new.open(quickly=True), (7,))
    with pytest.raises(RolledBack, match="was moved to"):
        there.old.open()
    with pytest.raises(RolledBack, match="was moved to"):
        there.old.read()


def test_it_is_moved_to_one_place_only(there: Two, tmp_path: Path) -> None:
    there.move()
    with pytest.raises(Conflict, match="this record was moved to"):
        Two(there.old, fresh_like(there.new, tmp_path / "third")).move()


def test_a_server_that_was_away_meanwhile_can_write_nothing(postgres: Postgres, tmp_path: Path) -> None:
    place = places.PostgresPlace(postgres.fresh(), tmp_path / "home", postgres)
    fill(place.open())
    paused = place.open("paused", lease_seconds=600)
    try:
        two = Two(place, places.SqlitePlace(tmp_path / "home"))
        with pytest.raises(Conflict, match="servers work on this record: paused"):
            two.move()
        place.tell("UPDATE servers SET until = now() - interval '1 second'")
        two.move()
        before = rows(place)
        for _ in range(2):
            assert codes(append(paused, note("default", 3), note("other"))) == ["conflict", "conflict"]
        assert rows(place) == before
    finally:
        paused.close()
    assert rows(place) == before == rows(two.new)


@pytest.mark.parametrize("kind", ["source", "target"])
def test_a_server_that_begins_meanwhile_is_refused(
    postgres: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    place = places.PostgresPlace(postgres.fresh(), tmp_path / "home", postgres)
    two = Two(place, places.SqlitePlace(tmp_path / "home"))
    if kind == "target":
        two.old, two.new = two.new, two.old
    fill(two.old.open())
    require_equal, refused = moving._require_equal, []

    def begun(*given: Any) -> None:
        monkeypatch.setattr("runnotary.store.postgresql.connections.LOCK_SECONDS", 0.1)
        server = places.PostgresPlace(
            place.url, place.home if kind == "source" else tmp_path / "its", postgres
        )
        with pytest.raises(Conflict, match="makes or moves the record") as found:
            server.open("late")
        refused.append(found)
        require_equal(*given)

    monkeypatch.setattr(moving, "_require_equal", begun)
    two.move()
    assert refused
    assert rows(two.new) == rows(two.old)


def test_entries_without_positions_get_them_first(postgres: Postgres, tmp_path: Path) -> None:
    place = with_pending(postgres, tmp_path)
    two = Two(place, places.SqlitePlace(place.home))
    two.move()
    assert place.tell("SELECT count(*) FROM pending") == [(0,)]
    assert rows(two.new) == rows(place)


# --- what is refused ----------------------------------------------------------------------------------


def test_never_over_a_record(there: Two, tmp_path: Path) -> None:
    other = tmp_path / "other"
    there.new.home = other
    fill(there.new.open(quickly=True), (5,))
    before = rows(there.new), rows(there.old)
    with pytest.raises(Conflict, match="holds a record"):
        there.move()
    assert (rows(there.new), rows(there.old)) == before


def test_not_into_the_home_of_another_record(there: Two, tmp_path: Path) -> None:
    fill(places.SqlitePlace(tmp_path / "other").open(quickly=True), (5,))
    (tmp_path / "other" / "runnotary.db").unlink()
    there.new.home = tmp_path / "other"
    with pytest.raises(Conflict, match="of another record"):
        there.move()
    assert is_empty(there.new)


def test_not_to_the_same_kind_nor_from_nowhere(two: Two, tmp_path: Path) -> None:
    with pytest.raises(FileMissing):
        two.move()
    with pytest.raises(InvalidInput, match="both are of the kind"):
        Two(two.old, fresh_like(two.old, tmp_path / "third")).move()
    assert is_empty(two.new)


def test_not_what_does_not_verify(there: Two) -> None:
    there.old.tell("UPDATE runs SET label = 'another' WHERE label = 'run 1'")
    before = rows(there.old)
    with pytest.raises(Damaged, match="the record does not verify"):
        there.move()
    assert is_empty(there.new) and rows(there.old) == before


def test_not_while_steps_may_run(two: Two) -> None:
    store = two.old.open(quickly=True)
    asyncio.run(Tale(4, Ticks()).tell(store, until=2))
    store.close()
    with pytest.raises(Conflict, match="steps of this record are running, or were interrupted: 1"):
        two.move()
    assert is_empty(two.new)


def test_not_an_older_copy(there: Two) -> None:
    store = there.old.open(quickly=True)
    store.close()
    there.old.tell("DELETE FROM log WHERE pos = (SELECT max(pos) FROM log)")
    with pytest.raises(Damaged):
        there.move()
    assert is_empty(there.new)


def test_what_postgresql_cannot_hold_stays_where_it_is(postgres: Postgres, tmp_path: Path) -> None:
    two = Two(
        places.SqlitePlace(tmp_path / "home"),
        places.PostgresPlace(postgres.fresh(), tmp_path / "home", postgres),
    )
    store = two.old.open(quickly=True)
    tale = Tale(1, Ticks())
    store.blobs.put(b"")

    async def tell() -> None:
        fresh = msgspec.structs.replace(tale.created(), label="zero\0byte")
        tale.created = lambda: fresh  # type: ignore[method-assign]
        await tale.tell(store)

    asyncio.run(tell())
    store.close()
    before = rows(two.old)
    with pytest.raises(Conflict, match="the database cannot hold this record"):
        two.move()
    assert is_empty(two.new) and rows(two.old) == before


# --- half-way -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", ["events", "log", "tasks", "blobs"])
def test_what_does_not_arrive_whole_is_not_there(
    there: Two, table: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = rows(there.old)
    lossy(monkeypatch, table)
    with pytest.raises(Damaged):
        there.move()
    assert is_empty(there.new) and rows(there.old) == before
    monkeypatch.undo()
    there.move()
    assert rows(there.new) == rows(there.old)


def lossy(monkeypatch: pytest.MonkeyPatch, table: str) -> None:
    """Let the last row of a table get lost on its way."""
    for side in (SqliteSide, PostgresSide):
        fill_whole: Callable[..., None] = side.fill

        def fill_most(
            self: Any, into: Any, found: Iterable[Any], whole: Callable[..., None] = fill_whole
        ) -> None:
            every = list(found)
            whole(self, into, every[:-1] if into.name == table else every)

        monkeypatch.setattr(side, "fill", fill_most)


def test_counts_that_differ_are_named(there: Two, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were one not to verify what arrived, the comparison would still find that it is less."""
    lossy(monkeypatch, "blobs")
    with monkeypatch.context() as blind:
        blind.setattr(moving, "_require", lambda *_: None)
        with pytest.raises(Damaged, match="blobs were to arrive"):
            there.move()
    assert is_empty(there.new)


CHILD = """
import os, signal, sys
from runnotary.store import moving
from runnotary.store.postgresql.place import PostgresPlace, PostgresSide
from runnotary.store.sqlite_place import SqlitePlace, SqliteSide
from tests.store.history import BY, Seeded, Ticks

old, new, home, url, moment = sys.argv[1:]
from pathlib import Path
made = {"sqlite": lambda: SqlitePlace(Path(home)), "postgresql": lambda: PostgresPlace(url, Path(home))}
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
if moment == "said":
    kind = {"sqlite": SqliteSide, "postgresql": PostgresSide}[new]
    kind.commit = die
elif moment == "compared":
    moving._require_equal = die
else:
    for side in (SqliteSide, PostgresSide):
        def fill(self, table, rows, whole=side.fill):
            whole(self, table, rows)
            if table.name == moment:
                die()
        side.fill = fill
clock = Ticks(1_800_000_000_000_000)
moving.move(made[old](), made[new](), by=BY, reason="", copies=(), clock=clock, chance=Seeded(4))
"""


@pytest.mark.parametrize("moment", ["events", "uses", "compared", "said"])
def test_whoever_is_killed_begins_again(there: Two, moment: str) -> None:
    """Before the source says that it moved it can be worked on; after that it goes where it said."""
    kinds = [place_of(place).kind for place in (there.old, there.new)]
    url = next(place.url for place in (there.old, there.new) if isinstance(place, places.PostgresPlace))
    done = subprocess.run(
        [sys.executable, "-c", CHILD, *kinds, there.old.home, url, moment],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert is_empty(there.new)
    assert verify(there.old.record, deep=True).findings == ()
    if moment == "said":
        with pytest.raises(Conflict, match="was moved to"):
            there.old.open()
    else:
        fill(there.old.open(quickly=True), (5,))
    there.move()
    assert rows(there.new) == rows(there.old)
    assert len(events(there.new, "moved")) == 1
    fill(there.new.open(quickly=True), (7,))
    assert verify(there.new.record, deep=True).findings == ()


# --- what a move is made of ------------------------------------------------------------------------


def test_a_table_is_the_same_in_every_database(make_place: Any, tmp_path: Path) -> None:
    place = make_place(tmp_path / "home")
    place.open().close()
    for table in tables():
        assert [name for name in place.columns(table.name) if name != "server"] == list(table.columns)
        assert set(table.key) <= set(table.columns) and table.key
    assert {"events", "log", "tiles", "checkpoints", "runs", "blobs"} <= {table.name for table in tables()}


def test_the_event_of_a_move_names_no_password(postgres: Postgres, tmp_path: Path) -> None:
    two = Two(
        places.SqlitePlace(tmp_path / "home"),
        places.PostgresPlace(postgres.fresh(), tmp_path / "home", postgres),
    )
    fill(two.old.open(quickly=True))
    sides = two.move()
    (said,) = events(two.new, "moved")
    assert "correct" not in str(said.data) + str(sides)
    assert f":{postgres.port}/postgres schema test_" in said.data["place"]
