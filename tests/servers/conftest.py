"""Two servers on one database: shared by the tests of a file, or one's own for those that kill them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.postgres import Postgres
from tests.servers.pair import Pair


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory, postgres: Postgres) -> Iterator[Pair]:
    """Two servers for all tests of a file, which leave them as they are."""
    servers = Pair(tmp_path_factory.mktemp("pair"), postgres).start()
    yield servers
    servers.close()


@pytest.fixture
def own(tmp_path: Path, postgres: Postgres) -> Iterator[Callable[..., Pair]]:
    """Return a function that prepares two servers for this test alone; it starts those that it wants."""
    made: list[Pair] = []

    def make(**settings: Any) -> Pair:
        made.append(Pair(tmp_path / f"pair{len(made)}", postgres, **settings))
        return made[-1]

    yield make
    for one in made:
        one.close()
