"""Words that are no command, help, and what loading the command costs."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

from runnotary.cli.table import COMMANDS
from tests.cli.terminal import Desk

HEAVY = {
    "asyncio",
    "sqlite3",
    "msgspec",
    "yaml",
    "rich",
    "cel_expr_python",
    "subprocess",
    "dataclasses",
    "logging",
}
WITH_HELP = {
    "argparse",
    "contextlib",
    "enum",
    "gettext",
    "operator",
    "reprlib",
    "shutil",
    "fnmatch",
    "random",
} | {"collections", "functools", "importlib", "re", "types", "typing", "warnings", "keyword", "copyreg"}


def modules_after(*words: str) -> set[str]:
    script = (
        "import sys\nbefore = set(sys.modules)\nfrom runnotary.cli.entry import run\n"
        f"run({list(words)!r})\nprint('\\n'.join(sorted(set(sys.modules) - before)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return set(done.stderr.split())


@pytest.mark.parametrize("words", [("--help",), ("run", "--help"), ("start", "--help"), ("version",)])
def test_help_loads_only_the_table_and_the_parser(words: tuple[str, ...]) -> None:
    loaded = modules_after(*words)
    assert not {name.partition(".")[0] for name in loaded} & HEAVY
    ours = {name for name in loaded if name.startswith("runnotary")}
    parts = ("", ".entry", ".overview", ".parser", ".options", ".table", ".version")
    assert {name for name in ours if not name.startswith("runnotary.cli.table_")} <= {
        "runnotary",
        *(f"runnotary.cli{part}" for part in parts),
    }


def test_a_reading_command_loads_no_engine_loop_and_no_rich(desk: Desk) -> None:
    loaded = modules_after("run", "list", "--home", str(desk.home))
    assert not {name.partition(".")[0] for name in loaded} & {"rich"}


@pytest.mark.parametrize("command", COMMANDS.values(), ids=lambda command: command.name)
def test_every_command_has_a_handler_and_help(desk: Desk, command: object) -> None:
    handler: str = command.handler  # type: ignore[attr-defined]
    words: tuple[str, ...] = command.words  # type: ignore[attr-defined]
    module, _, function = handler.partition(":")
    assert callable(getattr(importlib.import_module(module), function))
    help_text = desk.ok(*words, "--help").out
    assert help_text.startswith(f"usage: runnotary {' '.join(words)}")


def test_the_overview_fits_eighty_columns_and_names_every_command(desk: Desk) -> None:
    text = desk.ok("--help").out
    for command in COMMANDS.values():
        assert f"  {command.name}" in text
    assert max(len(line) for line in text.split("\n")) <= 80
    assert desk.ok("help").out == text
    assert desk.ok().out == text


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("strat", "x.yaml"), "start"),
        (("run", "lst"), "runnotary run list"),
        (("flow", "valdate"), "runnotary flow validate"),
        (("verify", "--dep"), "--deep"),
        (("hello.yaml",), "runnotary start hello.yaml"),
        (("start",), "--help"),
        (("start", "x.yaml", "--slots", "none"), "--help"),
        (("exec",), "--"),
        (("run", "tasks", "a", "b", "c"), "--help"),
        (("run", "show"), "--filter"),
        (("run", "archive"), "--filter"),
        (("admin", "backup"), "--output DIR"),
    ],
)
def test_wrong_words_are_exit_2_with_a_hint(desk: Desk, words: tuple[str, ...], hint: str) -> None:
    done = desk.run(*words)
    assert done.code == 2
    assert done.out == ""
    assert hint in done.err
    assert not desk.home.exists()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("run", "show", "@latest"), 3),
        (("run", "list"), 3),
        (("verify",), 3),
        (("start", "missing.yaml"), 3),
        (("start", "no-such-flow"), 3),
        (("flow", "show", "missing.yaml"), 3),
        (("run", "logs", "@latest"), 3),
        (("run", "cancel", "@latest"), 3),
    ],
)
def test_what_is_not_there_is_exit_3_and_makes_no_home(desk: Desk, words: tuple[str, ...], code: int) -> None:
    done = desk.run(*words)
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith("error: ")
    assert not desk.home.exists()


def test_a_filter_without_a_value_is_not_every_run(desk: Desk) -> None:
    desk.write("flow.yaml", "steps: {a: {run: 'true'}}\n")
    run = desk.ok("start", "flow.yaml", "-q", "--label", "a,,b").out.strip()
    for words in ("tag=", "label=", "status=,", "q="):
        refused = desk.run("run", "purge", "--filter", words)
        assert (refused.code, refused.out) == (2, ""), words
        assert "every run" in refused.err
    assert desk.ok("run", "show", "--filter", "label=a,,b", "-o", "name").out.strip() == run
    assert isinstance(desk.json("run", "update", "--filter", "label=a,", "--tag", "x"), list)
    assert desk.json("run", "update", run, "--tag", "y")["tags"] == ["x", "y"]


def test_a_time_that_is_none_is_refused_once_and_before_any_run_is_looked_for(desk: Desk) -> None:
    refused = desk.run("run", "cancel", "--filter", "status=running", "--grace", "soon")
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith("error: --grace soon: write ")


def test_a_flow_without_a_name_is_not_pushed_and_makes_no_home(desk: Desk) -> None:
    desk.write("flow.yaml", "steps: {a: {run: 'true'}}\n")
    refused = desk.run("flow", "push", "flow.yaml")
    assert refused.code == 2
    assert "error: flow.yaml has no name to register" in refused.err
    assert not desk.home.exists()


def test_options_may_stand_before_the_command(desk: Desk) -> None:
    desk.write("f.yaml", "flow: f\nsteps: {a: {run: 'true'}}\n")
    desk.ok("--home", "elsewhere", "start", "f.yaml")
    assert not desk.home.exists()
    assert desk.ok("run", "list", "--home=elsewhere", "-o", "name").out
    assert desk.ok("--home=elsewhere", "-o", "name", "run", "list").out


def test_a_defect_is_one_line_and_its_trace_only_on_request(desk: Desk) -> None:
    script = (
        "from runnotary.cli import entry, version as v\nv.version = lambda args: 1 / 0\n"
        "entry.run(['version'])"
    )
    command = [sys.executable, "-c", script]
    told = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "Traceback" not in told.stderr
    assert told.stderr.count("\n") == 2
    assert "RUNNOTARY_DEBUG=1" in told.stderr
    debug = {**desk.environ, "RUNNOTARY_DEBUG": "1"}
    traced = subprocess.run(command, capture_output=True, text=True, check=False, env=debug)
    assert "Traceback" in traced.stderr
