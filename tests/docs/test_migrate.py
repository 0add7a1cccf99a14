"""The commands of docs/migrate.md are run, on a real PostgreSQL, and print what the page says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.postgres import Postgres
from tools.sessions import differences

PAGE = Path(__file__).parents[2] / "docs/migrate.md"
URL = re.compile(r"postgresql://runnotary@localhost/(\w+)")
PLACE = "postgresql://localhost:5432/"


@pytest.mark.own_database("says which database is meant")
@pytest.mark.slow
def test_every_output_is_a_real_one(postgres: Postgres, tmp_path: Path) -> None:
    text = PAGE.read_text()
    for name in sorted(set(URL.findall(text))):
        url = postgres.fresh()
        schema = url.rpartition("%3D")[2]
        text = re.sub(rf"postgresql://runnotary@localhost/{name}\b", url, text)
        text = text.replace(PLACE + name, f"postgresql://127.0.0.1:{postgres.port}/postgres schema {schema}")
    found = differences(text, tmp_path)
    assert not found, "\n".join("\n".join([f"$ {one.command}", *one.lines]) for one in found)
