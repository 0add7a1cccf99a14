"""The generated page of keys is current, and says something about every one of them."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from runnotary.core import grammar
from runnotary.formats.yaml_flow import load

ROOT = Path(__file__).parents[2]


def test_the_page_of_keys_is_current() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "flow_reference.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_every_key_is_explained() -> None:
    tables = [
        grammar.FLOW,
        grammar.INPUT,
        grammar.STEP,
        grammar.RETRY,
        grammar.CATCH,
        grammar.WAIT,
        grammar.APPROVE,
    ]
    for key in (key for table in tables for key in table.values()):
        assert key.meaning.endswith(".")
        assert key.later or key.takes


def test_the_flow_of_the_guide_loads(tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "flow-format.md").read_text()
    example = re.search(r"```yaml\n(flow: .*?)```", guide, re.DOTALL)
    assert example
    (tmp_path / "clean.py").touch()
    (tmp_path / "sales.yaml").write_text(example[1])
    assert load(tmp_path / "sales.yaml").definition.words.order == ("clean", "report")


@pytest.mark.parametrize("key", ["retry", "catch"])
def test_the_pieces_of_the_guide_load(key: str, tmp_path: Path) -> None:
    guide = (ROOT / "docs" / "flow-format.md").read_text()
    piece = re.search(rf"```yaml\n({key}: .*?)```", guide, re.DOTALL)
    assert piece
    (tmp_path / "x.yaml").write_text(
        f"steps:\n  a:\n    run: x\n    values: {{rows: integer}}\n    {piece[1]}"
    )
    assert key in load(tmp_path / "x.yaml").definition.document["steps"]["a"]
