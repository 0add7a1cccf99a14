"""`verify` and `admin backup` from outside: damage anywhere is exit 10 and named."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.terminal import Desk
from tests.database import copy_home, rows_of

FLOW = "flow: f\nsteps: {a: {run: 'head -c 200000 /dev/zero > big; echo said', files: [big]}}\n"


@pytest.fixture(scope="module")
def whole(shared_desk: Desk) -> Iterator[Desk]:
    shared_desk.write("f.yaml", FLOW)
    shared_desk.ok("start", "f.yaml")
    return shared_desk


@pytest.fixture
def desk(whole: Desk, desk: Desk) -> Desk:
    """A copy of the home, to be damaged."""
    copy_home(whole.home, desk.home)
    return desk


def test_a_whole_record(whole: Desk) -> None:
    for words in ((), ("--deep",), ("@latest",), ("@latest", "--deep")):
        done = whole.ok("verify", *words)
        assert done.out.endswith("verify: ok\n")
        assert "✓ 1 run " in done.out
        assert "! " in done.out
    report = whole.json("verify", "--deep")
    assert report["ok"]
    assert report["findings"] == []


def flip(path: Path, needle: bytes) -> None:
    data = bytearray(path.read_bytes())
    at = data.index(needle)
    data[at] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)


def test_the_record_alone(whole: Desk) -> None:
    done = whole.ok("verify", "--record")
    assert "the record alone was checked" in done.out and done.out.endswith("verify: ok\n")
    assert whole.json("verify", "--record")["checked"]["events"] == whole.json("verify")["checked"]["events"]
    for more in ("--deep", "@latest", "--flow=f"):
        assert "of the whole home" in whole.run("verify", "--record", more).err


@pytest.mark.parametrize("words", [("--deep",), ("@latest", "--deep"), ("--record",)])
def test_a_flipped_byte_in_an_event(desk: Desk, words: tuple[str, ...]) -> None:
    with rows_of(desk.home) as connection:
        for stream, seq, body in connection.execute("SELECT stream, seq, body FROM events").fetchall():
            flipped = body.replace(b'"verdict":"success"', b'"verdict":"succesr"')
            change = "UPDATE events SET body = ? WHERE stream = ? AND seq = ?"
            connection.execute(change, (flipped, stream, seq))
    done = desk.run("verify", *words)
    assert done.code == 10
    assert "✗ " in done.out
    assert done.out.endswith("verify: FAILED\n")


@pytest.mark.parametrize("words", [("--deep",), ("@latest", "--deep")])
def test_a_changed_exit_code(desk: Desk, words: tuple[str, ...]) -> None:
    with rows_of(desk.home) as connection:
        connection.execute("UPDATE tasks SET exit_code = 1")
    done = desk.run("verify", *words)
    assert done.code == 10
    assert "exit_code" in done.out


@pytest.mark.parametrize("words", [("--deep",), ("@latest", "--deep")])
def test_a_flipped_byte_in_a_blob(desk: Desk, words: tuple[str, ...]) -> None:
    large = next(
        path for path in (desk.home / "blobs").rglob("*") if path.is_file() and path.stat().st_size == 200_000
    )
    flip(large, b"\0")
    done = desk.run("verify", *words)
    assert done.code == 10
    assert large.name in done.out
    read = desk.run("run", "files", "@latest", "big")
    assert read.code == 10


def test_a_run_that_was_taken_out(desk: Desk) -> None:
    run = desk.json("run", "show", "@latest")["id"]
    with rows_of(desk.home) as connection:
        connection.execute("DELETE FROM runs")
    for words in ((), ("@latest",), (run,)):
        assert desk.run("verify", *words).code == 10


@pytest.mark.own_database("the file is overwritten")
def test_a_file_that_is_no_database(desk: Desk) -> None:
    desk.home.joinpath("runnotary.db").write_bytes(b"no database at all" * 1000)
    assert desk.run("verify").code == 10
    assert desk.run("run", "list").code == 10


@pytest.mark.own_database("every file of the home, its database included, is read-only")
def test_a_home_that_cannot_be_written(desk: Desk) -> None:
    with sqlite3.connect(desk.home / "runnotary.db") as connection:
        connection.execute("PRAGMA journal_mode = DELETE")
    connection.close()
    before = {path: path.stat().st_mtime_ns for path in desk.home.rglob("*")}
    for path in before:
        path.chmod(0o500 if path.is_dir() else 0o400)
    desk.home.chmod(0o500)
    try:
        assert desk.ok("verify", "--deep").out.endswith("verify: ok\n")
        assert desk.ok("run", "show", "@latest").out
        assert {path: path.stat().st_mtime_ns for path in desk.home.rglob("*")} == before
    finally:
        desk.home.chmod(0o700)
        for path in before:
            path.chmod(0o700 if path.is_dir() else 0o600)


def test_an_unknown_run_is_missing_not_damaged(whole: Desk) -> None:
    assert whole.run("verify", "01ARZ3NDEKTSV4RRFFQ69G5FAV").code == 3
    assert whole.run("verify", "ZZZZ").code == 3


def test_a_backup_verifies(desk: Desk) -> None:
    done = desk.ok("admin", "backup", "--output", "copy")
    assert "verify --deep --home copy" in done.out
    assert desk.ok("verify", "--deep", "--home", "copy").out.endswith("verify: ok\n")
    assert desk.run("admin", "backup", "--output", "copy").code == 5
