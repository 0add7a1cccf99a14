"""How a feed ends: by itself, with its client, with the server, or when rights change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from runnotary.engine.following import Frame
from runnotary.server.feeds import HEARTBEAT, FeedResponse, written

Json = Any
PATIENCE_S = 30.0


class Wire:
    """The other end of a connection: what was sent to it."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Json]] = []
        self.gone = asyncio.Event()

    async def receive(self) -> dict[str, Json]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        self.sent.append(dict(message))

    @property
    def body(self) -> bytes:
        return b"".join(message.get("body", b"") for message in self.sent)

    @property
    def ended(self) -> bool:
        """Whether the answer was brought to its end."""
        return self.sent[-1]["type"] == "http.response.body" and not self.sent[-1]["more_body"]


class Frames:
    """Frames that are given by hand; `closed` once nobody wants more."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[list[Frame] | None] = asyncio.Queue()
        self.closed = False

    async def all(self) -> AsyncGenerator[list[Frame], None]:
        try:
            while (frames := await self.queue.get()) is not None:
                yield frames
        finally:
            self.closed = True


async def served(wire: Wire, frames: Frames, closing: asyncio.Event, **words: Any) -> asyncio.Task[None]:
    async def known() -> bool:
        return True

    words.setdefault("still", known)
    response = FeedResponse(frames.all(), {}, closing=closing, **words)
    return asyncio.create_task(response({"type": "http"}, wire.receive, wire.send))


def frame(number: int) -> Frame:
    return Frame(str(number), "run.created", b'{"seq":%d}' % number)


async def over(task: asyncio.Task[None]) -> None:
    await asyncio.wait_for(task, PATIENCE_S)


def test_frames_then_the_end() -> None:
    async def scene() -> None:
        wire, frames = Wire(), Frames()
        task = await served(wire, frames, asyncio.Event())
        frames.queue.put_nowait([frame(1), frame(2)])
        frames.queue.put_nowait([])
        frames.queue.put_nowait(None)
        await over(task)
        assert wire.body == b"retry: 1000\n\n" + written(frame(1)) + written(frame(2))
        assert wire.ended
        assert frames.closed

    asyncio.run(scene())


@pytest.mark.parametrize("how", ["client", "server", "rights"])
def test_others_may_end_it(how: str) -> None:
    async def scene() -> None:
        wire, frames, closing = Wire(), Frames(), asyncio.Event()
        rights = True

        async def still() -> bool:
            return rights

        task = await served(wire, frames, closing, still=still, heartbeat_s=0.01)
        frames.queue.put_nowait([frame(1)])
        while written(frame(1)) not in wire.body or HEARTBEAT not in wire.body[20:]:
            await asyncio.sleep(0.005)
        assert not task.done()
        if how == "client":
            wire.gone.set()
        elif how == "server":
            closing.set()
        else:
            rights = False
        await over(task)
        assert frames.closed

    asyncio.run(scene())


def test_large_frames_go_a_piece_at_a_time() -> None:
    async def scene() -> None:
        wire, frames = Wire(), Frames()
        task = await served(wire, frames, asyncio.Event())
        big = [Frame(str(n), "task.ended", b'"' + b"x" * 20_000 + b'"') for n in range(1, 41)]
        frames.queue.put_nowait(big)
        frames.queue.put_nowait(None)
        await over(task)
        assert wire.body.endswith(b"".join(map(written, big)))
        assert max(len(message.get("body", b"")) for message in wire.sent) < 64 * 1024

    asyncio.run(scene())


def test_a_defect_in_the_frames_is_not_swallowed() -> None:
    async def scene() -> None:
        async def broken() -> AsyncGenerator[list[Frame], None]:
            yield [frame(1)]
            raise ValueError("broken")

        async def known() -> bool:
            return True

        wire = Wire()
        response = FeedResponse(broken(), {}, closing=asyncio.Event(), still=known)
        with pytest.raises(ValueError, match="broken"):
            await asyncio.wait_for(response({"type": "http"}, wire.receive, wire.send), PATIENCE_S)

    asyncio.run(scene())
