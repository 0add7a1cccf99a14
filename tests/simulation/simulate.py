"""Drive one run through the real engine on a fake world, with crashes by seed.

The clock moves only when the engine is idle, straight to the next thing that can happen, so an hour of
back-off costs nothing and the same seed gives the same history.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from runnotary.core import events as ev
from runnotary.core.approvals import Answer
from runnotary.core.attempts import Attempt
from runnotary.core.chain import run_stream
from runnotary.core.decide import Cancel
from runnotary.core.documents import rows
from runnotary.core.errors import AlreadyDecided, AlreadyEnded
from runnotary.core.flow import Flow
from runnotary.core.fold import replay
from runnotary.core.ids import uuid7
from runnotary.core.run import Run
from runnotary.core.states import TERMINAL, State
from runnotary.engine.loop import Engine
from runnotary.engine.parts import Parts
from tests.simulation.world import (
    Crashed,
    FakeExecutor,
    MemoryBlobs,
    MemoryStore,
    Saboteur,
    Script,
    SeededChance,
    VirtualClock,
    logged,
)

BY = ev.By("user:test")
FINAL = (AlreadyDecided, AlreadyEnded)
"""Refusals after which nobody asks again."""
LIVES_MAX = 2_000


class Simulation:
    """One flow in one world; `lives` counts engines."""

    def __init__(
        self,
        flow: Flow,
        *,
        seed: int = 0,
        crash_rate: float = 0.0,
        script_of: Callable[[Attempt], Script] = lambda attempt: Script(),
        slots: int = 4,
        cancel_after_s: float | None = None,
        answers: Sequence[tuple[float, Answer]] = (),
        inputs: dict[str, Any] | None = None,
        on_failure: Any = None,
    ) -> None:
        self.flow = flow
        self.seed = seed
        self.crash_rate = crash_rate
        self.slots = slots
        self.clock = VirtualClock()
        self.store = MemoryStore()
        self.blobs = MemoryBlobs()
        self.executor = FakeExecutor(self.clock, script_of)
        self.executor.receipts = logged(self.store, ev.TaskEnded)
        self.executor.stopping = logged(self.store, ev.TaskStopping)
        self.executor.intents = logged(self.store, ev.TaskStarted)
        self.run_id = uuid7(self.clock.now(), bytes(8))
        self.cancel_at = None
        if cancel_after_s is not None:
            self.cancel_at = self.clock.now() + int(cancel_after_s * 1_000_000)
        self.answers = [(self.clock.now() + int(after * 1_000_000), answer) for after, answer in answers]
        self.lives = 0
        self.created = ev.RunCreated(
            definition=flow.hash,
            engine="test",
            durability="full",
            by=BY,
            inputs=inputs or {},
            on_failure=on_failure,
        )

    def play(self) -> Run:
        """Run to the end, through as many engine lives as it takes; check what must hold; return the run."""
        while self.lives < LIVES_MAX:
            self.lives += 1
            asyncio.run(self._life())
            row = self.store.run(self.run_id)
            if row is not None and State(row.status) in TERMINAL:
                return self._checked()
        raise AssertionError("the run never ends")

    async def _life(self) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)
        saboteur = Saboteur(self.seed * 7919 + self.lives, self.crash_rate)
        self.store.saboteur = self.executor.saboteur = saboteur
        self.clock.forget()
        chance = SeededChance(self.seed + self.lives)
        parts = Parts(self.store, self.blobs, self.clock, chance, lambda definition: self.flow)
        engine = Engine(parts, self.executor, slots=self.slots)
        engine.open()
        try:
            if self.store.run(self.run_id) is None:
                await engine.create(self.run_id, self.created, bytes(16))
            else:
                await engine.adopt(self.run_id)
            self.executor.tell()
            await self._until_quiet(engine, saboteur)
            while engine.holds(self.run_id) and not saboteur.dead:
                await self._step(engine, saboteur)
        except Crashed:
            return

    async def _step(self, engine: Engine, saboteur: Saboteur) -> None:
        times = [self.clock.next(), self.executor.next_end(), self.cancel_at, *self._coming_answers()]
        coming = [time for time in times if time is not None]
        assert coming, f"stuck: nothing can happen any more; open {self._open()}"
        self.clock.time = max(self.clock.time, min(coming))
        if self.cancel_at is not None and self.clock.time >= self.cancel_at:
            self.cancel_at = None
            asking = asyncio.ensure_future(engine.command(self.run_id, Cancel(BY), b"\x01" * 16))
            asking.add_done_callback(lambda done: done.cancelled() or done.exception())
        self._answer(engine)
        await asyncio.sleep(0)
        self.executor.tell()
        self.clock.ring()
        await self._until_quiet(engine, saboteur)
        for _ in range(3):  # whoever asked is told
            await asyncio.sleep(0)

    def _coming_answers(self) -> list[int]:
        return [at for at, _ in self.answers]

    def _answer(self, engine: Engine) -> None:
        """Let people answer whose time has come; whoever got no word that it was kept asks again."""
        due = [entry for entry in self.answers if entry[0] <= self.clock.time]
        for at, answer in due:
            self.answers.remove((at, answer))
            given = asyncio.ensure_future(engine.command(self.run_id, answer, b"\x02" * 16))
            given.add_done_callback(partial(self._answered, answer))

    def _answered(self, answer: Answer, done: asyncio.Future[None]) -> None:
        wrong = None if done.cancelled() else done.exception()
        if done.cancelled() or (wrong is not None and not isinstance(wrong, FINAL)):
            self.answers.append((self.clock.time + 1_000_000, answer))

    async def _until_quiet(self, engine: Engine, saboteur: Saboteur) -> None:
        for _ in range(100_000):
            if saboteur.dead or not engine.busy:
                return
            await asyncio.sleep(0)
        raise AssertionError("the engine never comes to rest")

    def _open(self) -> list[str]:
        return sorted(self.replayed().open)

    def replayed(self) -> Run:
        """Fold the log from nothing."""
        return replay(self.run_id, self.store.read(run_stream(self.run_id)), lambda _: self.flow)

    def events(self) -> list[ev.Event]:
        """Return the events of the run."""
        return [record.event for record in self.store.read(run_stream(self.run_id))]

    def _checked(self) -> Run:
        run = self.replayed()
        stored = {self.store.run_rows[self.run_id], *self.store.tasks(self.run_id)}
        assert set(rows(run)) == stored, "replay(log) differs from the live state"
        assert isinstance(self.events()[-1], ev.RunFinished)
        assert not run.open
        assert sum(run.counts.values()) == len(run.tasks)
        check_order(self.events(), self.flow)
        assert len(self.executor.spawned) == len(set(self.executor.spawned)), "I1: an attempt ran twice"
        return run


def check_order(events: list[ev.Event], flow: Flow) -> None:
    """Check I2 (one open attempt per task) and I6 (a step starts only after what it waits for)."""
    open_now: dict[str, int] = {}
    over: set[str] = set()
    for event in events:
        if isinstance(event, ev.TaskStarted):
            assert event.key not in open_now, f"I2: {event.key}"
            open_now[event.key] = event.attempt
            step = flow.steps[event.key.partition("[")[0]]
            assert all(name in over for name in step.before), f"I6: {event.key} started early"
        elif isinstance(event, ev.TaskEnded):
            assert open_now.pop(event.key) == event.attempt
            if event.verdict != "retry":
                over.add(event.key)
        elif isinstance(event, ev.TaskSettled):
            over.update(event.keys)
