"""Room ahead in the write-ahead log: it grows with the log and never stands in the way of a commit."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from runnotary.store import room
from runnotary.store.room import Room
from runnotary.store.sqlite import FILE, checkpoint, connect_writer


@pytest.fixture
def home(tmp_path: Path) -> Path:
    connection = connect_writer(tmp_path)
    connection.execute("CREATE TABLE t (n INTEGER PRIMARY KEY, data BLOB)")
    connection.close()
    return tmp_path


def length(home: Path) -> int:
    return os.stat(home / f"{FILE}-wal").st_size


def add(connection: sqlite3.Connection, number: int) -> None:
    connection.execute("INSERT INTO t VALUES (?, ?)", (number, bytes([number % 256]) * 3000))


def test_commits_write_into_the_room_and_get_more_when_it_is_used_up(home: Path) -> None:
    connection, kept = connect_writer(home), Room(home)
    grown = 0
    for number in range(200):
        before = length(home)
        add(connection, number)
        grown += length(home) > before
        kept.keep()
    connection.close()
    assert grown < 20, f"{grown} of 200 commits made the log longer"


def test_what_lies_before_the_room_survives_a_crash(home: Path) -> None:
    connection, kept = connect_writer(home), Room(home)
    for number in range(50):
        add(connection, number)
        kept.keep()
    copy = home / "copy"
    copy.mkdir()
    for name in (FILE, f"{FILE}-wal"):
        (copy / name).write_bytes((home / name).read_bytes())
    connection.close()
    found = connect_writer(copy)
    assert found.execute("SELECT count(*), min(length(data)) FROM t").fetchone() == (50, 3000)
    assert found.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    add(found, 50)
    found.close()


def test_room_in_a_log_without_a_single_frame_is_no_log(home: Path) -> None:
    (home / f"{FILE}-wal").write_bytes(bytes(room.FIRST))
    connection = connect_writer(home)
    add(connection, 1)
    assert connection.execute("SELECT n FROM t").fetchall() == [(1,)]
    connection.close()


def test_a_truncated_log_begins_small_and_a_long_one_gets_no_more(home: Path) -> None:
    connection, kept = connect_writer(home), Room(home)
    add(connection, 1)
    kept.keep()
    first = length(home)
    checkpoint(connection)
    assert length(home) == 0
    kept.keep()
    assert length(home) == 0
    add(connection, 2)
    kept.keep()
    assert length(home) <= first + room.FIRST
    with (home / f"{FILE}-wal").open("r+b") as log:
        log.truncate(room.LIMIT + 1)
    kept.keep()
    assert length(home) == room.LIMIT + 1
    connection.close()


def test_no_log_and_no_home_are_no_trouble(tmp_path: Path) -> None:
    Room(tmp_path / "nowhere").keep()
