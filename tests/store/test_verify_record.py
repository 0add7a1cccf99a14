"""The record alone: what is wrong with it is found as by the whole verification, what follows is left."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import pytest

from runnotary.core import chain
from runnotary.store.report import Report
from runnotary.store.verify import verify, verify_record
from tests.store import test_attacks as attacks
from tests.store.forging import Change, tampered
from tests.store.history import flow_of, run_id, small_home

RUN = chain.run_stream(run_id(2))
EVENTS = [
    attacks.edit,
    attacks.shift,
    attacks.change_actor,
    attacks.swap,
    attacks.delete,
    attacks.delete_and_renumber,
    attacks.insert,
    attacks.edit_and_rehash_it,
]
HISTORIES = [
    attacks.rewrite_the_end,
    attacks.rewrite_times,
    attacks.drop_a_run,
    attacks.cut_ten,
    attacks.cut_one,
]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_home(tmp_path_factory.mktemp("record") / "home")


@pytest.fixture
def home(whole: Path, tmp_path: Path) -> Path:
    copy = tmp_path / "home"
    shutil.copytree(whole, copy)
    return copy


def named(report: Report) -> set[str]:
    return {finding.where for finding in report.findings if finding.where.startswith("run/")}


def test_a_whole_record_is_counted_as_by_the_whole_verification(home: Path) -> None:
    record, everything = verify_record(home), verify(home, flow_of=flow_of)
    assert record.ok and record.checkpoint == everything.checkpoint
    for what in ("streams", "events", "log", "checkpoints"):
        assert record.checked[what] == everything.checked[what] > 0
    assert "the record alone was checked" in record.not_proven[-1]


@pytest.mark.parametrize("change", EVENTS, ids=lambda one: one.__name__)
def test_an_event_that_was_tampered_with_is_named_the_same(home: Path, change: Change) -> None:
    tampered(home, change, again=False)
    record = verify_record(home)
    assert not record.ok
    assert named(record) and named(record) <= named(verify(home, flow_of=flow_of))


@pytest.mark.parametrize("change", HISTORIES, ids=lambda one: one.__name__)
def test_a_history_made_anew_does_not_fit_its_checkpoints(home: Path, change: Change) -> None:
    tampered(home, change, again=True)
    assert {finding.code for finding in verify_record(home).findings} <= {"checkpoint", "rollback"}
    assert not verify_record(home).ok


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE log SET from_seq = 2 WHERE from_seq = 1 AND seq > 1",
        "UPDATE log SET seq = seq + 100 WHERE pos = 5",
        "UPDATE log SET head = zeroblob(32) WHERE pos = 4",
        "DELETE FROM log WHERE pos = 6",
        "UPDATE events SET envelope = CAST(envelope AS TEXT) WHERE seq = 2",
        "UPDATE events SET body = NULL WHERE seq = 2",
        "UPDATE events SET seq = -1 WHERE seq = 2",
        "DELETE FROM events WHERE substr(stream, 1, 1) = x'01'",
        "DELETE FROM events",
    ],
)
def test_whatever_is_wrong_with_log_or_events_is_a_finding(home: Path, statement: str) -> None:
    def loose(connection: sqlite3.Connection) -> None:
        for table in ("events", "log"):
            sql = connection.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (table,)).fetchone()[0]
            connection.execute("PRAGMA writable_schema = ON")
            fresh = sql.replace(" WITHOUT ROWID, STRICT", " WITHOUT ROWID").replace(") STRICT", ")")
            connection.execute("UPDATE sqlite_schema SET sql = ? WHERE name = ?", (fresh, table))
        connection.execute("PRAGMA writable_schema = OFF")

    tampered(home, loose, again=False)
    tampered(home, lambda one: one.execute(statement), again=False)
    assert not verify_record(home).ok
    assert not verify(home, flow_of=flow_of).ok


def test_what_follows_from_the_record_is_left_aside(home: Path) -> None:
    tampered(home, lambda one: one.execute("UPDATE tasks SET exit_code = 9"), again=False)
    assert verify_record(home).ok and not verify(home, flow_of=flow_of).ok


def test_an_erased_body_needs_its_tombstone_here_too(home: Path) -> None:
    tampered(
        home,
        lambda one: one.execute("UPDATE events SET body = NULL WHERE stream = ? AND seq = 1", (RUN,)),
        again=False,
    )
    found = verify_record(home).findings
    assert [finding.code for finding in found] == ["missing_body"]
