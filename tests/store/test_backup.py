"""A backup is a home: it verifies, it opens, and it was one moment of the original."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from runnotary.core.errors import Conflict, FileMissing
from runnotary.store.backup import backup
from runnotary.store.log import SqliteStore
from runnotary.store.verify import verify
from tests.store.history import START, Tale, Ticks, flow_of, open_store, run_id, small_home


def test_a_backup_verifies_and_reads(tmp_path: Path) -> None:
    home = small_home(tmp_path / "home")
    copied = backup(home, tmp_path / "copy")
    assert copied == len(list((home / "blobs").glob("??/*"))) > 0
    report = verify(tmp_path / "copy", deep=True, flow_of=flow_of)
    assert report.ok and report.checked["runs"] == 4
    assert sorted(path.name for path in tmp_path.iterdir()) == ["copy", "home"]
    assert sorted(path.name for path in (tmp_path / "copy").iterdir()) == ["blobs", "runnotary.db"]
    opened = SqliteStore.open_read_only(tmp_path / "copy")
    assert opened.run(run_id(1)) is not None
    opened.close()


def test_a_home_in_use_is_backed_up_as_of_one_moment(tmp_path: Path) -> None:
    store = open_store(tmp_path / "home")

    async def use() -> None:
        clock = Ticks(START + 10**9)
        for number in range(1, 30):
            await Tale(number, clock, large=True).tell(store)
            if number % 10 == 0:
                await asyncio.to_thread(backup, tmp_path / "home", tmp_path / f"copy{number}")

    asyncio.run(use())
    store.close()
    for number in (10, 20):
        report = verify(tmp_path / f"copy{number}", deep=True, flow_of=flow_of)
        assert report.ok and report.checked["runs"] == number


def test_a_backup_can_be_worked_on(tmp_path: Path) -> None:
    backup(small_home(tmp_path / "home"), tmp_path / "copy")
    store = open_store(tmp_path / "copy")
    asyncio.run(Tale(9, Ticks(START + 10**9)).tell(store))
    store.close()
    assert verify(tmp_path / "copy", deep=True, flow_of=flow_of).ok


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    home = small_home(tmp_path / "home")
    (tmp_path / "copy").mkdir()
    with pytest.raises(Conflict):
        backup(home, tmp_path / "copy")
    with pytest.raises(FileMissing):
        backup(tmp_path / "nowhere", tmp_path / "other")
    assert not (tmp_path / "other").exists()
