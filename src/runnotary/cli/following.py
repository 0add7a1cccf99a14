"""A run followed to its end, whoever's engine works on it, and what Ctrl-C does meanwhile.

first signal       no new step starts; after a second this process leaves, the run stays open, exit 130
second within it   the run is cancelled and followed to that end, exit 8
another after it   this process leaves, exit 130
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final, Protocol, TypeVar

from runnotary.app.records import reading
from runnotary.app.session import Session, session
from runnotary.cli.interrupts import Interrupted, Interrupts
from runnotary.cli.picture import Picture
from runnotary.cli.words import short
from runnotary.config import Settings
from runnotary.core.chain import Recorded
from runnotary.core.errors import AlreadyEnded

SECOND_CHANCE: Final = 1.0
LEFT: Final = 130
GRACE_MS: Final = 10_000

T = TypeVar("T")
Enter = Callable[[Session], Awaitable[str]]


class View(Protocol):
    """What is shown while a run goes on; drawn every `tick` seconds, or at changes only if that is 0."""

    tick: float

    def begin(self, picture: Picture) -> None:
        """The run is accepted."""

    def changed(self, picture: Picture, fresh: list[Recorded]) -> None:
        """Events were recorded, or a tick has passed."""

    def notice(self, text: str) -> None:
        """Something about this process, not about the run."""

    def end(self, picture: Picture) -> None:
        """The run is over, or this process leaves it."""


class Followed:
    """How it ended: the run's id, and whether this process left before the run was over."""

    def __init__(self, run: str, *, left: bool) -> None:
        self.run: Final = run
        self.left: Final = left


def follow(settings: Settings, enter: Enter, view: View) -> Followed:
    """Open a session, let `enter` start or take up a run, and show it to its end.

    Raises:
        RunnotaryError: what `enter` was refused with.
        KeyboardInterrupt: a signal came before the run was accepted.
    """
    return unless_interrupted(_follow(settings, enter, view))


def accepted(settings: Settings, enter: Enter) -> str:
    """Open a session, let `enter` start a run, and leave it to the engine there; return the run's id.

    Raises:
        RunnotaryError: what `enter` was refused with.
    """
    return unless_interrupted(_accepted(settings, enter))


def unless_interrupted(work: Coroutine[Any, Any, T]) -> T:
    """Run work that may be given up at a signal."""
    _log_in_one_line()
    try:
        return asyncio.run(work)
    except Interrupted:
        print("interrupted before the run was accepted", file=sys.stderr)
        sys.stdout.flush()
        # Reading a large input happens in a thread that nothing can stop; it has recorded nothing.
        os._exit(LEFT)


async def _accepted(settings: Settings, enter: Enter) -> str:
    with Interrupts() as interrupts:
        async with session(settings) as engine:
            return await interrupts.unless(enter(engine))


async def _follow(settings: Settings, enter: Enter, view: View) -> Followed:
    with Interrupts() as interrupts:
        async with session(settings) as engine:
            run = await interrupts.unless(enter(engine))
            watch = Watch(settings, engine, run, view, interrupts)
            over = await watch.to_the_end(watch.or_second_chance)
        if over or interrupts.count < 2:
            return Followed(run, left=not over)
        interrupts.clear()
        view.notice("cancelling; once more leaves it to the engine")
        async with session(settings) as engine:
            try:
                await engine.cancel(run, reason="Ctrl-C", grace_ms=GRACE_MS, force=False)
            except AlreadyEnded:
                return Followed(run, left=False)
            watch = Watch(settings, engine, run, view, interrupts)
            return Followed(run, left=not await watch.to_the_end(watch.or_not))


class Watch:
    """One run under observation in one session."""

    def __init__(
        self, settings: Settings, engine: Session, run: str, view: View, interrupts: Interrupts
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._run = run
        self._view = view
        self._interrupts = interrupts
        self._changed = asyncio.Event()
        self._changed.set()
        self._watching = asyncio.create_task(self._pass_on())

    async def to_the_end(self, or_else: Callable[[], Awaitable[bool]]) -> bool:
        """Show the run until it is over (true); at a signal `or_else` says whether it is."""
        with reading(self._settings) as reader:
            picture = Picture(reader, self._run)
            self._view.begin(picture)
            try:
                while not self._watching.done():
                    await self._something()
                    # A tick draws what is known: only a change is worth asking for, of a server above all.
                    fresh = picture.read_on() if self._changed.is_set() else []
                    self._changed.clear()
                    self._view.changed(picture, fresh)
                    if self._interrupts.fresh and not await or_else():
                        return False
                await self._watching
                self._view.changed(picture, picture.read_on())
                return True
            finally:
                self._watching.cancel()
                self._view.end(picture)

    async def or_second_chance(self) -> bool:
        """Start nothing new, say how to go on, and wait for the end or a second signal, but not long."""
        self._engine.drain()
        if self._interrupts.count > 1:
            return False
        if self._engine.own:
            where = "under the keeper"
        else:
            where = "on the server" if self._settings.url else "in the engine of another process"
        again = f"runnotary run watch {short(self._run)} · cancel: runnotary run cancel {short(self._run)}"
        self._view.notice(f"run goes on {where}; continue: {again}")
        self._interrupts.clear()
        await first_of({self._watching}, [self._interrupts.arrived()], SECOND_CHANCE)
        return self._watching.done()

    async def or_not(self) -> bool:
        """Leave at once."""
        return False

    async def _pass_on(self) -> None:
        async for _ in self._engine.changes(self._run):
            self._changed.set()
        self._changed.set()

    async def _something(self) -> None:
        await first_of(
            {self._watching}, [self._changed.wait(), self._interrupts.arrived()], self._view.tick or None
        )


async def first_of(
    tasks: set[asyncio.Task[None]], others: list[Coroutine[Any, Any, Any]], timeout: float | None
) -> None:
    """Return when one of these is done, or the time is over; the others are given up."""
    waiting = [asyncio.ensure_future(other) for other in others]
    await asyncio.wait({*tasks, *waiting}, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    for waiter in waiting:
        waiter.cancel()


def _log_in_one_line() -> None:
    """Let the engine's warnings appear on stderr as sentences; their traces only if asked for."""
    handler = logging.StreamHandler()
    if not os.environ.get("RUNNOTARY_DEBUG"):
        handler.setFormatter(_OneLine("warning: %(message)s"))
    logging.getLogger().addHandler(handler)


class _OneLine(logging.Formatter):
    def formatException(self, ei: object) -> str:
        error = ei[1] if isinstance(ei, tuple) else None
        return f"  {type(error).__name__}: {error}"
