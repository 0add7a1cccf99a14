"""What one run may cost, counted exactly (engine.md A15, A16): events, rows, commits, and who is imported."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from runnotary.config import Settings
from tests.database import rows_of

Play = Callable[..., str]


def counted(settings: Settings) -> dict[str, int]:
    with rows_of(settings.home) as connection:
        tables = ("events", "log", "runs", "tasks", "flows")
        return {name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables}


def difference(after: dict[str, int], before: dict[str, int]) -> dict[str, int]:
    return {name: after[name] - before[name] for name in after}


def test_a_one_step_run_is_four_events_and_a_run_a_task_and_two_log_rows(
    play: Play, settings: Settings
) -> None:
    flow = {"steps": {"only": {"run": "true"}}}
    play(flow)
    before = counted(settings)
    play(flow)
    assert difference(counted(settings), before) == {"events": 4, "log": 2, "runs": 1, "tasks": 1, "flows": 0}


def test_a_chain_costs_two_events_one_task_row_and_one_commit_for_each_further_step(
    play: Play, settings: Settings
) -> None:
    def chain(length: int) -> dict[str, Any]:
        steps = {f"s{i}": {"run": "true", "needs": [f"s{i - 1}"] if i else []} for i in range(length)}
        return {"steps": steps}

    play(chain(3))
    start = counted(settings)
    play(chain(3))
    three = counted(settings)
    play(chain(10))
    ten = counted(settings)
    shorter, longer = difference(three, start), difference(ten, three)
    assert difference(longer, shorter) == {"events": 14, "log": 7, "runs": 0, "tasks": 7, "flows": 0}


def test_a_registered_flow_adds_one_ledger_event_only_when_it_changes(play: Play, settings: Settings) -> None:
    flow = {"flow": "named", "steps": {"only": {"run": "true"}}}
    play(flow)
    before = counted(settings)
    play(flow)
    assert difference(counted(settings), before)["events"] == 4
    play({"flow": "named", "steps": {"only": {"run": "false"}}})
    assert difference(counted(settings), before) == {"events": 9, "log": 5, "runs": 2, "tasks": 2, "flows": 0}


def test_a_content_taken_in_or_made_is_one_narrow_row_and_nothing_else_is(
    play: Play, settings: Settings, tmp_path: Path
) -> None:
    """`uses`: 49 bytes of values for each, written in the commit that ends the run; no row without a file."""
    (tmp_path / "in.txt").write_text("in")
    flow = {
        "inputs": {"data": {"type": "file"}},
        "steps": {"only": {"run": "echo made > out", "with": {"d": "${{ inputs.data }}"}, "files": ["out"]}},
    }
    play({"steps": {"only": {"run": "echo said"}}})
    with rows_of(settings.home) as connection:
        assert connection.execute("SELECT count(*) FROM uses").fetchone() == (0,)
        before = counted(settings)
        play(flow, given={"data": "in.txt"})
        assert difference(counted(settings), before) == {
            "events": 4,
            "log": 2,
            "runs": 1,
            "tasks": 1,
            "flows": 0,
        }
        rows = connection.execute("SELECT made, length(blob) + length(run) + 1 FROM uses ORDER BY made")
        assert rows.fetchall() == [(0, 49), (1, 49)]


def test_a_run_with_all_its_evidence_takes_little_disk(play: Play, settings: Settings) -> None:
    play({"steps": {"only": {"run": "true"}}})
    with rows_of(settings.home) as connection:
        of_runs = "FROM events WHERE substr(stream, 1, 1) = x'01'"
        written = "sum(length(body) + length(envelope))"
        size, events = connection.execute(f"SELECT {written}, count(*) {of_runs}").fetchone()
    assert events == 4
    assert size < 1500
