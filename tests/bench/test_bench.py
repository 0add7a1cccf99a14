"""The bench runs, in its smallest form, and prints every line. How fast anything is, no test says."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bench.series import Line, formatted, percentile

ROOT = Path(__file__).parents[2]
KEYS = {
    "limit",
    "W1",
    "W2",
    "W3",
    "W4",
    "W5",
    "W6",
    "W7",
    "W8",
    "W10",
    "W11",
    "log",
    "fill",
    "H1",
    "H2",
    "H3",
    "L1",
    "L2",
    "P1",
    "P2",
    "P4",
    "P5",
    "P6",
    "P8",
}


@pytest.mark.own_database("it fills the databases of homes itself")
def test_the_smallest_run_prints_every_line_with_its_series(tmp_path: Path) -> None:
    series = tmp_path / "series.json"
    env = {name: value for name, value in os.environ.items() if name != "RUNNOTARY_BENCH_PEERS"}
    command = [sys.executable, "-m", "bench", "--tiny", "--json", str(series), "--dir", str(tmp_path)]
    done = subprocess.run(
        command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr
    written = json.loads(series.read_text())["lines"]
    assert {line["key"] for line in written} == KEYS
    assert all(min(line["measured"]) > 0 for line in written)
    assert all(line["what"] in done.stdout for line in written)
    for peer in ("DBOS on SQLite, WAL", "DBOS on the same PostgreSQL"):
        assert f"{peer}: not installed" in done.stdout
    assert "targets hold" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["series.json"]


@pytest.mark.parametrize(
    ("target", "measured", "verdict"),
    [
        ("≤ 2", [1.5, 2.0, 2.5], "holds"),
        ("≤ 2", [1.0, 2.0, 9.0], "holds?"),
        ("≤ 2", [3.0], "misses"),
        ("≥ 2", [2.0], "holds"),
        ("≥ 2", [1.9], "misses"),
        ("", [1.0], ""),
    ],
)
def test_a_ratio_is_of_medians_and_held_against_the_target(
    target: str, measured: list[float], verdict: str
) -> None:
    line = Line("W0", "something", "ms", measured, "limit", [0.9, 1.0, 1.1], target)
    assert line.ratio == sorted(measured)[len(measured) // 2]
    assert line.verdict == verdict
    assert verdict in formatted(line)


def test_a_line_without_a_limit_has_no_ratio_and_no_verdict() -> None:
    line = Line("W0", "something", "ms", [1.0])
    assert (line.ratio, line.verdict) == (None, "")


def test_a_percentile_is_one_of_the_values() -> None:
    assert percentile([3.0, 1.0, 2.0], 0.95) == 3.0
    assert percentile([5.0], 0.5) == 5.0
