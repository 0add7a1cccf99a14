"""What a command may import: every library costs milliseconds each time somebody types it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import yaml

ASK = """
import sys
from runnotary.cli.entry import run
status = run(sys.argv[1:])
print(*sys.modules, file=sys.stderr)
sys.exit(status)
"""
NEEDED = {"cel_expr_python", "msgspec", "rfc8785", "yaml"}
# At its end a run is signed for. The library for that takes 17 ms, in the writer's thread.
SIGNING = {"cryptography"}
# What their presence brings along: msgspec looks for the one, code made by Cython has the other.
HARMLESS = {"cython_runtime", "typing_extensions"}
HEAVY = {
    *("importlib.metadata", "importlib.resources", "multiprocessing", "unittest", "email", "http", "xml"),
    *("urllib.request", "pydoc", "concurrent.futures.process", "distutils"),
}
LATER = ("runnotary.server", "runnotary.api.http", "runnotary.store.verify", "runnotary.store.backup")


def imported_by(tmp_path: Path, *arguments: str) -> set[str]:
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "RUNNOTARY_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-I", "-c", ASK, *arguments]
    done = subprocess.run(
        command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stderr.splitlines()[-1].split())


def of_others(modules: set[str]) -> set[str]:
    """Top names that are neither ours nor Python's."""
    tops = {name.partition(".")[0] for name in modules}
    return {top for top in tops - sys.stdlib_module_names if not top.startswith(("_", "runnotary"))}


def test_help_imports_nothing_but_the_standard_library(tmp_path: Path) -> None:
    modules = imported_by(tmp_path, "--help")
    assert not of_others(modules)
    assert not modules & {"asyncio", "sqlite3", "json", "subprocess", "logging", "hashlib", "tomllib"}
    rooms = {name.split(".")[1] for name in modules if name.startswith("runnotary.")}
    assert rooms == {"cli"}


def test_start_imports_what_it_needs_and_nothing_for_later(tmp_path: Path) -> None:
    flow = tmp_path / "flow.yaml"
    flow.write_text(yaml.safe_dump({"steps": {"only": {"run": ["true"]}}}))
    modules = imported_by(tmp_path, "start", str(flow))
    assert of_others(modules) - HARMLESS == NEEDED | SIGNING
    assert not modules & HEAVY
    assert not {name for name in modules if name.startswith(LATER)}


def imported_after(line: str) -> set[str]:
    command = [sys.executable, "-I", "-c", f"import sys; {line}; print(*sys.modules)"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    return set(done.stdout.split())


def test_importing_the_package_imports_nothing() -> None:
    named = imported_after("import runnotary")
    before = imported_after("import importlib")
    assert {name for name in named if name.startswith("runnotary")} == {"runnotary"}
    assert not named - before - {"runnotary"}


def test_an_error_costs_no_more_than_itself() -> None:
    modules = imported_after("from runnotary import RunNotFound")
    assert of_others(modules) - HARMLESS == {"msgspec"}


def test_a_client_of_a_server_needs_no_engine() -> None:
    modules = imported_after("from runnotary import Client; Client('http://127.0.0.1:9').close()")
    rooms = {name.split(".")[1] for name in modules if name.startswith("runnotary.")}
    assert rooms == {"app", "client", "config", "core"}
    assert "ssl" not in modules or "certifi" not in modules
    assert not of_others(modules) & {"starlette", "uvicorn", "cel_expr_python", "yaml"}
