"""Proofs that a liar sends are refused where they arrive."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest

from runnotary import config
from runnotary.app import proof_checks
from runnotary.core import chain, merkle, notes
from runnotary.core.errors import Damaged
from runnotary.core.ids import to_text, uuid7

Json = Any
SETTINGS = config.load({})
RUNS = [uuid7(1_700_000_000_000_000 + number, bytes(8)) for number in range(11)]
LEAVES = [chain.leaf_hash(chain.run_stream(run), 4, run * 2) for run in RUNS]


def node(level: int, index: int) -> bytes:
    if not level:
        return LEAVES[index]
    return merkle.node(node(level - 1, 2 * index), node(level - 1, 2 * index + 1))


def note(size: int) -> notes.Note:
    text = notes.Checkpoint("log", size, merkle.span_root(0, size, node)).text
    return notes.Note(text, (notes.Signature("log", b"1234", bytes(64)),))


def served(index: int = 6, **said: Json) -> Json:
    size = len(RUNS)
    proof = notes.Proof(index, tuple(merkle.inclusion(index, size, node)), note(size))
    stream = chain.stream_name(chain.run_stream(RUNS[index]))
    return {"stream": stream, "events": 4, "head": (RUNS[index] * 2).hex(), "proof": str(proof)} | said


def answering(monkeypatch: pytest.MonkeyPatch, **answers: Json) -> None:
    monkeypatch.setattr(proof_checks, "asked", lambda settings, verb, **words: answers[verb])


@pytest.mark.parametrize("words", [{"run": to_text(RUNS[6])}, {"run": "@latest"}, {"entry": 7}])
def test_a_true_one_is_handed_on(monkeypatch: pytest.MonkeyPatch, words: Json) -> None:
    answering(monkeypatch, proof=served())
    assert proof_checks.proof_of(SETTINGS, **words) == served()


@pytest.mark.parametrize(
    "said",
    [
        {"events": 3},
        {"events": -1},
        {"events": "4"},
        {"proof": None},
        {"head": bytes(32).hex()},
        {"head": "no hash"},
        {"stream": f"run/{to_text(RUNS[5])}"},
        {"stream": "ledger/default"},
        {"proof": "rubbish"},
        {"proof": served()["proof"].replace("index 6", "index 5")},
        {"proof": served(5)["proof"]},
        served(5),
    ],
)
@pytest.mark.parametrize("words", [{"run": to_text(RUNS[6])}, {"entry": 7}])
def test_another_one_is_refused(monkeypatch: pytest.MonkeyPatch, words: Json, said: Json) -> None:
    answering(monkeypatch, proof=served() | said)
    with pytest.raises(Damaged, match="the proof does not hold"):
        proof_checks.proof_of(SETTINGS, **words)


@pytest.mark.parametrize("change", ["none", "short", "other", "rubbish"])
def test_a_log_that_does_not_continue_the_kept_one_is_refused(
    monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    path = [b64encode(one).decode() for one in merkle.consistency(5, 11, node)]
    sent = {"none": path, "short": path[:-1], "other": path[::-1], "rubbish": ["!", *path[1:]]}[change]
    newest = {"note": str(note(11))}
    answering(monkeypatch, checkpoint=newest, consistency={"old": 5, "new": 11, "path": sent})
    if change == "none":
        assert proof_checks.continuation(SETTINGS, str(note(5)), 0)["known"] is False
    else:
        with pytest.raises(Damaged, match="does not continue it"):
            proof_checks.continuation(SETTINGS, str(note(5)), 0)
