"""Bytes as a response: which part is sent, and that the file behind it is let go of on every way out."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest

from runnotary.api.call import Content
from runnotary.engine.questions import Bytes
from runnotary.server.contents import PIECE, NothingThere, response, span

Json = Any


@pytest.mark.parametrize(
    ("wanted", "part"),
    [
        ("", None),
        ("bytes=0-", (0, 10)),
        ("bytes=2-4", (2, 5)),
        ("bytes=9-99", (9, 10)),
        ("bytes=-3", (7, 10)),
        ("bytes=-99", (0, 10)),
        ("bytes=-", None),
        ("bytes=4-2", None),
        ("bytes=0-1,3-4", None),
        ("lines=1-2", None),
    ],
)
def test_the_part_that_is_asked_for(wanted: str, part: tuple[int, int] | None) -> None:
    assert span(wanted, 10) == part


@pytest.mark.parametrize("wanted", ["bytes=10-", "bytes=99-100", "bytes=-0"])
def test_a_part_behind_the_end(wanted: str) -> None:
    with pytest.raises(NothingThere):
        span(wanted, 10)


def opened() -> set[Path]:
    """Every file that this process has open."""
    found = set()
    for handle in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # the one by which this folder was read
            found.add(handle.readlink())
    return found


@pytest.mark.parametrize("taken", [0, 1])
def test_a_file_that_nobody_takes_to_its_end_is_closed(tmp_path: Path, taken: int) -> None:
    path = tmp_path / "large"
    path.write_bytes(b"x" * (8 * PIECE))

    async def scene() -> None:
        gone = asyncio.Event()
        pieces = 0

        async def receive() -> Json:
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Json) -> None:
            nonlocal pieces
            pieces += message["type"] == "http.response.body"
            if pieces >= taken:
                gone.set()
                await asyncio.Event().wait()

        nothing: Json = None
        answer = await response(Content(Bytes("large", path=path)), nothing, "", head=False)
        assert path in opened()
        await answer({"type": "http", "method": "GET"}, receive, send)
        assert path not in opened()

    asyncio.run(scene())
