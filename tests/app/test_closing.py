"""A home lets go of its record when nothing in this process reads it any more."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import runnotary
from runnotary.app.exporting import Exporting
from runnotary.app.home import Embedded
from runnotary.config import load
from tests.database import ENVIRON

SOURCES = Path(runnotary.__file__).parent


def test_what_reads_in_a_thread_has_ended_before_the_record_is_closed(tmp_path: Path) -> None:
    """Also when nobody waits for it: a connection closed under a reader is a crash of the process."""
    began, go, read = threading.Event(), threading.Event(), []

    async def work() -> None:
        home = Embedded(load({"home": str(tmp_path)}, environ=ENVIRON))

        def reading() -> None:
            home.store.position()
            began.set()
            go.wait()
            read.append(home.store.position())

        task = asyncio.ensure_future(asyncio.to_thread(reading))
        await asyncio.to_thread(began.wait)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        asyncio.get_running_loop().call_later(0.1, go.set)
        await home.close()
        assert read == [1]
        assert await asyncio.to_thread(int, "7") == 7

    try:
        asyncio.run(work())
    finally:
        go.set()


def test_what_a_server_sends_is_read_in_threads_of_the_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names, pieces = set(), Exporting._pieces

    def watched(self: Exporting, digest: str) -> Iterator[bytes]:
        names.add(threading.current_thread().name.partition("_")[0])
        yield from pieces(self, digest)

    monkeypatch.setattr(Exporting, "_pieces", watched)
    (tmp_path / "one.yaml").write_text("flow: one\nsteps: {a: {run: echo one}}\n")
    with runnotary.Client(home=str(tmp_path / "home")) as client:
        run = client.run_flow(tmp_path / "one.yaml", {}, wait=60)
        client.export_run(run.id, tmp_path / "one.zip")
    assert names == {"home"}


def test_no_other_threads_read() -> None:
    """Those of the framework are not waited for: whoever is cancelled leaves them behind."""
    for file in SOURCES.rglob("*.py"):
        assert "run_in_threadpool" not in file.read_text("utf-8"), file
