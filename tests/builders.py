"""Builders for domain values, so that a test says only what it is about."""

from __future__ import annotations

from typing import Any

from runnotary.core import definition
from runnotary.core import events as ev
from runnotary.core.attempts import Outcome
from runnotary.core.decide import Observed, Stimulus, decide
from runnotary.core.flow import Flow
from runnotary.core.fold import fold
from runnotary.core.plan import Room, Turn, advance
from runnotary.core.run import Run

BY = ev.By("user:test")
START = 1_700_000_000_000_000
SECOND = 1_000_000


def a_flow(steps: dict[str, Any], **top: Any) -> Flow:
    """Return a compiled flow; a step given as a list is a `run` step with these needs."""
    written = {
        name: {"run": "true", "needs": step} if isinstance(step, list) else step
        for name, step in steps.items()
    }
    return definition.compile(definition.define({"steps": written, **top}).document)


class Play:
    """A run played by hand: every call is one turn, time moves only by `later`."""

    def __init__(self, flow: Flow, *, slots: int = 100, **created: Any) -> None:
        self.run = Run(bytes(16), flow)
        self.now = START
        self.slots = slots
        self.log: list[tuple[ev.Event, int]] = []
        self.turns: list[Turn] = []
        self._take(ev.RunCreated(definition=flow.hash, engine="test", durability="full", by=BY, **created))
        self.go()

    def go(self) -> Turn:
        """Plan until nothing follows."""
        turn = advance(self.run, room=Room(self.slots - len(self.run.open)), now=self.now)
        self.log += [(event, self.now) for event in turn.events]
        self.turns.append(turn)
        return turn

    def tell(self, stimulus: Stimulus) -> None:
        """Give a stimulus and plan."""
        self.decide(stimulus)
        self.go()

    def decide(self, stimulus: Stimulus) -> None:
        """Give a stimulus; the turn goes on."""
        for event in decide(self.run, stimulus, now=self.now, chance=0):
            self._take(event)

    def end(self, key: str, exit_code: int = 0, **outcome: Any) -> None:
        """End the open attempt of a task."""
        number = self.run.open[key]
        self.tell(Observed(key, number, Outcome(attempt="a", exit_code=exit_code, **outcome)))

    def later(self, seconds: float) -> None:
        """Let time pass, and plan."""
        self.now += int(seconds * SECOND)
        self.go()

    def states(self) -> dict[str, str]:
        """Return the state of every task by key."""
        return {key: task.state.value for key, task in self.run.tasks.items()}

    def events(self, kind: type[ev.Event]) -> list[Any]:
        """Return the events of one type, in order."""
        return [event for event, _ in self.log if isinstance(event, kind)]

    def _take(self, event: ev.Event) -> None:
        fold(self.run, event, self.now)
        self.log.append((event, self.now))
