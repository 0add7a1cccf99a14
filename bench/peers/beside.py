"""Prints the ratio of W2 and W3 to each peer that is installed, or that it is not.

A peer is looked for in this environment, and in the virtual environment that RUNNOTARY_BENCH_PEERS names.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from bench.series import Bench, Line

PEERS = {"dbos": ("DBOS on SQLite, WAL", Path(__file__).with_name("dbos_wal.py"), "≤ 0.5", "≥ 24")}


def run(bench: Bench) -> None:
    """Add a pair of lines per peer, beside our own W2 and W3 of this run."""
    own = {line.key: line for line in reversed(bench.lines) if line.key in ("W2", "W3")}
    for module, (name, script, latency, rate) in PEERS.items():
        python = interpreter(module)
        if not python or len(own) < 2:
            print(f"peers {name}: not installed (docs/performance.md says how)")
            continue
        folder = tempfile.mkdtemp(dir=bench.folder)
        number = bench.count(100, 10)
        bench.quiet.wait()
        command = [python, str(script), folder, str(number), str(bench.rounds)]
        said = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        try:
            found = json.loads(said.stdout.splitlines()[-1])
        except (IndexError, ValueError):
            print(f"peers {name}: did not run: {said.stderr.strip().splitlines()[-1:]}")
            continue
        bench.add(
            Line(
                "W2",
                f"submit to end p50, beside {name}",
                "ms",
                own["W2"].measured,
                name,
                found["ms"],
                latency,
            )
        )
        bench.add(
            Line(
                "W3",
                f"runs at once, beside {name}",
                "runs/s",
                own["W3"].measured,
                name,
                found["runs_per_s"],
                rate,
            )
        )


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
