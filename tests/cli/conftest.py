from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.terminal import Desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """An empty directory of a user; whatever was begun in it is ended."""
    place = tmp_path / "desk"
    place.mkdir()
    desk = Desk(place)
    yield desk
    desk.close()


@pytest.fixture(scope="module")
def shared_desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """One for all tests of a file that only read."""
    desk = Desk(tmp_path_factory.mktemp("desk"))
    yield desk
    desk.close()
