"""The generated pages are current, and every code, setting, event, state and command is in them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from runnotary.api.routes import ROUTES
from runnotary.cli.table import COMMANDS
from runnotary.config import SETTINGS
from runnotary.core import errors, events
from runnotary.core.states import Reason, State

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs" / "reference"


def page(name: str) -> str:
    return (REFERENCE / name).read_text()


def subclasses(kind: type[errors.RunnotaryError]) -> list[type[errors.RunnotaryError]]:
    """Return the tree that core/errors.py draws; what else a test run has imported does not count."""
    below = [one for one in kind.__subclasses__() if one.__module__ == errors.__name__]
    return [kind, *(one for child in below for one in subclasses(child))]


def test_the_generated_pages_are_current() -> None:
    tool = ROOT / "tools" / "reference.py"
    done = subprocess.run([sys.executable, tool, "--check"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", subclasses(errors.RunnotaryError), ids=lambda kind: str(kind.code))
def test_every_error_has_a_row(kind: type[errors.RunnotaryError]) -> None:
    assert f"`{kind.code}` | `{kind.__name__}` | {kind.exit_code} | {kind.http_status} |" in page("errors.md")


def test_every_event_has_a_section_with_its_type_and_fields() -> None:
    text = page("events.md")
    for kind, (code, version) in events.CODES.items():
        section = text.partition(f"## `{events.NAMES[kind]}`\n")[2].partition("\n## ")[0]
        assert f"Type {code}, version {version}." in section
        for field in kind.__struct_fields__:
            assert f"| `{field}` |" in section


def test_every_state_and_reason_is_explained() -> None:
    text = page("states.md")
    for state in State:
        assert f"| **{state}** |" in text
    for reason in Reason:
        assert f"| `{reason}` |" in text


def test_every_setting_has_a_row() -> None:
    for setting in SETTINGS:
        assert f"| `{setting.name}` |" in page("settings.md")
        assert f"`{setting.variable}`" in page("settings.md")


def test_every_command_and_option_is_listed() -> None:
    text = page("cli.md")
    for command in COMMANDS.values():
        section = text.partition(f"## `runnotary {command.name}`\n")[2].partition("\n## ")[0]
        assert section, command.name
        for option in command.options:
            assert option.help.replace("|", "\\|") in section


def test_no_generated_page_is_left_over() -> None:
    made = {"states.md", "events.md", "errors.md", "settings.md", "cli.md", "flow.md", "routes.md"}
    assert {path.name for path in REFERENCE.iterdir()} == made


def test_every_route_is_listed() -> None:
    text = page("routes.md")
    for route in ROUTES:
        path = re.sub(r":[a-z]+}", "}", route.path)
        assert f"`{route.verb} {path}` | {route.summary} | {route.needs}" in text
