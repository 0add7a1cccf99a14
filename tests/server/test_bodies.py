"""A body of bytes on its way in: small in memory, long in a file of the home, and nothing left of either."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from starlette.requests import Request

from runnotary.server.bodies import IN_MEMORY, BodyTooLarge, ClientGone, upload
from tests.server.up import Up

LIMIT = 4 * IN_MEMORY
PIECE = b"x" * (IN_MEMORY // 4)


def arriving(*pieces: bytes, breaks_off: bool = False) -> Request:
    """A request whose body comes in these pieces, or breaks off behind them."""
    messages: list[dict[str, Any]] = [
        {"type": "http.request", "body": piece, "more_body": True} for piece in pieces
    ]
    last = {"type": "http.disconnect"} if breaks_off else {"type": "http.request", "body": b""}
    waiting = iter([*messages, last])

    async def receive() -> Any:
        return next(waiting)

    return Request({"type": "http", "method": "POST", "headers": []}, receive)


def taken(request: Request, folder: Path) -> tuple[Sequence[Path], bytes]:
    """Take a body in; return the files that it waited in, and its bytes."""

    async def scene() -> tuple[Sequence[Path], bytes]:
        async with upload(request, LIMIT, folder) as body:
            waiting = list(folder.iterdir())
            assert waiting == ([body] if isinstance(body, Path) else [])
            return waiting, body.read_bytes() if isinstance(body, Path) else body

    return asyncio.run(scene())


@pytest.mark.parametrize("count", [0, 1, 4])
def test_a_small_body_stays_in_memory(tmp_path: Path, count: int) -> None:
    assert taken(arriving(*[PIECE] * count), tmp_path) == ([], PIECE * count)


def test_a_long_body_waits_in_a_file_of_the_home(tmp_path: Path) -> None:
    pieces = [bytes([number]) * len(PIECE) for number in range(5)]
    files, data = taken(arriving(*pieces), tmp_path)
    assert len(files) == 1
    assert data == b"".join(pieces)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("count", [3, 10])
def test_nothing_is_left_of_a_body_that_breaks_off(tmp_path: Path, count: int) -> None:
    with pytest.raises(ClientGone):
        taken(arriving(*[PIECE] * count, breaks_off=True), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_of_a_body_over_the_limit(tmp_path: Path) -> None:
    with pytest.raises(BodyTooLarge):
        taken(arriving(*[PIECE] * 17), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_server_keeps_what_came_and_no_more(up: Up) -> None:
    data = bytes(range(256)) * 20_000
    kept = up.ask("POST", "/blobs", content=data)
    assert (kept.status, kept.json["size"]) == (201, len(data))
    assert up.get(f"/blobs/{kept.json['digest']}").body == data
    arriving = [path for path in up.home.rglob("new") if path.is_dir()]
    assert arriving and not any(list(path.iterdir()) for path in arriving)
