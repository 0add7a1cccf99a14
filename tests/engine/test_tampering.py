"""One bit changed in what a real run left is found, and what is broken is named (issue: "Done when")."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from runnotary.app.stores import record_of
from runnotary.config import Settings
from runnotary.core.ids import from_text
from runnotary.store.verify import verify
from tests.database import Rows, rows_of
from tests.engine.test_retention import BY, House, Within, within

__all__ = ["within"]

Play = Callable[..., str]
FLOW = {
    "flow": "tampered",
    "steps": {
        "large": {"run": "head -c 100000 /dev/zero > zeros.bin; echo said", "files": ["zeros.bin"]},
        "small": {"run": "echo 1 > one.txt; exit 0", "files": ["one.txt"], "needs": ["large"]},
        "fails": {"run": "exit 3", "needs": ["small"]},
    },
}


def flipped(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("whole", [True, False])
def test_a_bit_of_a_blob_file_is_found_and_named(play: Play, settings: Any, whole: bool) -> None:
    played = from_text(play(FLOW))
    run = None if whole else played
    (file,) = [path for path in (settings.home / "blobs").rglob("*") if path.is_file()]
    assert verify(record_of(settings), run=run, deep=True).ok
    file.chmod(0o644)
    file.write_bytes(flipped(file.read_bytes(), 5000))
    report = verify(record_of(settings), run=run, deep=True)
    assert [finding.where for finding in report.findings] == [f"sha256:{file.parent.name}{file.name}"]


def test_a_missing_blob_file_is_found_and_named(play: Play, settings: Any) -> None:
    play(FLOW)
    (file,) = [path for path in (settings.home / "blobs").rglob("*") if path.is_file()]
    file.unlink()
    report = verify(record_of(settings), deep=True)
    assert any(f"{file.parent.name}{file.name}" in str(finding) for finding in report.findings)


COLUMNS = [
    ("tasks", "exit_code", 0),
    ("tasks", "status", "success"),
    ("tasks", "ended_at", 1),
    ("runs", "status", "success"),
    ("runs", "created_by", "user:mallory"),
    ("runs", "error", ""),
    ("flows", "definition", "sha256:" + "0" * 64),
]


@pytest.mark.parametrize(("table", "column", "value"), COLUMNS)
def test_a_changed_column_is_found_and_named(
    play: Play, settings: Any, table: str, column: str, value: object
) -> None:
    play(FLOW)
    where = "WHERE key = 'fails'" if table == "tasks" else ""
    with rows_of(settings.home) as connection:
        connection.execute(f"UPDATE {table} SET {column} = ? {where}", (value,))
    report = verify(record_of(settings), deep=True)
    assert report.findings
    said = " ".join(str(finding) for finding in report.findings)
    assert table in said
    assert column in said


@pytest.mark.parametrize("column", ["envelope", "body"])
def test_every_bit_of_every_event_counts(play: Play, settings: Any, column: str) -> None:
    """Every byte of one event, and one byte of every event, flipped one at a time."""
    run = play(FLOW)
    with rows_of(settings.home) as connection:
        every_bit(connection, settings, run, column)


def every_bit(connection: Rows, settings: Any, run: str, column: str) -> None:
    rows = connection.execute(f"SELECT stream, seq, {column} FROM events").fetchall()
    stream, seq, longest = max(rows, key=lambda row: len(row[2]))
    places = [(stream, seq, longest, at) for at in range(0, len(longest), 7)]
    places += [(stream, seq, data, len(data) // 2) for stream, seq, data in rows]
    change = f"UPDATE events SET {column} = ? WHERE stream = ? AND seq = ?"
    for stream, seq, data, at in places:
        connection.execute(change, (flipped(data, at), stream, seq))
        report = verify(record_of(settings))
        assert report.findings, (stream, seq, at)
        assert any(f"#{seq}" in finding.where or run in finding.where for finding in report.findings) or (
            "ledger" in report.findings[0].where
        )
        connection.execute(change, (data, stream, seq))
    assert verify(record_of(settings), deep=True).ok


def test_the_record_of_one_run_is_checked_alone(play: Play, settings: Any) -> None:
    sound, broken = play(FLOW), play(FLOW)
    with rows_of(settings.home) as connection:
        connection.execute("UPDATE tasks SET exit_code = 0 WHERE run = ?", (from_text(broken),))
    assert verify(record_of(settings), run=from_text(sound), deep=True).ok
    assert not verify(record_of(settings), run=from_text(broken), deep=True).ok


def test_whoever_has_one_run_checked_is_told_that_its_blobs_were_not(play: Play, settings: Any) -> None:
    run = from_text(play(FLOW))
    said = {deep: verify(record_of(settings), run=run, deep=deep).not_proven for deep in (True, False)}
    assert set(said[False]) - set(said[True]) == {
        "the blobs that it names were not all read, nor was it looked whether they are here"
    }


def test_whoever_has_one_run_checked_is_told_of_no_other(within: Within, settings: Settings) -> None:
    runs: list[bytes] = []

    async def work(place: House) -> None:
        runs.extend([await place.ended(FLOW), await place.ended(FLOW)])
        await place.service.erase(runs[0], BY, "article 17")

    assert len(within(work).erasures) == 1
    assert len(verify(record_of(settings), run=runs[0]).erasures) == 1
    assert verify(record_of(settings), run=runs[1]).erasures == ()
