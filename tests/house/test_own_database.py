"""Which tests are about the database that a home has for itself: `make test-postgresql` leaves these out."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
MARKER = "own_database"
LEFT_OUT = {
    "app/test_sessions.py::test_a_rerun_is_one_run_too",
    "app/test_sessions.py::test_a_start_is_one_run_whatever_becomes_of_the_other_engine",
    "app/test_sessions.py::test_what_is_asked_again_is_done_once",
    "bench/test_bench.py::test_the_smallest_run_prints_every_line_with_its_series",
    "cli/test_evidence.py::test_every_command_refuses_a_record_that_was_rolled_back",  # one of its attacks
    "cli/test_moving.py",
    "cli/test_verify.py::test_a_file_that_is_no_database",
    "cli/test_verify.py::test_a_home_that_cannot_be_written",
    "client/test_home.py::test_a_home_that_another_process_has_open_is_locked",
    "client/test_home.py::test_a_home_that_another_process_serves_is_that_server",
    "docs/test_migrate.py::test_every_output_is_a_real_one",
    "docs/test_postgresql.py::test_every_output_is_a_real_one",
    "engine/test_erasure.py::test_where_there_is_no_room_to_write_the_database_anew_the_run_is_erased",
    "engine/test_forgetting.py::test_actor_ids_of_before_lead_to_nobody",
    "engine/test_full_disk.py::test_a_home_that_cannot_be_written_is_not_called_damaged",
    "engine/test_origins.py::test_a_damaged_run_keeps_no_older_home_from_opening",
    "engine/test_origins.py::test_the_table_of_an_older_home_is_filled",
    "server/test_up.py::test_a_home_has_one_server",
}


def marked(tree: ast.Module, file: str) -> Iterator[tuple[str, ast.AST]]:
    """Yield (test, mark) for each use of the marker; a mark of a whole file has the file's name."""
    for node in tree.body:
        name = f"{file}::{node.name}" if isinstance(node, ast.FunctionDef) else file
        calls = [one for one in ast.walk(node) if isinstance(one, ast.Call)]
        called = {id(call.func): call for call in calls}
        for one in ast.walk(node):
            if isinstance(one, ast.Attribute) and one.attr == MARKER:
                yield name, called.get(id(one), one)


def uses() -> list[tuple[str, ast.AST]]:
    return [
        found
        for path in sorted(TESTS.rglob("*.py"))
        for found in marked(ast.parse(path.read_text()), path.relative_to(TESTS).as_posix())
    ]


def says_why(mark: ast.AST) -> bool:
    return (
        isinstance(mark, ast.Call)
        and len(mark.args) == 1
        and isinstance(mark.args[0], ast.Constant)
        and isinstance(mark.args[0].value, str)
        and len(mark.args[0].value) > 10
    )


def test_no_other_test_is_left_out() -> None:
    assert {name for name, _ in uses()} == LEFT_OUT


def test_each_says_why() -> None:
    assert [name for name, mark in uses() if not says_why(mark)] == []


@pytest.mark.parametrize(
    "source",
    [
        "@pytest.mark.own_database\ndef test_it(): pass",
        "@pytest.mark.own_database('')\ndef test_it(): pass",
        "pytestmark = pytest.mark.own_database",
        "@parametrize('x', [param(1, marks=pytest.mark.own_database)])\ndef test_it(x): pass",
    ],
)
def test_a_mark_without_a_reason_is_found(source: str) -> None:
    ((_, mark),) = marked(ast.parse(source), "test_it.py")
    assert not says_why(mark)


PAST = ("environ={}", "verify(settings.home")
"""What works on a home's own database only; `tests/database.py` has `ENVIRON` and `record_in`, `app.stores`
`record_of`."""


def test_no_test_above_the_store_takes_its_homes_for_the_only_kind() -> None:
    files = [path for path in TESTS.rglob("*.py") if path.parent.name != "store" and path != Path(__file__)]
    assert [path for path in files if any(said in path.read_text() for said in PAST)] == []
