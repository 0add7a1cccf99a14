"""The real engine in a fake world that kills it: whatever the seed, one history and one true end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from runnotary.core import events as ev
from runnotary.core.attempts import Attempt
from runnotary.core.chain import ledger_stream, run_stream
from runnotary.ports import Append, Appended, Beside, Refusal
from tests.builders import a_flow
from tests.simulation.simulate import Simulation
from tests.simulation.world import MemoryStore, Script, logged

FLOW = a_flow(
    {
        "a": [],
        "b": {"run": "x", "needs": ["a"], "retry": {"attempts": 3, "backoff": "1s"}},
        "c": ["a"],
        "w": {"wait": "5s", "needs": ["c"]},
        "d": {"run": "x", "needs": ["b", "c"], "values": {"k": "integer"}},
        "g": {"run": "x", "for_each": "[1, 2, 3]", "needs": ["d"], "max_concurrency": 2},
        "slow": {"run": "x", "timeout": "2s", "catch": {"on": ["timeout"]}},
        "big": {"set": {"list": "inputs.list"}},
        "use": {"run": "x", "with": {"list": "${{ steps.big.values.list }}"}},
    },
    inputs={"list": "array"},
    outputs={"k": "${{ steps.d.values.k }}"},
    **{"finally": {"z": {"run": "x"}}},
)
INPUTS: dict[str, Any] = {"list": list(range(9000))}


def script_of(attempt: Attempt) -> Script:
    """Return how each attempt behaves: a function of its name, so every life sees the same world."""
    if attempt.key == "b" and attempt.number < 3:
        return Script(seconds=0.4, exit_code=1)
    if attempt.key == "slow":
        return Script(seconds=60, ignores_term=True)
    return Script(seconds=0.1 + len(attempt.key) * 0.3, values={"k": 1})


@pytest.mark.parametrize("block", range(10))
def test_crashes_by_seed_never_repeat_finished_work_nor_lose_the_run(block: int) -> None:
    for seed in range(block * 25, block * 25 + 25):
        simulation = Simulation(
            FLOW, seed=seed, crash_rate=0.02 * (seed % 5), script_of=script_of, inputs=INPUTS
        )
        run = simulation.play()
        assert run.state == "success", f"seed {seed}"
        assert run.finished is not None
        assert run.finished.outputs == {"k": 1}
        ended = [event for event in simulation.events() if isinstance(event, ev.TaskEnded)]
        assert len(ended) == len({(event.key, event.attempt) for event in ended}), f"seed {seed}"
        assert len(simulation.executor.spawned) == len(ended), f"seed {seed}"


@pytest.mark.parametrize("block", range(5))
def test_a_cancel_between_crashes_ends_the_run_once(block: int) -> None:
    for seed in range(block * 20, block * 20 + 20):
        simulation = Simulation(
            FLOW,
            seed=seed,
            crash_rate=0.02 * (seed % 4),
            script_of=script_of,
            inputs=INPUTS,
            cancel_after_s=0.3 * (seed % 15),
        )
        run = simulation.play()
        # A crash may swallow the request before it was durable; then the run ends as if nobody had asked.
        asked = any(isinstance(event, ev.RunCancelRequested) for event in simulation.events())
        assert run.state == ("cancelled" if asked else "success"), f"seed {seed}"


def test_the_same_seed_gives_the_same_history() -> None:
    first, second = (
        Simulation(FLOW, seed=5, crash_rate=0.05, script_of=script_of, inputs=INPUTS) for _ in range(2)
    )
    first.play()
    second.play()
    assert first.events() == second.events()
    assert first.lives == second.lives > 1


def test_a_lost_attempt_ends_as_lost_in_every_life() -> None:
    flow = a_flow({"a": [], "b": ["a"]})
    for seed in range(20):
        simulation = Simulation(flow, seed=seed, crash_rate=0.1, script_of=lambda _: Script(lost=True))
        run = simulation.play()
        assert run.finished is not None
        assert (run.finished.status, run.finished.reason) == ("failed", "lost")


def test_slots_are_never_exceeded_and_all_work_is_done() -> None:
    flow = a_flow({f"s{i}": [] for i in range(50)})
    simulation = Simulation(flow, slots=3)
    run = simulation.play()
    assert run.state == "success"
    open_now, most = 0, 0
    for event in simulation.events():
        open_now += isinstance(event, ev.TaskStarted) - isinstance(event, ev.TaskEnded)
        most = max(most, open_now)
    assert most == 3


def test_a_chain_costs_one_commit_per_step() -> None:
    flow = a_flow({f"s{i}": [f"s{i - 1}"] if i else [] for i in range(40)})
    simulation = Simulation(flow)
    simulation.play()
    assert simulation.store.commits == 41


class Meddled(MemoryStore):
    """Another writer gets in once, after the first commit."""

    def __init__(self) -> None:
        super().__init__()
        self.meddled = False

    async def append(self, batch: Sequence[Append], beside: Beside | None = None) -> list[Appended | Refusal]:
        if self.commits and not self.meddled:
            self.meddled = True
            stream = batch[0].stream
            seq, _ = self.head(stream)
            by_another = Append(stream, seq, (ev.RunAnnotated("meddling"),), batch[0].at, bytes(16))
            await super().append([by_another])
        return await super().append(batch, beside)


def test_a_lost_race_is_folded_again_and_nothing_is_lost() -> None:
    simulation = Simulation(a_flow({"a": [], "b": ["a"]}))
    simulation.store = Meddled()
    simulation.executor.receipts = logged(simulation.store, ev.TaskEnded)
    simulation.executor.stopping = logged(simulation.store, ev.TaskStopping)
    simulation.executor.intents = logged(simulation.store, ev.TaskStarted)
    run = simulation.play()
    assert run.state == "success"
    assert simulation.store.meddled
    assert any(isinstance(event, ev.RunAnnotated) for event in simulation.events())
    assert not simulation.executor.prepared, "what was prepared for the refused commit was not given up"


def test_a_step_of_the_clock_is_noted_and_times_never_go_back_in_a_stream() -> None:
    simulation = Simulation(a_flow({"a": [], "b": ["a"], "c": ["b"]}))

    def script(attempt: Attempt) -> Script:
        if attempt.key == "b":
            simulation.clock.time -= 3_600_000_000
            simulation.clock.step = -3_600_000_000
        return Script()

    simulation.executor.script_of = script
    assert simulation.play().state == "success"
    times = [record.at for record in simulation.store.read(run_stream(simulation.run_id))]
    assert times == sorted(times)
    (noted,) = [record.event for record in simulation.store.read(ledger_stream("default"))]
    assert noted == ev.EngineNoted("clock_step", {"us": -3_600_000_000})
