"""The arrows between packages: the contracts hold, and each of them catches what it is there for."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")


class Verdict(NamedTuple):
    passed: bool
    broken: set[str]
    text: str


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The package and its contracts, apart from the working tree."""
    package = tmp_path / "src" / "runnotary"
    shutil.copytree(ROOT / "src" / "runnotary", package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return package


def lint(package: Path) -> Verdict:
    source = package.parent
    done = subprocess.run(
        [LINT_IMPORTS, "--no-cache"],
        cwd=source.parent,
        env=os.environ | {"PYTHONPATH": str(source), "NO_COLOR": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    text = done.stdout + done.stderr
    broken = re.findall(r"^(.+?) BROKEN", text, re.MULTILINE)
    return Verdict(done.returncode == 0, set(broken), text)


def add_line(file: Path, line: str) -> None:
    before = file.read_text() if file.exists() else ""
    file.write_text(f"{before}\n{line}\n")


def test_the_contracts_hold(copy: Path) -> None:
    verdict = lint(copy)
    assert verdict.passed, verdict.text


VIOLATIONS = {
    "core reads the clock": ("core/probe.py", "import time", "Core is pure"),
    "core draws lots inside a function": ("core/probe.py", "def f():\n    import random", "Core is pure"),
    "an executor reads the store": ("executors/probe.py", "import runnotary.store", "Layers"),
    "the engine names a concrete store": ("engine/probe.py", "from runnotary import store", "Layers"),
    "a format calls the engine": ("formats/probe.py", "import runnotary.engine", "Layers"),
    "core looks up": (
        "core/probe.py",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import runnotary.store",
        "Layers",
    ),
    "a drawer beside the rooms": ("utils.py", "", "Layers"),
    "the keeper uses the product": ("executors/keeper.py", "import runnotary.core", "Keeper stands alone"),
    "the keeper uses a neighbour": (
        "executors/keeper.py",
        "import runnotary.executors",
        "Keeper stands alone",
    ),
    "one executor uses another": (
        "executors/probe.py",
        "import runnotary.executors.other",
        "Executors apart",
    ),
    "the client knows the engine": (
        "client/probe.py",
        "import runnotary.engine",
        "Client stands alone",
    ),
    "a command goes around app": ("cli/probe.py", "import runnotary.store", "Commands go through app"),
}


@pytest.mark.parametrize("violation", VIOLATIONS)
def test_a_violation_is_caught(copy: Path, violation: str) -> None:
    file, line, contract = VIOLATIONS[violation]
    add_line(copy / "executors" / "other.py", "")
    add_line(copy / file, line)
    verdict = lint(copy)
    assert not verdict.passed
    assert contract in verdict.broken, verdict.text
    assert Path(file).stem in verdict.text.partition("Broken contracts")[2], verdict.text


def test_a_cycle_is_caught(copy: Path) -> None:
    add_line(copy / "store" / "probe.py", "import runnotary.store.other")
    add_line(copy / "store" / "other.py", "import runnotary.store.probe")
    verdict = lint(copy)
    assert "No cycles" in verdict.broken, verdict.text
