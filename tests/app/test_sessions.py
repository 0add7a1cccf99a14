"""Two engines of one home, one after the other: what was asked when the first went is done once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from runnotary import config
from runnotary.app.intake import StartRequest
from runnotary.app.records import reading
from runnotary.app.session import LocalSession, NeighbourSession, session
from runnotary.config import Settings
from runnotary.core.ids import to_text
from runnotary.core.queries import RunQuery
from tests.database import ENVIRON

Json = Any


class Leaving(LocalSession):
    """An engine that goes in the middle of one request: before it has done anything, or before it answers.

    With `stays` only the answer is lost.
    """

    acts = True
    stays = False
    left = False

    async def _handle(self, request: dict[str, Json]) -> Json:
        if self.left:
            return await super()._handle(request)
        self.left = True
        if self.acts:
            await super()._handle(request)
        if not self.stays:
            self.leaving = asyncio.create_task(self.close())
        raise ConnectionError


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    (tmp_path / "flow.yaml").write_text("flow: quick\nsteps: {a: {run: 'true'}}\n")
    return config.load({}, environ=ENVIRON, cwd=tmp_path)


@asynccontextmanager
async def next_door(settings: Settings, *, acts: bool, stays: bool) -> AsyncIterator[NeighbourSession]:
    """A session with the engine of another process, which leaves at the first request."""
    other = await Leaving.open(settings)
    assert isinstance(other, Leaving)
    other.acts, other.stays = acts, stays
    try:
        async with session(settings) as ours:
            assert isinstance(ours, NeighbourSession)
            assert not ours.own
            yield ours
            assert ours.own is not stays
    finally:
        await (other.close() if stays else other.leaving)


def runs_of(settings: Settings) -> list[str]:
    with reading(settings) as reader:
        return [to_text(row.id) for row in reader.store.runs(RunQuery())]


@pytest.mark.own_database("one process works in it, and the next asks that one")
@pytest.mark.parametrize("acts", [True, False], ids=["had accepted", "had not"])
@pytest.mark.parametrize("stays", [True, False], ids=["answer lost", "engine gone"])
@pytest.mark.parametrize("key", ["", "mine"])
def test_a_start_is_one_run_whatever_becomes_of_the_other_engine(
    settings: Settings, tmp_path: Path, acts: bool, stays: bool, key: str
) -> None:
    async def started() -> str:
        async with next_door(settings, acts=acts, stays=stays) as ours:
            run = await ours.start(StartRequest(cwd=str(tmp_path), target="flow.yaml", key=key))
            async for _ in ours.changes(run):
                pass
            return run

    assert runs_of_started(settings, started) == 1


@pytest.mark.own_database("one process works in it, and the next asks that one")
@pytest.mark.parametrize("acts", [True, False], ids=["had accepted", "had not"])
def test_a_rerun_is_one_run_too(settings: Settings, tmp_path: Path, acts: bool) -> None:
    async def first() -> str:
        async with session(settings) as ours:
            run = await ours.start(StartRequest(cwd=str(tmp_path), target="flow.yaml"))
            async for _ in ours.changes(run):
                pass
            return run

    before = asyncio.run(first())

    async def again() -> str:
        async with next_door(settings, acts=acts, stays=False) as ours:
            run = await ours.rerun(before, "")
            async for _ in ours.changes(run):
                pass
            return run

    assert runs_of_started(settings, again) == 2


def runs_of_started(settings: Settings, work: Any) -> int:
    run = asyncio.run(work())
    found = runs_of(settings)
    assert found[0] == run
    return len(found)


@pytest.mark.own_database("one process works in it, and the next asks that one")
@pytest.mark.parametrize("acts", [True, False], ids=["had done it", "had not"])
def test_what_is_asked_again_is_done_once(settings: Settings, tmp_path: Path, acts: bool) -> None:
    async def archived() -> Json:
        async with session(settings) as ours:
            run = await ours.start(StartRequest(cwd=str(tmp_path), target="flow.yaml"))
            async for _ in ours.changes(run):
                pass
        async with next_door(settings, acts=acts, stays=False) as ours:
            return await ours.act(run, "archive", "old")

    document = asyncio.run(archived())
    assert document["archived_at"]
    assert document["log"]["events"] == 5
