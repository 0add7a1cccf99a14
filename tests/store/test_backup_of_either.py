"""A backup of either database is a home, and is restored into either."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from runnotary.app.signing import HomeKey
from runnotary.core.errors import Conflict, RolledBack
from runnotary.core.events import StreamErased
from runnotary.store import outside
from runnotary.store.backup import backup
from runnotary.store.records import Records
from runnotary.store.restoring import Wanted, restore
from runnotary.store.sealing import LEDGER
from runnotary.store.verify import verify
from tests.postgres import Postgres
from tests.store import places
from tests.store.history import BY, START, Seeded, Tale, Ticks, append, codes, note
from tests.store.moves import LATER, Two, fill, is_empty, place_of, rows, with_pending


def restored(source: Path, place: places.Place, **words: Any) -> None:
    place.home.mkdir(exist_ok=True)
    wanted = Wanted(by=BY, reason="the disk died", **words)
    restore(source, place_of(place), wanted, clock=Ticks(LATER), chance=Seeded(5), signer_of=HomeKey)


@pytest.fixture
def shared(postgres: Postgres, tmp_path: Path) -> places.PostgresPlace:
    place = places.PostgresPlace(postgres.fresh(), tmp_path / "home", postgres)
    fill(place.open())
    return place


def test_the_backup_of_a_database_is_a_home(shared: places.PostgresPlace, tmp_path: Path) -> None:
    copied = backup(place_of(shared), tmp_path / "copy")
    assert copied == len(list((shared.home / "blobs").glob("??/*"))) > 0
    copy = places.SqlitePlace(tmp_path / "copy")
    assert sorted(path.name for path in copy.home.iterdir()) == ["blobs", "runnotary.db"]
    assert rows(copy) == rows(shared)
    assert verify(copy.home, deep=True).findings == ()


def test_a_database_in_use_is_backed_up_as_of_one_moment(postgres: Postgres, tmp_path: Path) -> None:
    """Two servers write: whatever moment it was, each copy is a whole record."""
    place = places.PostgresPlace(postgres.fresh(), tmp_path / "home", postgres)
    one, other = place.open("one"), place.open("other")

    async def use() -> None:
        async def work(store: Records, first: int) -> None:
            for number in range(first, first + 25):
                await Tale(number, Ticks(START + number * 10**7), large=True).tell(store)

        async def copy() -> None:
            for number in range(4):
                await asyncio.to_thread(backup, place_of(place), tmp_path / f"copy{number}")

        await asyncio.gather(work(one, 1), work(other, 100), copy())

    try:
        asyncio.run(use())
    finally:
        one.close()
        other.close()
    for number in range(4):
        report = verify(tmp_path / f"copy{number}", deep=True)
        assert report.findings == ()


def test_entries_without_positions_have_them_in_the_backup(postgres: Postgres, tmp_path: Path) -> None:
    place = with_pending(postgres, tmp_path)
    backup(place_of(place), tmp_path / "copy")
    assert place.tell("SELECT count(*) FROM pending") != [(0,)], "a backup writes nothing"
    report = verify(tmp_path / "copy", deep=True)
    assert report.findings == () and report.checked["runs"] == 3


def test_a_purge_meanwhile_ends_a_backup(
    shared: places.PostgresPlace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from runnotary.store import backup as module

    copy_blobs = module.copy_blobs

    def purged(home: Path, growing: Path) -> int:
        store = shared.open()
        tombstone = note("default", store.head(LEDGER)[0], StreamErased("run/x", BY))
        assert codes(append(store, tombstone)) == ["ok"]
        store.close()
        return copy_blobs(home, growing)

    monkeypatch.setattr("runnotary.store.backup.copy_blobs", purged)
    with pytest.raises(Conflict, match="purged while the copy was made"):
        backup(place_of(shared), tmp_path / "copy")
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_a_backup_is_restored_into_a_database_and_goes_on(
    shared: places.PostgresPlace, postgres: Postgres, tmp_path: Path
) -> None:
    backup(place_of(shared), tmp_path / "copy")
    new = places.PostgresPlace(postgres.fresh(), tmp_path / "new", postgres)
    restored(tmp_path / "copy", new)
    fill(new.open(), (7, 8))
    report = verify(new.record, deep=True)
    assert report.findings == () and report.checked["runs"] == 5
    assert [one.lost for one in report.restores] == [0]
    names = [outside.published(place.home / "checkpoint") for place in (shared, new)]
    assert names[0] is not None and names[1] is not None and names[0].origin != names[1].origin
    with pytest.raises(Conflict, match="holds a record"):
        restored(tmp_path / "copy", new)
    assert not (new.home / ".restoring").exists()


def test_what_a_lost_database_had_more_is_agreed_to(
    shared: places.PostgresPlace, postgres: Postgres, tmp_path: Path
) -> None:
    backup(place_of(shared), tmp_path / "copy")
    fill(shared.open(), (7,))
    anew = places.PostgresPlace(postgres.fresh(), shared.home, postgres)
    with pytest.raises(RolledBack):
        restored(tmp_path / "copy", anew)
    assert is_empty(anew)
    restored(tmp_path / "copy", anew, accept_loss=True)
    report = verify(anew.record, deep=True)
    assert report.findings == () and report.restores[0].lost > 0


def test_what_was_moved_is_restored(shared: places.PostgresPlace, tmp_path: Path) -> None:
    """A copy of either side says where the record went; what is restored from it is another record."""
    there = Two(shared, places.SqlitePlace(tmp_path / "home"))
    there.move()
    for place in (there.old, there.new):
        kind = place_of(place).kind
        backup(place_of(place), tmp_path / f"copy of {kind}")
        home = places.SqlitePlace(tmp_path / f"from {kind}")
        restored(tmp_path / f"copy of {kind}", home)
        fill(home.open(quickly=True), (9,))
        assert verify(home.home, deep=True).findings == ()


def test_a_backup_made_after_a_move_can_be_worked_on(shared: places.PostgresPlace, tmp_path: Path) -> None:
    """As every backup can: to export what is in it, say."""
    two = Two(shared, places.SqlitePlace(tmp_path / "home"))
    two.move()
    back = Two(two.new, places.PostgresPlace(shared.postgres.fresh(), shared.home, shared.postgres))
    back.move()
    fill(back.new.open(), (9,))
    backup(place_of(back.new), tmp_path / "copy")
    fill(places.SqlitePlace(tmp_path / "copy").open(quickly=True), (10,))
    assert verify(tmp_path / "copy", deep=True).findings == ()
