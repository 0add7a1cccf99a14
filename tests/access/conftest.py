from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.access.place import Place


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A home; at the end its record is verified."""
    place = Place(tmp_path / "home")
    yield place
    place.close()
