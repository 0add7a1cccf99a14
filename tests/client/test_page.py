"""What docs/client.md shows is run, and prints what the page says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "client.md").read_text()
PARTS = re.findall(r"^```python\n# run\n(.*?)^```\n\n(.*?)(?=^## )", PAGE, re.M | re.S)


def said(text: str) -> list[str]:
    """Return the lines that the page says a snippet prints."""
    block = re.match(r"prints\n\n```text\n(.*?)```", text, re.S)
    if block:
        return block[1].splitlines()
    sentence = text.partition(". ")[0].removeprefix("prints ")
    return re.findall(r"`([^`]+)`", sentence)


def test_every_snippet_prints_what_the_page_says(tmp_path: Path) -> None:
    assert len(PARTS) == PAGE.count("# run\n") == 3
    for code, text in PARTS:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", code],
            cwd=tmp_path,
            env={"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines() == said(text)
