"""What a wire carries says as much as the tables: rows from documents, events from the audit, exactly."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runnotary.core import events as ev
from runnotary.core import wire
from runnotary.core.chain import Recorded
from runnotary.core.decide import Cancel
from runnotary.core.documents import run_document, run_row
from runnotary.core.ids import to_text
from runnotary.core.times import from_text
from runnotary.core.times import to_text as time_text
from tests.builders import BY, Play, a_flow
from tests.core.test_run_machine import flows

words = st.text(max_size=12)
names = st.lists(words, max_size=3, unique=True).map(tuple)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)


def over_a_wire(value: Any) -> Any:
    return json.loads(json.dumps(value))


@st.composite
def plays(draw: st.DrawFn) -> Play:
    """A run of any flow with any words about it, left at any point of its life."""
    flow = draw(flows())
    play = Play(
        a_flow(flow.pop("steps"), **flow),
        label=draw(words),
        tags=draw(names),
        labels=draw(st.dictionaries(words, words, max_size=2)),
        monitors=draw(names),
        managers=draw(names),
        inputs=draw(st.dictionaries(words, values, max_size=3)),
        title=draw(words),
        kind=draw(words.filter(bool)),
        owner=BY.principal,
        parent=draw(st.sampled_from(["", to_text(b"p" * 16)])),
        trigger=ev.Trigger("api", draw(words)),
    )
    for _ in range(draw(st.integers(0, 12))):
        for key in sorted(play.run.open):
            play.end(key, exit_code=draw(st.sampled_from([0, 0, 1])))
        play.later(draw(st.sampled_from([0.000001, 1.5, 3600])))
    if play.run.finished is None and draw(st.booleans()):
        play.tell(Cancel(BY, reason=draw(words)))
    return play


@settings(deadline=None, max_examples=150)
@given(plays())
def test_a_document_says_everything_that_its_row_does(play: Play) -> None:
    row = run_row(play.run)
    assert play.run.created is not None
    document = run_document(row, play.run.created, play.run.finished, "sha256:" + "0" * 64)
    assert wire.run_row(over_a_wire(document)) == row


@settings(deadline=None, max_examples=100)
@given(plays(), st.binary(min_size=16, max_size=16))
def test_an_entry_of_the_audit_is_its_event(play: Play, actor: bytes) -> None:
    for seq, (event, at) in enumerate(play.log, 1):
        entry = Recorded(seq, at, actor, event)
        assert wire.recorded(over_a_wire(wire.audit_entry(entry))) == entry


@given(st.integers(0, 4_000_000_000_000_000))
def test_a_time_is_read_back_to_the_microsecond(at: int) -> None:
    assert from_text(time_text(at)) == at


@pytest.mark.parametrize("text", ["", "yesterday", "2026-01-31", "2026-01-31T12:00:00"])
def test_a_time_without_a_place_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        from_text(text)


@pytest.mark.parametrize("entry", [{"type": "run.dreamt"}, {"type": "run.held", "details": {"by": 1}}])
def test_what_this_release_cannot_know_is_named(entry: dict[str, Any]) -> None:
    whole = {"seq": 1, "time": time_text(1), "actor": "engine", "details": {}, **entry}
    with pytest.raises(ev.UnknownEvent, match=r"run\.(dreamt|held)"):
        wire.recorded(whole)
