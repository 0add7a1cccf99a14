"""Prints the ratio of W2 and W3 to each peer that is installed, or that it is not.

A peer is looked for in this environment, and in the virtual environment that RUNNOTARY_BENCH_PEERS names.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from bench.crew import member
from bench.series import Bench, Line

DBOS: Final = Path(__file__).with_name("dbos_rounds.py")
NOT_THERE: Final = "not installed (docs/performance.md says how)"
NAME: Final = "DBOS on SQLite, WAL"


def run(bench: Bench) -> None:
    """Add a pair of lines per peer, beside our own W2 and W3 of this run."""
    own = {line.key: line.measured for line in reversed(bench.lines) if line.key in ("W2", "W3")}
    python = interpreter("dbos")
    if not python or len(own) < 2:
        print(f"peers {NAME}: {NOT_THERE}")
        return
    folder = Path(tempfile.mkdtemp(dir=bench.folder))
    try:
        with member([python, str(DBOS), f"sqlite:///{folder}/dbos.sqlite"], folder / "said") as dbos:
            found = bench.answers(lambda: dbos.do(bench.count(100, 10)))
    except RuntimeError as wrong:
        print(f"peers {NAME}: {wrong}")
        return
    ms, rate = ([one[name] for one in found] for name in ("ms", "runs_per_s"))
    bench.add(Line("W2", f"submit to end p50, beside {NAME}", "ms", own["W2"], NAME, ms, "≤ 0.5"))
    bench.add(Line("W3", f"runs at once, beside {NAME}", "runs/s", own["W3"], NAME, rate, "≥ 24"))


def interpreter(module: str) -> str:
    """The Python that has this module; empty if there is none."""
    if find_spec(module) is not None:
        return sys.executable
    named = os.environ.get("RUNNOTARY_BENCH_PEERS", "")
    python = Path(named, "bin", "python")
    if named and python.exists():
        asked = subprocess.run([python, "-c", f"import {module}"], capture_output=True, check=False)
        return str(python) if asked.returncode == 0 else ""
    return ""
