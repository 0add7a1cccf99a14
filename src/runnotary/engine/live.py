"""A run in memory: its folded state, what waits for its next turn, and who waits for its end."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from runnotary.core import events as ev
from runnotary.core.chain import run_stream
from runnotary.core.decide import Stimulus
from runnotary.core.errors import Conflict, RunnotaryError
from runnotary.core.run import Run
from runnotary.ports import Append


class Gone(Conflict):
    """The engine let go of a run before a command to it was written; it may be given again."""


class Command(msgspec.Struct, frozen=True):
    """A stimulus somebody waits for, with the opaque id of who gave it."""

    stimulus: Stimulus
    actor: bytes
    answer: asyncio.Future[None]


class Live:
    """A run in memory, and what waits for its next turn."""

    def __init__(self, run: Run) -> None:
        self.run: Final = run
        self.stream: Final = run_stream(run.id)
        self.inbox: deque[Stimulus | Command] = deque()
        self.driving = False
        self.again = False
        self.seen = 0
        """How long the stream is, as somebody else told."""
        self.renew: set[str] = set()
        self.watchers: list[Callable[[], None]] = []
        self.done: list[asyncio.Future[None]] = []

    @property
    def answers(self) -> list[asyncio.Future[None]]:
        """Who waits for what is in the inbox."""
        return [entry.answer for entry in self.inbox if isinstance(entry, Command)]


def by_actor(stream: bytes, events: list[tuple[bytes, ev.Event]], expected: int, now: int) -> list[Append]:
    """Split the events of a turn where the actor changes; they still share one commit."""
    batch: list[Append] = []
    start = 0
    for end in range(1, len(events) + 1):
        if end == len(events) or events[end][0] != events[start][0]:
            chunk = tuple(event for _, event in events[start:end])
            batch.append(Append(stream, expected + start, chunk, now, events[start][0]))
            start = end
    return batch


def answer(waiting: Iterable[asyncio.Future[None]], error: RunnotaryError | None) -> None:
    """Tell everybody who still waits that it went well, or what went wrong."""
    for future in waiting:
        if not future.done():
            if error is None:
                future.set_result(None)
            else:
                future.set_exception(error)
