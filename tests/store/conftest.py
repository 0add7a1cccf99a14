"""Places for records: `place` is one in each database that there is a store for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.store.places import Place, PostgresPlace, SqlitePlace

DATABASES = ("sqlite", "postgresql")
MakePlace = Callable[[Path], Place]


def place_in(database: str, home: Path, request: pytest.FixtureRequest) -> Place:
    """Return a new place in a database of this kind."""
    if database == "sqlite":
        return SqlitePlace(home)
    postgres = request.getfixturevalue("postgres")
    return PostgresPlace(postgres.fresh(), home, postgres)


@pytest.fixture(params=DATABASES)
def make_place(request: pytest.FixtureRequest) -> MakePlace:
    """Makes places in one kind of database, each in a folder that it is given."""
    return lambda home: place_in(request.param, home, request)


@pytest.fixture
def place(make_place: MakePlace, tmp_path: Path) -> Place:
    return make_place(tmp_path / "home")
