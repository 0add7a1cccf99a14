"""One home with runs, for every test that looks at bundles of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.exports.bundles import Holder, Members, exported, members_of
from tests.exports.recorded import Home, record


class Lab:
    """A home, its runs by the names of their flows, their bundles, and its key."""

    def __init__(self, place: Path) -> None:
        self.home = place / "home"
        self.runs = record(place)
        made = exported(self.home, *self.runs.values())
        self.bundles = dict(zip(self.runs, made, strict=True))
        self.holder = Holder.of(self.home)

    def members(self, flow: str = "report") -> Members:
        return members_of(self.bundles[flow])


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    return Lab(tmp_path_factory.mktemp("lab"))


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home of its own with the same runs, open as long as anybody exports from it."""
    opened = Home(tmp_path_factory.mktemp("recorded"))
    yield opened
    opened.close()
