"""Servers of the tests: one for those that only ask, one's own for those that kill it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.server.up import QUICK, SAYS, Up


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A server in local-owner mode, for all tests of a file."""
    server = Up(tmp_path_factory.mktemp("up")).start()
    server.register(QUICK, SAYS)
    yield server
    server.close()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Callable[..., Up]]:
    """Return a function that starts a server for this test alone."""
    begun: list[Up] = []

    def start(**settings: Any) -> Up:
        begun.append(Up(tmp_path / f"up{len(begun)}", **settings).start())
        return begun[-1]

    yield start
    for server in begun:
        server.close()
