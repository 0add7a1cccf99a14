"""A home lets go of its record when nothing in this process reads it any more."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from runnotary.app.home import Embedded
from runnotary.config import load


def test_what_reads_in_a_thread_has_ended_before_the_record_is_closed(tmp_path: Path) -> None:
    """Also when nobody waits for it: a connection closed under a reader is a crash of the process."""
    began, go, read = threading.Event(), threading.Event(), []

    async def work() -> None:
        home = Embedded(load({"home": str(tmp_path)}, environ={}))

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
