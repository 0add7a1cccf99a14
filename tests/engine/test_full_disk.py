"""A step that fills the disk the home lies on: the run still ends, says why, and the record verifies."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runnotary import config
from runnotary.app.stores import record_of
from runnotary.config import Settings
from runnotary.engine.reader import Reader
from runnotary.store.ballast import SIZE, Ballast
from runnotary.store.verify import verify
from tests.database import ENVIRON, attempts_in

Play = Callable[..., str]
FLOW: dict[str, Any] = {
    "steps": {
        "ok": {"run": "echo fine"},
        "fills": {"run": "head -c 100000000 /dev/zero > big.bin", "needs": ["ok"]},
        "later": {"run": "true", "needs": ["fills"]},
    },
    "finally": {"tell": {"run": "echo $RUNNOTARY_STATUS"}},
}


def can_mount(folder: Path) -> bool:
    command = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", os.fspath(folder)]
    return os.geteuid() == 0 and subprocess.run(command, capture_output=True).returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path | None]:
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = can_mount(folder)
    yield folder if mounted else None
    if mounted:
        subprocess.run(["umount", "-l", os.fspath(folder)], check=True)


@pytest.fixture
def settings(small_disk: Path | None, tmp_path: Path) -> Settings:
    home = (small_disk or tmp_path) / "home"
    return config.load({"home": str(home)}, environ=ENVIRON, cwd=tmp_path)


def test_a_step_that_fills_the_disk_fails_and_says_so(
    play: Play, reader: Callable[[], Reader], settings: Settings, small_disk: Path | None
) -> None:
    """Where no small disk can be mounted: the same flow on a large one, and nothing is left either."""
    run = play(FLOW)
    read = reader()
    document = read.document(read.resolve(run))
    tasks = {task["step"]: task["status"] for task in read.tasks(read.resolve(run))}
    if small_disk is None:
        assert document["status"] == "success"
    else:
        assert (document["status"], document["error"]["code"]) == ("failed", "disk_full")
        assert tasks == {"ok": "success", "fills": "failed", "later": "skipped", "tell": "success"}
    assert verify(record_of(settings), deep=True).ok
    assert list(attempts_in(settings.home).iterdir()) == []


def test_the_next_run_in_that_home_works(
    play: Play, reader: Callable[[], Reader], settings: Settings, small_disk: Path | None
) -> None:
    play(FLOW)
    run = play({"steps": {"ok": {"run": "echo fine"}}})
    assert reader().resolve(run).status == "success"
    assert not (settings.home / "ballast").exists(), "a home at rest needs none"


@pytest.mark.own_database("its file cannot grow")
def test_a_home_that_cannot_be_written_is_not_called_damaged(tmp_path: Path) -> None:
    """Every file may have as many bytes as a new database has not enough in, as on a full disk."""

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))

    done = subprocess.run(
        [sys.executable, "-m", "runnotary", "--home", str(tmp_path / "home"), "namespace", "create", "lab"],
        preexec_fn=limited,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1, done.stderr
    assert "runnotary.db: " in done.stderr and "look at the disk of the home" in done.stderr


def test_ballast_gives_way_once(tmp_path: Path) -> None:
    ballast = Ballast(tmp_path)
    assert not ballast.drop()
    ballast.fill()
    ballast.fill()
    assert (tmp_path / "ballast").stat().st_blocks * 512 >= SIZE
    assert ballast.drop()
    assert not ballast.drop()


def test_a_script_is_executable_if_it_was_beside_the_flow(
    play: Play, reader: Callable[[], Reader], tmp_path: Path
) -> None:
    (tmp_path / "yes.sh").write_text("#!/bin/sh\necho ran\n")
    (tmp_path / "yes.sh").chmod(0o755)
    (tmp_path / "no.sh").write_text("#!/bin/sh\necho ran\n")
    steps = {"yes": {"run": ["./yes.sh"]}, "no": {"run": ["./no.sh"]}}
    run = play({"code": ["*.sh"], "steps": steps})
    read = reader()
    tasks = {task["step"]: task for task in read.tasks(read.resolve(run))}
    assert tasks["yes"]["status"] == "success"
    assert (tasks["no"]["status"], tasks["no"]["error"]["code"]) == ("failed", "not_executable")
