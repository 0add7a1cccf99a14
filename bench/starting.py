"""W1: one run from a cold process, with its record; and what the process weighs."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import yaml

from bench import flows
from bench.limits import IMPORTS, LEAST_RUN, cold
from bench.series import Bench, Line

MIB = 1 << 20


def measure(bench: Bench) -> None:
    """Add the lines of W1."""
    folder = tempfile.mkdtemp(dir=bench.folder)
    files = {}
    for name, document in (("set", flows.ONE_SET), ("true", flows.ONE_TRUE)):
        files[name] = Path(folder) / f"{name}.yaml"
        files[name].write_text(yaml.safe_dump(document, sort_keys=False))
    sizes: list[float] = []

    def least() -> float:
        return cold("-I", "-c", LEAST_RUN, f"{tempfile.mkdtemp(dir=folder)}/least.db")[0] * 1e3

    def start(name: str, *, fresh: bool = True) -> Callable[[], float]:
        kept = f"{tempfile.mkdtemp(dir=folder)}/home"

        def once() -> float:
            home = f"{tempfile.mkdtemp(dir=folder)}/home" if fresh else kept
            took, size = cold(*_start(files[name], home))
            sizes.append(size / MIB)
            return took * 1e3

        return once

    how = "runnotary start"
    rounds = max(3, bench.rounds)
    limit, measured = bench.beside(least, start("set"), rounds)
    bench.add(
        Line("W1", f"{how}, `set`, new home, cold", "ms", measured, "least recorded run", limit, "≤ 2.4")
    )
    limit, measured = bench.beside(least, start("true"), rounds)
    bench.add(
        Line(
            "W1", f"{how}, `true`, new home and keeper, cold", "ms", measured, "least recorded run", limit, ""
        )
    )
    again = start("set", fresh=False)
    again()
    bench.add(Line("W1", f"{how}, `set`, home that exists", "ms", bench.series(again, rounds)))
    imports = bench.series(lambda: cold("-I", "-c", IMPORTS)[0] * 1e3, rounds)
    bench.add(Line("W1", "importing the libraries that `start` needs", "ms", imports))
    bench.add(
        Line(
            "W1",
            "runnotary --help, cold (bound: 250 ms)",
            "ms",
            bench.series(lambda: cold("-m", "runnotary", "--help")[0] * 1e3, rounds),
            "bare interpreter",
            bench.series(lambda: cold("-I", "-c", "pass")[0] * 1e3, rounds),
        )
    )
    bench.add(Line("W7", "largest resident size of `start`", "MiB", sizes, "bound", [90.0], "≤ 1.0"))


def _start(file: Path, home: str) -> list[str]:
    return ["-m", "runnotary", "start", str(file), "--home", home]
