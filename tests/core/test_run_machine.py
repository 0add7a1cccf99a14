"""Any flow, any order of ends, cancels and hours: the properties that must hold throughout.

After every rule: replay(log) is the live state, planning again gives nothing, counts sum, nothing that has
ended moves, a task has at most one open attempt, and nothing starts before what it waits for is over.
"""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from runnotary.core.chain import Recorded
from runnotary.core.decide import Cancel, Reported
from runnotary.core.documents import rows
from runnotary.core.errors import AlreadyEnded
from runnotary.core.fold import replay, wake
from runnotary.core.plan import Room, plan
from runnotary.core.states import TERMINAL
from tests.builders import BY, Play, a_flow
from tests.simulation.simulate import check_order

CONDITIONS = [None, "true", "false", "always()", "failure()", "!cancelled()"]


@st.composite
def flows(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a flow of up to eight steps of every kind, with edges to earlier steps only."""
    steps: dict[str, Any] = {}
    for index in range(draw(st.integers(1, 8))):
        earlier = [f"s{i}" for i in range(index)]
        step: dict[str, Any] = draw(
            st.sampled_from(
                [
                    {"run": "x"},
                    {"run": "x", "retry": {"attempts": 2, "backoff": "1s"}},
                    {"run": "x", "timeout": "3s"},
                    {"run": "x", "catch": True},
                    {"set": {"n": "1 + 1"}},
                    {"set": {"n": "1 / 0"}},
                    {"wait": "2s"},
                    {"run": "x", "for_each": "[1, 2, 3]", "max_concurrency": 2},
                ]
            )
        ).copy()
        if earlier:
            step["needs"] = draw(st.lists(st.sampled_from(earlier), unique=True, max_size=3))
            step["after"] = [
                name
                for name in draw(st.lists(st.sampled_from(earlier), unique=True, max_size=1))
                if name not in step["needs"]
            ]
        condition = draw(st.sampled_from(CONDITIONS))
        if condition and ("(" not in condition or step.get("needs")):
            step["if"] = condition
        steps[f"s{index}"] = step
    top: dict[str, Any] = {"on_failure": draw(st.sampled_from(["continue", "stop"]))}
    if draw(st.booleans()):
        top["finally"] = {"last": {"run": "x"}, "very_last": {"run": "x", "needs": ["last"]}}
    return {"steps": steps, **top}


class RunMachine(RuleBasedStateMachine):
    """Plays one run; `ended` remembers what must never change again."""

    play: Play

    @initialize(flow=flows(), slots=st.integers(1, 4))
    def begin(self, flow: dict[str, Any], slots: int) -> None:
        steps = flow.pop("steps")
        self.play = Play(a_flow(steps, **flow), slots=slots)
        self.ended: dict[str, str] = {}

    @precondition(lambda self: self.play.run.open)
    @rule(data=st.data(), code=st.sampled_from([0, 0, 0, 1]), stopped=st.booleans())
    def an_attempt_ends(self, data: st.DataObject, code: int, stopped: bool) -> None:
        key = data.draw(st.sampled_from(sorted(self.play.run.open)))
        if stopped and self.play.run.tasks[key].stopping:
            self.play.end(key, exit_code=None, signal=15, stopped=True)  # type: ignore[arg-type]
        else:
            self.play.end(key, exit_code=code)

    @precondition(lambda self: self.play.run.open)
    @rule(data=st.data())
    def an_attempt_is_lost(self, data: st.DataObject) -> None:
        self.play.end(data.draw(st.sampled_from(sorted(self.play.run.open))), lost=True)

    @rule(seconds=st.sampled_from([0.5, 1, 3, 10]))
    def time_passes(self, seconds: float) -> None:
        self.play.later(seconds)

    @rule(data=st.data(), progress=st.integers(0, 100))
    def something_is_reported(self, data: st.DataObject, progress: int) -> None:
        key = data.draw(st.sampled_from(["s0", "s1", "last"]))
        self.play.tell(Reported(key, 1, progress))

    @rule(force=st.booleans())
    def somebody_cancels(self, force: bool) -> None:
        try:
            self.play.tell(Cancel(BY, force=force))
        except AlreadyEnded:
            assert self.play.run.finished is not None

    @invariant()
    def replay_is_the_live_state(self) -> None:
        run = self.play.run
        log = [Recorded(seq, at, bytes(16), event) for seq, (event, at) in enumerate(self.play.log, 1)]
        again = replay(run.id, log, lambda _: run.flow)
        wake(again, self.play.now)
        assert rows(again) == rows(run)
        assert (again.free, again.queued, again.open) == (run.free, run.queued, run.open)

    @invariant()
    def planning_again_gives_nothing(self) -> None:
        run = self.play.run
        turn = plan(run, room=Room(self.play.slots - len(run.open)), now=self.play.now)
        assert not turn.events

    @invariant()
    def counts_sum_and_an_end_is_final(self) -> None:
        run = self.play.run
        assert sum(run.counts.values()) == len(run.tasks)
        for key, state in self.ended.items():
            assert run.tasks[key].state.value == state
        self.ended = {key: task.state.value for key, task in run.tasks.items() if task.ended}
        if run.finished is not None:
            assert run.state in TERMINAL
            assert not run.open

    @invariant()
    def order_holds(self) -> None:
        check_order([event for event, _ in self.play.log], self.play.run.flow)

    @invariant()
    def an_open_run_always_has_something_to_wait_for(self) -> None:
        run = self.play.run
        assert run.finished is not None or run.open or run.dues or run.queued or run.free

    def teardown(self) -> None:
        """Let everything end: every run that stops being disturbed reaches an end."""
        if not hasattr(self, "play"):
            return
        for _ in range(500):
            if self.play.run.finished is not None:
                return
            for key in sorted(self.play.run.open):
                self.play.end(key)
            self.play.later(3600)
        raise AssertionError(f"never ends: {self.play.states()}")


RunMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=25, deadline=None)
TestRunMachine = RunMachine.TestCase
