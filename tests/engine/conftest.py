"""A home of its own for every test, and a way to run a flow in it to the end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from runnotary import config
from runnotary.app.home import reading
from runnotary.app.intake import StartRequest
from runnotary.app.session import session
from runnotary.config import Settings
from runnotary.engine.reader import Reader
from tests.database import ENVIRON

Json = Any
PATIENCE_S = 60


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return config.load({"home": str(tmp_path / "home")}, environ=ENVIRON, cwd=tmp_path)


@pytest.fixture
def reader(settings: Settings) -> Iterator[Callable[[], Reader]]:
    """Return a function that opens the home for reading; everything is closed afterwards."""
    opened = []

    def read() -> Reader:
        opened.append(reading(settings))
        return opened[-1].__enter__()

    yield read
    for one in opened:
        one.__exit__(None, None, None)


@pytest.fixture
def play(settings: Settings, tmp_path: Path) -> Callable[..., str]:
    """Return a function that runs a flow document to its end and returns the run's id."""

    def run(document: Json, **request: Any) -> str:
        path = tmp_path / "flow.yaml"
        path.write_text(document if isinstance(document, str) else yaml.safe_dump(document, sort_keys=False))

        async def whole() -> str:
            async with session(settings) as opened:
                started = await opened.start(StartRequest(cwd=str(tmp_path), target="flow.yaml", **request))
                async for _ in opened.changes(started):
                    pass
                return started

        return asyncio.run(asyncio.wait_for(whole(), PATIENCE_S))

    return run
