"""What follows the record by position sees every event once, in order, whatever becomes of its neighbours."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from bench.flows import ONE_SET, chain
from runnotary.app.home import Embedded
from runnotary.config import Settings
from runnotary.core import definition
from runnotary.core import events as ev
from runnotary.core.chain import Recorded, ledger_stream, run_stream
from runnotary.engine.consumers import PIECE, Consumers
from runnotary.engine.submission import Submission
from runnotary.ports import Change

Json = Any
BY = ev.By("user:ana")


class Seen:
    """A consumer that keeps what it is given."""

    def __init__(self) -> None:
        self.events: list[tuple[bytes, int]] = []

    def __call__(self, stream: bytes, entry: Recorded) -> None:
        self.events.append((stream, entry.seq))

    def of(self, stream: bytes) -> list[int]:
        return [seq for one, seq in self.events if one == stream]


def scene(settings: Settings, play: Callable[[Embedded], Awaitable[None]]) -> None:
    async def whole() -> None:
        home = Embedded(settings)
        try:
            await play(home)
        finally:
            await home.close()

    asyncio.run(asyncio.wait_for(whole(), 60))


async def played(home: Embedded, document: Json, *, name: str = "") -> bytes:
    digest = home.blobs.put(definition.define(document).canonical)
    words = definition.Words(flow=name)
    run, _ = await home.service.submit(Submission(definition=digest, words=words), BY)
    await home.engine.ended(run)
    return run


def test_every_event_of_every_stream_is_seen_once_and_in_order(settings: Settings) -> None:
    async def play(home: Embedded) -> None:
        await home.store.checkpoint()  # the key is in the ledger from here on
        seen = Seen()
        consumers = Consumers(home.store, [seen])
        runs = await asyncio.gather(*[played(home, ONE_SET, name="report") for _ in range(3 * PIECE)])
        runs.append(await played(home, chain(5, {"run": ["true"]})))
        consumers.close()
        assert consumers.position == home.store.position()
        for run in runs:
            assert seen.of(run_stream(run)) == [one.seq for one in home.store.read(run_stream(run))]
        assert seen.of(ledger_stream("default")) == [3]  # the home and its key were there before

    scene(settings, play)


def test_what_was_there_before_and_what_comes_after_is_not_seen(settings: Settings) -> None:
    async def play(home: Embedded) -> None:
        await played(home, ONE_SET)
        await home.store.checkpoint()
        seen = Seen()
        consumers = Consumers(home.store, [seen])
        run = await played(home, ONE_SET)
        consumers.close()
        await played(home, ONE_SET)
        consumers.close()
        assert {stream for stream, _ in seen.events} == {run_stream(run)}

    scene(settings, play)


def test_it_keeps_up_without_being_asked(settings: Settings) -> None:
    async def play(home: Embedded) -> None:
        seen = Seen()
        consumers = Consumers(home.store, [seen])
        run = await played(home, ONE_SET)
        while consumers.position < home.store.position():
            await asyncio.sleep(0.001)
        assert seen.of(run_stream(run)) == [1, 2, 3]

    scene(settings, play)


def test_a_consumer_that_fails_is_logged_and_the_next_one_sees_the_event(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(stream: bytes, entry: Recorded) -> None:
        raise RuntimeError(f"not {entry.seq}")

    async def play(home: Embedded) -> None:
        seen = Seen()
        consumers = Consumers(home.store, [fails, seen])
        run = await played(home, ONE_SET)
        consumers.close()
        assert seen.of(run_stream(run)) == [1, 2, 3]

    with caplog.at_level(logging.ERROR, "runnotary.consumers"):
        scene(settings, play)
    assert len(caplog.records) == 3


def test_a_store_that_fails_once_ends_nothing(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    async def play(home: Embedded) -> None:
        seen, failures = Seen(), []
        consumers = Consumers(home.store, [seen])
        feed = home.store.feed

        def fails(after: int, limit: int = 1000) -> list[Change]:
            if not failures:
                failures.append(after)
                raise OSError("the disk does not answer")
            return feed(after, limit)

        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        monkeypatch.setattr(home.store, "feed", fails)
        first, last = await played(home, ONE_SET), await played(home, ONE_SET)
        while consumers.position < home.store.position():
            await asyncio.sleep(0.001)
        assert failures and [seen.of(run_stream(run)) for run in (first, last)] == [[1, 2, 3]] * 2

    scene(settings, play)


class FromTheStart:
    """A store whose log seems to end where it begins."""

    def __init__(self, store: Any) -> None:
        self._store = store

    def position(self) -> int:
        return 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


def test_a_run_that_was_purged_before_it_was_read_stops_nobody(settings: Settings) -> None:
    async def play(home: Embedded) -> None:
        await home.store.checkpoint()
        first, last = await played(home, ONE_SET), await played(home, ONE_SET)
        await home.service.purge(first, BY, "old")
        seen = Seen()
        Consumers(FromTheStart(home.store), [seen]).close()
        assert seen.of(run_stream(first)) == []
        assert seen.of(run_stream(last)) == [1, 2, 3]
        assert seen.of(ledger_stream("default")) == [1, 2, 3]

    scene(settings, play)
