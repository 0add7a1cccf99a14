"""ARCHITECTURE.md says what is so: its modules, files, functions and tests exist, its invariants hold."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from runnotary.store.connection import Dialect
from runnotary.store.postgresql.connections import POSTGRESQL
from runnotary.store.sqlite import SQLITE

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "src" / "runnotary"
TEXT = (ROOT / "ARCHITECTURE.md").read_text()
WRITTEN = TEXT.partition("## Every module")[0]
MODULES = sorted(PACKAGE.rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def defined_in(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node.name


def test_it_can_be_read_in_one_go() -> None:
    assert len(WRITTEN.splitlines()) <= 150  # the table of modules grows with the house


@pytest.mark.parametrize("path", [path for path in MODULES if path.name != "__init__.py"], ids=name_of)
def test_every_module_is_named(path: Path) -> None:
    assert f"| `{name_of(path)}` |" in TEXT


def test_every_file_it_names_exists() -> None:
    names = re.findall(r"`([\w/.]+\.(?:py|md|sql))(?:::\w+)?`", TEXT) + re.findall(r"\]\(([^)#]+)", TEXT)
    known = {path.name for path in MODULES}
    missing = [
        name
        for name in names
        if not any((base / name).exists() for base in (ROOT, PACKAGE))
        and not ("/" not in name and name in known)
    ]
    assert not missing


def test_every_function_it_names_exists() -> None:
    defined = {name for path in MODULES for name in defined_in(path)}
    named = re.findall(r"`(?:(\w+)\.)?(\w+)\(\)`", WRITTEN)
    assert len(named) > 20
    for owner, function in named:
        assert function in defined, function
        assert not owner or owner in defined or f"{owner}.py" in {path.name for path in MODULES}, owner


def test_every_test_it_names_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", WRITTEN)
    assert len(named) > 15
    for file, test in named:
        assert re.search(rf"^(?:(?:async )?def |class )?{test}\b", (ROOT / file).read_text(), re.MULTILINE), (
            test
        )


def test_every_decision_is_linked() -> None:
    for path in sorted((ROOT / "docs" / "adr").glob("*.md")):
        assert f"](docs/adr/{path.name})" in WRITTEN


# --- invariants that no other test holds ---------------------------------------------------------


def test_only_app_names_concrete_parts() -> None:
    naming = {
        name_of(path).split("/")[0]
        for path in MODULES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and re.match(r"runnotary\.(store|executors)\b", node.module or "")
    }
    assert naming <= {"app", "store", "executors"}


MARKS = {
    ("core/fold.py", ""): "the one that may",
    ("core/plan.py", "sweep"): "a sweep that was planned is over; folding the same event again sets it again",
    ("engine/loop.py", "touched"): "which rows the next commit writes",
}


def test_only_fold_changes_a_run() -> None:
    """Attributes of a run or a task are assigned in core/fold.py, and marks that hold no fact elsewhere."""
    for path in MODULES:
        name = name_of(path)
        if not name.startswith(("core/", "engine/")) or name == "core/fold.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            for target in targets(node):
                assert (name, target.attr) in MARKS, f"{name}:{target.lineno} {ast.unparse(target)}"


def targets(node: ast.AST) -> Iterator[ast.Attribute]:
    given = node.targets if isinstance(node, ast.Assign) else []
    if isinstance(node, ast.AugAssign | ast.AnnAssign):
        given = [node.target]
    for target in given:
        for one in target.elts if isinstance(target, ast.Tuple) else [target]:
            if isinstance(one, ast.Attribute) and re.search(r"(^|\.)(run|task)$", ast.unparse(one.value)):
                yield one


OF_BOTH = (
    "DELETE FROM checkpoints WHERE size > ? AND size < ?",
    "DELETE FROM events WHERE stream = ?",
    "UPDATE events SET body = NULL WHERE stream = ?",
    "DELETE FROM runs WHERE id = ?",
    "DELETE FROM tasks WHERE run = ?",
    "DELETE FROM keys WHERE principal = ? AND key = ?",
)


def changing(dialect: Dialect) -> list[str]:
    text = "\n".join(dialect.sql.values())
    return re.findall(r"^\s*((?:UPDATE|DELETE)\b.*)$", text, re.M | re.I)


def test_no_statement_changes_the_record() -> None:
    """Log rows and blobs are inserted, never updated, events lose their bodies at most; only a purge deletes,
    and no log row.
    """
    sources = [*PACKAGE.rglob("*.sql"), *MODULES]
    forbidden = re.compile(
        r"\b(?:UPDATE(?:\s+OR\s+\w+)?|DELETE\s+FROM|REPLACE\s+INTO|DROP\s+TABLE)\s+(?:events|log|blobs)\b",
        re.I,
    )
    queries = {*PACKAGE.glob("store/sql/queries.sql"), *PACKAGE.glob("store/sql/*/queries.sql")}
    for path in sources:
        assert path in queries or not forbidden.search(path.read_text()), path
    assert changing(SQLITE) == [
        *OF_BOTH,
        "UPDATE runs SET",
        "UPDATE events SET body = NULL WHERE stream = ? AND seq = ?",
        "DELETE FROM uses WHERE blob = ? AND run = ?",
        "DELETE FROM blobs WHERE digest = ?",
    ]
    record = re.compile(r"\b(?:UPDATE|DELETE FROM) (?!pending|servers|integrator)", re.I)
    assert [line for line in changing(POSTGRESQL) if record.search(line)] == [
        *OF_BOTH,
        "UPDATE events SET body = NULL FROM unnest(?::bytea[], ?::bigint[]) AS gone (stream, seq)",
        "DELETE FROM uses USING unnest(?::bytea[], ?::bytea[]) AS gone (blob, run)",
        "DELETE FROM blobs USING unnest(?::bytea[]) AS gone (digest) WHERE blobs.digest = gone.digest",
        "UPDATE runs SET server = ?",
        "UPDATE runs SET server = servers.number FROM servers",
    ]
    erasing = re.compile(r"\"(?:erase|drop)_(?!pending)\w+\"")
    assert [name_of(path) for path in MODULES if erasing.search(path.read_text())] == ["store/commit.py"]
