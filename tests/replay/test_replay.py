"""Every log ever released is read as it was written: hashes, events, and what follows from them."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

import runnotary
from runnotary.core import chain
from runnotary.core import events as ev
from runnotary.core.definition import compile
from runnotary.core.documents import rows
from runnotary.core.fold import replay
from runnotary.core.hashing import canonical, digest
from runnotary.core.ledger import replay as replay_ledger

RELEASES = sorted(path.stem for path in Path(__file__).parent.glob("*.json"))
TABLES = {"RunRow": "runs", "TaskRow": "tasks", "FlowRow": "flows"}


@cache
def log_of(release: str) -> Any:
    return json.loads(Path(__file__).with_name(f"{release}.json").read_text())


def recorded(log: Any, stream: str) -> list[chain.Recorded]:
    return [
        chain.opened(seq, bytes.fromhex(envelope), bytes.fromhex(body))
        for seq, (envelope, body) in enumerate(log["streams"][stream], start=1)
    ]


def as_words(row: Any) -> dict[str, Any]:
    return {
        name: value.hex() if isinstance(value, bytes) else value
        for name, value in msgspec.structs.asdict(row).items()
    }


def test_this_release_has_a_recorded_log() -> None:
    assert runnotary.__version__ in RELEASES


@pytest.mark.parametrize("release", RELEASES)
def test_every_head_is_the_hash_of_its_chain(release: str) -> None:
    """Recomputed from the words of docs/format.md alone, with nothing of the product."""
    log = log_of(release)
    heads: dict[tuple[str, int], str] = {}
    for name, events in log["streams"].items():
        stream, prev = bytes.fromhex(name), bytes(32)
        for seq, (envelope, body) in enumerate(events, start=1):
            assert bytes.fromhex(envelope)[28:] == hashlib.sha256(bytes.fromhex(body)).digest()
            framed = b"runnotary.event1" + bytes([len(stream)]) + stream + seq.to_bytes(8, "big") + prev
            prev = hashlib.sha256(framed + bytes.fromhex(envelope)).digest()
            heads[name, seq] = prev.hex()
    assert [row[0] for row in log["log"]] == list(range(1, len(log["log"]) + 1))
    assert all(heads[stream, seq] == head for _, stream, _, seq, head in log["log"])
    assert {row[1] for row in log["log"]} == set(log["streams"])


@pytest.mark.parametrize("release", RELEASES)
def test_every_event_says_what_it_said(release: str) -> None:
    log = log_of(release)
    stream = chain.ledger_stream("samples").hex()
    found = [(ev.NAMES[type(record.event)], record.event) for record in recorded(log, stream)]
    assert [name for name, _ in found] == [name for name, _ in log["samples"]]
    for (_, event), (name, said) in zip(found, log["samples"], strict=True):
        now = msgspec.to_builtins(event)
        assert {key: json.loads(json.dumps(now[key])) for key in said} == said, name
    assert {name for name, _ in log["samples"]} == set(log["types"])


@pytest.mark.parametrize("release", RELEASES)
def test_every_run_and_ledger_folds_to_its_rows(release: str) -> None:
    log = log_of(release)
    assert digest(canonical(log["definition"])) == log["definition_hash"]
    flow = compile(log["definition"])
    made: dict[str, list[dict[str, Any]]] = {"runs": [], "tasks": [], "flows": []}
    for name in log["streams"]:
        stream = bytes.fromhex(name)
        if stream[:1] == chain.RUN:
            for row in rows(replay(stream[1:], recorded(log, name), lambda _: flow)):
                made[TABLES[type(row).__name__]].append(as_words(row))
        elif stream[1:] == b"default":
            made["flows"] += [
                as_words(row) for row in replay_ledger("default", recorded(log, name)).flows.values()
            ]
    for table, before in log["rows"].items():
        now = sorted(made[table], key=lambda row: [str(row[key]) for key in before[0]])
        then = sorted(before, key=lambda row: [str(row[key]) for key in before[0]])
        assert [{key: row[key] for key in before[0]} for row in now] == then
