"""Skips and what they carry along, found in one pass without folding and without recursion.

A step is skipped when a step it needs failed or was skipped, unless its own `if` asks about that
(`always()`, `failure()` ...). Many skips for one reason are one event with many keys.
"""

from __future__ import annotations

from typing import Any

from runnotary.core import events as ev
from runnotary.core.flow import Step
from runnotary.core.run import Run
from runnotary.core.states import Reason, State


def settled(keys: list[str], status: State, reason: str, **more: Any) -> list[ev.TaskSettled]:
    """Return the events that settle these keys alike, at most `KEYS_MAX` keys in each."""
    chunks = (tuple(keys[start : start + ev.KEYS_MAX]) for start in range(0, len(keys), ev.KEYS_MAX))
    return [ev.TaskSettled(keys=chunk, status=status, reason=reason, **more) for chunk in chunks]


class Skips:
    """The skips of one plan and what they carry along, found without folding and without recursion."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.reasons: dict[str, tuple[Reason, str]] = {}
        self._left: dict[str, int] = {}

    def inherited(self, step: Step) -> tuple[Reason, str] | None:
        """Return why a step must be skipped because of its needs, unless its `if` asks about them."""
        if step.condition is not None and step.condition.asks_status:
            return None
        found: tuple[Reason, str] | None = None
        for need in step.needs:
            state, reason, because = self._end_of(need)
            if state in (State.FAILED, State.CANCELLED) or reason == Reason.UPSTREAM_FAILED:
                return Reason.UPSTREAM_FAILED, because
            if state is State.SKIPPED:
                found = Reason.UPSTREAM_SKIPPED, because
        return found

    def _end_of(self, name: str) -> tuple[State, str, str]:
        if name in self.reasons:
            reason, because = self.reasons[name]
            return State.SKIPPED, reason, because or name
        task = self.run.tasks[name]
        because = task.error.step if task.state is State.SKIPPED and task.error else ""
        return task.state, task.reason, because or name

    def spread(self, key: str, reason: tuple[Reason, str]) -> None:
        """Skip a key and every follower that this leaves with nothing to wait for but skips."""
        flow, todo = self.run.flow, [(key, reason)]
        while todo:
            name, why = todo.pop()
            self.reasons[name] = why
            for follower in flow.followers.get(name, ()):
                left = self._left.get(follower, self.run.blockers[follower]) - 1
                self._left[follower] = left
                if left == 0 and follower not in self.run.tasks:
                    inherited = self.inherited(flow.steps[follower])
                    if inherited is not None:
                        todo.append((follower, inherited))

    def events(self) -> list[ev.TaskSettled]:
        """Return the skips as events, one for every reason."""
        by_reason: dict[tuple[Reason, str], list[str]] = {}
        for key, why in self.reasons.items():
            by_reason.setdefault(why, []).append(key)
        found: list[ev.TaskSettled] = []
        for (reason, because), keys in by_reason.items():
            failure = ev.Failure(reason, because, step=because) if because else None
            found += settled(keys, State.SKIPPED, reason, because=because, error=failure)
        return found
