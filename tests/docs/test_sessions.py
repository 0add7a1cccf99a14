"""Every command that README and the guides show is run, and prints what they say it prints."""

import re
from pathlib import Path

import pytest

from tools.sessions import BLOCK, differences, normal

ROOT = Path(__file__).parents[2]
PAGES = [
    "README.md",
    "docs/tutorial.md",
    "docs/verify.md",
    "docs/access.md",
    "docs/commands.md",
    "docs/observability.md",
    "docs/exports.md",
    "docs/lineage.md",
    "docs/approvals.md",
    "docs/retention.md",
    "docs/regulated.md",
    "docs/bundles.md",
    "docs/audit.md",
]


@pytest.mark.slow
@pytest.mark.parametrize("name", PAGES)
def test_every_output_is_a_real_one(name: str, tmp_path: Path) -> None:
    found = differences((ROOT / name).read_text(), tmp_path)
    shown = "\n".join("\n".join([f"$ {one.command}", *one.lines]) for one in found)
    assert not found, f"{shown}\nrun .venv/bin/python tools/sessions.py {name}"


@pytest.mark.parametrize("name", PAGES)
def test_every_command_shows_its_output_or_has_none(name: str) -> None:
    commands = re.findall(r"^\$ (.*)$", (ROOT / name).read_text(), re.MULTILINE)
    in_blocks = [
        line[2:]
        for kind, block in BLOCK.findall((ROOT / name).read_text())
        if kind == "console"
        for line in block.splitlines()
        if line.startswith("$ ")
    ]
    assert commands == in_blocks
    assert commands


def test_the_readme_is_short_and_begins_with_something_to_run() -> None:
    lines = (ROOT / "README.md").read_text().splitlines()
    assert 80 <= len(lines) <= 180
    assert next(number for number, line in enumerate(lines, 1) if line.startswith("$ ")) < 30


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("run 01M7Z784K2EQNBFCY543HN6NQJ", "run 01M7Z785NEF2NT9AZ6TXKKDGHP", True),
        ("success 13ms", "success 1.2s", True),
        ("14:13:02 a running\n14:13:02 b running", "14:13:05 b running\n14:13:05 a running", True),
        ("verify: ok", "verify: FAILED", False),
        ("a  success  2ms", "a failed 2ms", False),
        ("✓ 6 events", "✓ 7 events", False),
        ("exit_code: holds 1", "exit_code: holds 2", False),
        ("letters  21", "letters  22", False),
    ],
)
def test_what_counts_as_the_same_output(one: str, other: str, same: bool) -> None:
    assert (normal(one) == normal(other)) is same
