"""What every file of the house keeps to: size, names, docstrings, and where imports stand."""

import ast
import re
import subprocess
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "runnotary"
MODULES = sorted(PACKAGE.rglob("*.py"))

MOST_LINES = 500
USUAL_LINES = 400
# Files that may have more than USUAL_LINES, each with the reason why it stays in one piece.
LONG_FILES: dict[str, str] = {
    "ports.py": "all that the engine asks of the outside, to be read side by side",
    "core/events.py": "the whole family of events with its codes: what may stand in the record",
}

MOST_FUNCTION_LINES = 60
VAGUE_NAMES = {"utils", "util", "helpers", "helper", "common", "manager", "types", "base", "misc"}
CORE_MAY_IMPORT = {
    *(
        "__future__",
        "base64",
        "binascii",
        "bisect",
        "collections",
        "dataclasses",
        "datetime",
        "difflib",
        "enum",
        "fnmatch",
    ),
    *("functools", "hashlib", "heapq", "itertools", "json", "math", "operator", "re", "string", "struct"),
    *("types", "typing"),
    *("cel_expr_python", "msgspec", "rfc8785", "runnotary"),
}
# Joined here, so that this file does not name them itself.
MACHINE_PATHS = [re.compile(rb"/%s/" % place) for place in (b"work", b"root")]

Function = ast.FunctionDef | ast.AsyncFunctionDef


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(), str(path))


def functions_in(tree: ast.AST) -> Iterator[Function]:
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def imports_in(tree: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom))


def packages_named_by(node: ast.Import | ast.ImportFrom) -> set[str]:
    """First parts of the absolute names; a relative import stays in its own package."""
    if isinstance(node, ast.Import):
        return {alias.name.partition(".")[0] for alias in node.names}
    return {node.module.partition(".")[0]} if node.module and not node.level else set()


def length_without_docstring(function: Function) -> int:
    assert function.end_lineno is not None
    lines = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function) is not None:
        docstring = function.body[0]
        assert docstring.end_lineno is not None
        lines -= docstring.end_lineno - docstring.lineno + 1
    return lines


def tracked_files() -> list[Path]:
    """What git tracks; in a tree without git, every file outside hidden folders."""
    listing = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], capture_output=True, check=False)
    if listing.returncode == 0:
        files = [ROOT / name.decode() for name in listing.stdout.split(b"\0") if name]
    else:
        visible = (path for path in ROOT.rglob("*") if ".venv" not in path.parts)
        files = [path for path in visible if "__pycache__" not in path.parts]
    return [path for path in files if path.is_file()]


each_module = pytest.mark.parametrize("path", MODULES, ids=name_of)


@each_module
def test_a_file_is_short_enough_to_read_in_one_go(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= MOST_LINES, f"{lines} lines; divide the room"
    if name_of(path) not in LONG_FILES:
        assert lines <= USUAL_LINES, f"{lines} lines; divide the room, or say in LONG_FILES why not"


def test_the_list_of_long_files_names_only_long_files() -> None:
    stale = [
        name
        for name in LONG_FILES
        if not (PACKAGE / name).exists() or len((PACKAGE / name).read_text().splitlines()) <= USUAL_LINES
    ]
    assert not stale


@each_module
def test_functions_fit_on_a_screen(path: Path) -> None:
    long = {
        f"{function.name} (line {function.lineno})": length
        for function in functions_in(tree_of(path))
        if (length := length_without_docstring(function)) > MOST_FUNCTION_LINES
    }
    assert not long


@each_module
def test_a_module_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(tree_of(path)), "no module docstring"


@each_module
def test_a_module_has_a_name_that_says_something(path: Path) -> None:
    parts = {part.strip("_") for part in path.relative_to(PACKAGE).with_suffix("").parts}
    assert not parts & VAGUE_NAMES


@each_module
def test_imports_stand_at_the_top(path: Path) -> None:
    """Only the command line and the composition root may import late, to start fast."""
    if name_of(path).startswith(("cli/", "app/")):
        return
    late = {node.lineno for function in functions_in(tree_of(path)) for node in imports_in(function)}
    assert not late, f"imports inside functions, lines {sorted(late)}"


@pytest.mark.parametrize("path", [path for path in MODULES if name_of(path).startswith("core/")], ids=name_of)
def test_core_imports_only_what_is_pure(path: Path) -> None:
    named = set().union(*(packages_named_by(node) for node in imports_in(tree_of(path))))
    assert not named - CORE_MAY_IMPORT


def test_no_file_names_a_path_of_one_machine() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {pattern.pattern.decode()}"
        for path in tracked_files()
        for pattern in MACHINE_PATHS
        if pattern.search(path.read_bytes())
    ]
    assert not found


def test_the_locks_agree_with_each_other_and_with_the_project() -> None:
    """uv.lock is the truth; the two files for pip are written from it by `make lock`."""
    resolved = {
        entry["name"]: entry["version"]
        for entry in tomllib.loads((ROOT / "uv.lock").read_text())["package"]
        if entry["name"] != "runnotary"
    }

    def pinned(name: str) -> dict[str, str]:
        return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / name).read_text(), re.MULTILINE))

    def wanted(requirements: list[str]) -> set[str]:
        return {re.split(r"[^A-Za-z0-9-]", line)[0].lower() for line in requirements}

    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    runtime = wanted(settings["project"]["dependencies"])
    assert pinned("requirements-dev.lock") == resolved
    assert pinned("requirements.lock").items() <= resolved.items()
    assert runtime <= pinned("requirements.lock").keys()
    assert wanted(settings["dependency-groups"]["dev"]) <= resolved.keys()


@pytest.mark.parametrize("name", ["uv.lock", "requirements.lock", "requirements-dev.lock"])
def test_a_lock_names_only_the_public_registry(name: str) -> None:
    hosts = set(re.findall(r"https?://([^/\"\s]+)", (ROOT / name).read_text()))
    assert hosts <= {"pypi.org", "files.pythonhosted.org"}
