"""The commands of docs/postgresql.md are run, on a real PostgreSQL, and print what the page says."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.postgres import Postgres
from tools.sessions import differences

PAGE = Path(__file__).parents[2] / "docs/postgresql.md"
URL = "postgresql://runnotary@localhost/runnotary"


@pytest.mark.own_database("says which database is meant")
@pytest.mark.slow
def test_every_output_is_a_real_one(postgres: Postgres, tmp_path: Path) -> None:
    text = PAGE.read_text()
    assert URL in text
    found = differences(text.replace(URL, postgres.fresh()), tmp_path)
    assert not found, "\n".join("\n".join([f"$ {one.command}", *one.lines]) for one in found)
