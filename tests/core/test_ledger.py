"""A ledger folds into what each name means now; and which blobs an event vouches for."""

from __future__ import annotations

from typing import Any

import pytest

from runnotary.core import events as ev
from runnotary.core.chain import Recorded
from runnotary.core.evidence import Named, blobs_in
from runnotary.core.hashing import digest
from runnotary.core.ledger import replay

BY = ev.By("user:test")


def changed(name: str, definition: str, **more: Any) -> ev.DefinitionChanged:
    return ev.DefinitionChanged(name, f"id-{name}", definition, BY, **more)


def recorded(*events: ev.Event) -> list[Recorded]:
    return [Recorded(seq, seq * 10, bytes(16), event) for seq, event in enumerate(events, start=1)]


def test_a_name_means_what_it_was_told_last() -> None:
    ledger = replay("default", recorded(changed("a", "1"), changed("b", "2"), changed("a", "3", title="A")))
    assert {name: (row.definition, row.versions) for name, row in ledger.flows.items()} == {
        "a": ("3", 2),
        "b": ("2", 1),
    }
    assert (ledger.flows["a"].title, ledger.flows["a"].changed_at, ledger.seq, ledger.at) == ("A", 30, 3, 30)


def test_new_words_for_the_same_definition_are_no_new_version() -> None:
    row = replay("default", recorded(changed("a", "1"), changed("a", "1", title="new"))).flows["a"]
    assert (row.versions, row.title, row.changed_at) == (1, "new", 20)


def test_the_salt_comes_from_the_first_event_only() -> None:
    home = ev.EngineNoted("home", {"salt": "00ff"})
    assert replay("default", recorded(home)).salt == b"\x00\xff"
    assert replay("default", recorded(changed("a", "1"), home)).salt == b""


@pytest.mark.parametrize("event", [changed("a", "1", namespace="other"), ev.RunHeld(BY)])
def test_what_does_not_belong_is_refused(event: ev.Event) -> None:
    with pytest.raises(ValueError, match="ledger"):
        replay("default", recorded(event))


A, B, C, D, E = (digest(name.encode()) for name in "abcde")


def test_an_event_vouches_for_the_blobs_it_names() -> None:
    ended = ev.TaskEnded(
        "k",
        1,
        "success",
        values={
            "deep": [{"x": {"$file": A, "name": "a", "size": 1}}],
            "text": B,
            "odd": {"$file": "no digest"},
        },
        values_large=ev.Large(C, 1),
        files={"t": ev.File(D, 1, "t", tree=True)},
        stdout=ev.Log(B, 5, E),
        stderr=ev.Log(B, 5),
    )
    assert set(blobs_in(ended)) == {
        Named(A, "bytes"),
        Named(C, "value"),
        Named(D, "tree"),
        Named(E, "bytes"),
    }
    assert list(blobs_in(changed("a", A))) == [Named(A, "bytes")]


def test_deep_nesting_is_no_recursion() -> None:
    value: Any = {"$dir": A}
    for _ in range(100_000):
        value = [value]
    assert list(blobs_in(ev.TaskSignalled("k", BY, payload=value))) == [Named(A, "tree")]
