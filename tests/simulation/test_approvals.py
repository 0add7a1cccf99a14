"""People answer while engines die at any call: none of it is lost, counts twice or is overtaken."""

from __future__ import annotations

from typing import Any

import pytest

from runnotary.core import events as ev
from runnotary.core.approvals import Answer
from tests.builders import a_flow
from tests.simulation.simulate import Simulation
from tests.simulation.world import Script

ANA, BOB, CYD = (ev.By(f"user:{name}") for name in ("ana", "bob", "cyd"))
FLOW = a_flow(
    {
        "a": [],
        "gate": {"approve": {"prompt": "?", "approvals": 2}, "needs": ["a"]},
        "b": {"run": "x", "needs": ["gate"]},
        "each": {"approve": "${{ each.value }}?", "for_each": "['x', 'y']"},
        "c": {"run": "x", "needs": ["each", "b"]},
        "soon": {"approve": {"prompt": "?", "timeout": "5s"}, "catch": {"on": ["timeout"]}},
        "d": {"run": "x", "if": "!steps.soon.values.approved"},
    },
    **{"finally": {"last": {"approve": "Tell them?"}, "z": {"run": "x", "after": ["last"]}}},
)
ANSWERS = [
    (0.1, Answer("gate", ANA, True)),
    (2.0, Answer("gate", BOB, True)),
    (2.0, Answer("gate", CYD, True)),
    (0.5, Answer("each[0]", ANA, True)),
    (3.0, Answer("each[1]", ANA, True)),
    (30.0, Answer("last", BOB, True)),
]


def settled(events: list[ev.Event], key: str) -> list[ev.TaskSettled]:
    return [event for event in events if isinstance(event, ev.TaskSettled) and key in event.keys]


def before(events: list[ev.Event], step: str) -> list[ev.Event]:
    """Return what stands before the start of a step."""
    kinds = [isinstance(event, ev.TaskStarted) and event.key == step for event in events]
    return events[: kinds.index(True)]


@pytest.mark.parametrize("block", range(8))
def test_answers_between_crashes(block: int) -> None:
    for seed in range(block * 20, block * 20 + 20):
        simulation = Simulation(FLOW, seed=seed, crash_rate=0.02 * (seed % 6), answers=ANSWERS)
        run = simulation.play()
        events = simulation.events()
        assert run.state == "success", f"seed {seed}"
        answers = [event for event in events if isinstance(event, ev.TaskSignalled)]
        said = [(event.key, event.by.principal) for event in answers]
        assert len(said) == len(set(said)), f"seed {seed}: an answer counted twice"
        assert sorted(key for key, _ in said) == ["each[0]", "each[1]", "gate", "gate", "last"], (
            f"seed {seed}"
        )
        asked = [event.key for event in events if isinstance(event, ev.TaskWaiting)]
        assert len(asked) == len(set(asked)) == 5, f"seed {seed}: somebody was asked twice"
        for step, needed in (("b", 2), ("c", 4)):
            earlier = [one for one in before(events, step) if isinstance(one, ev.TaskSignalled)]
            assert len(earlier) >= needed, f"seed {seed}: {step} overtook an answer"
        assert [one.reason for one in settled(events, "soon")] == ["caught"]


@pytest.mark.parametrize("block", range(4))
def test_a_refusal_or_a_late_answer_between_crashes_lets_nothing_start(block: int) -> None:
    flow = a_flow({"gate": {"approve": {"prompt": "?", "timeout": "10s"}}, "b": ["gate"], "other": []})
    for seed in range(block * 20, block * 20 + 20):
        after = [0.2, 9.0, 10.0, 11.0][seed % 4]
        wanted: list[tuple[float, Answer]] = [(after, Answer("gate", ANA, seed % 8 > 3))]
        simulation = Simulation(
            flow,
            seed=seed,
            crash_rate=0.03 * (seed % 4),
            answers=wanted,
            script_of=lambda _: Script(seconds=20),
        )
        run = simulation.play()
        events = simulation.events()
        kept: list[Any] = [event for event in events if isinstance(event, ev.TaskSignalled)]
        approved = [event for event in kept if event.payload["decision"] == "approved"]
        started = {event.key for event in events if isinstance(event, ev.TaskStarted)}
        assert ("b" in started) == bool(approved), f"seed {seed}"
        assert run.state == ("success" if approved else "failed"), f"seed {seed}"
        assert not kept or after < 10, f"seed {seed}: an answer after the time was kept"


@pytest.mark.parametrize("seed", range(30))
def test_a_cancel_while_people_are_asked(seed: int) -> None:
    flow = a_flow({"gate": {"approve": "?"}, "b": ["gate"]})
    answers = [(1.0, Answer("gate", ANA, True))]
    simulation = Simulation(
        flow, seed=seed, crash_rate=0.03 * (seed % 4), answers=answers, cancel_after_s=0.5 + seed % 3
    )
    run = simulation.play()
    events = simulation.events()
    asked = any(isinstance(event, ev.RunCancelRequested) for event in events)
    approved = any(isinstance(event, ev.TaskSignalled) for event in events)
    started = any(isinstance(event, ev.TaskStarted) for event in events)
    assert run.state == ("cancelled" if asked else "success")
    assert approved or not started
