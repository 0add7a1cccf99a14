"""docs/format.md holds: its vectors come out of its words and out of the code, its tables are the code."""

from __future__ import annotations

import hashlib
import json
import re
import struct
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from runnotary.core import chain
from runnotary.core import events as ev
from runnotary.core.definition import compile
from runnotary.core.fold import fold
from runnotary.core.hashing import DEPTH_MAX, canonical, digest
from runnotary.core.ids import attempt_id, task_id, to_text, uuid7
from runnotary.core.plan import Room, plan
from runnotary.core.run import Run
from runnotary.core.trees import Entry, manifest

PAGE = Path(__file__).parents[2] / "docs" / "format.md"
LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@cache
def page() -> str:
    return PAGE.read_text()


@cache
def vectors() -> Any:
    (text,) = re.findall(r"```json\n(.*?)```", page(), re.DOTALL)
    return json.loads(text)


def sha(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


def test_envelopes_and_hashes_from_the_words_alone() -> None:
    prev = bytes(32)
    for event in vectors()["events"]:
        stream, body = bytes.fromhex(event["stream"]), bytes.fromhex(event["nonce"]) + event["json"].encode()
        actor, pair = bytes.fromhex(event["actor"]), (event["type"], event["version"])
        envelope = struct.pack(">q16sHH32s", event["at"], actor, *pair, sha(body))
        assert envelope.hex() == event["envelope"] and len(envelope) == 60
        key = bytes([len(stream)]) + stream + struct.pack(">Q", event["seq"])
        prev = sha(b"runnotary.event1", key, prev, envelope)
        assert prev.hex() == event["hash"]
        assert chain.opened(event["seq"], envelope, body).actor == actor
    leaf = vectors()["leaf"]
    stream = bytes.fromhex(leaf["stream"])
    framed = b"\x00runnotary.leaf.1" + bytes([len(stream)]) + stream + struct.pack(">Q", leaf["seq"])
    assert leaf["head"] == prev.hex()
    assert sha(framed, prev).hex() == leaf["hash"] == chain.leaf_hash(stream, leaf["seq"], prev).hex()


def test_envelopes_and_hashes_from_the_code() -> None:
    prev = chain.GENESIS
    for event in vectors()["events"]:
        told = ev.decode(event["type"], event["version"], event["json"].encode())
        stream, nonce = bytes.fromhex(event["stream"]), bytes.fromhex(event["nonce"])
        actor = bytes.fromhex(event["actor"])
        sealed = chain.seal(stream, event["seq"], prev, event["at"], actor, told, nonce)
        assert (sealed.envelope.hex(), sealed.hash.hex()) == (event["envelope"], event["hash"])
        prev = sealed.hash


def test_ids_and_actors() -> None:
    made, task, attempt = (vectors()[name] for name in ("id", "task_id", "attempt_id"))
    at, chance = made["at_us"], int(made["chance"], 16)
    bits = at // 1000 << 80 | 7 << 76 | 4096 * (at % 1000) // 1000 << 64 | 2 << 62 | chance % 2**62
    raw = bits.to_bytes(16, "big")
    assert uuid7(at, bytes.fromhex(made["chance"])) == raw
    written = "".join(LETTERS[bits >> 5 * place & 31] for place in range(25, -1, -1))
    assert (raw.hex(), to_text(raw), written) == (made["bytes"], made["text"], made["text"])
    assert task_id(bytes.fromhex(task["run"]), task["key"]) == task["text"]
    assert attempt_id(bytes.fromhex(attempt["run"]), attempt["key"], attempt["attempt"]) == attempt["text"]
    actor = vectors()["actor"]
    salt, principal = bytes.fromhex(actor["salt"]), actor["principal"]
    assert sha(b"runnotary.actor1", salt, principal.encode())[:16].hex() == actor["bytes"]
    assert chain.actor_id(salt, principal).hex() == actor["bytes"]
    streams = vectors()["stream"]
    assert chain.run_stream(bytes.fromhex(task["run"])).hex() == streams["run"]
    assert chain.ledger_stream(streams["ledger"]["namespace"]).hex() == streams["ledger"]["key"]


def test_canonical_form_trees_and_fingerprints() -> None:
    for value, written in vectors()["canonical"]:
        assert canonical(value).decode() == written
    tree = vectors()["tree"]
    entries = [
        Entry(path, digest(file["content"].encode()), len(file["content"]), file["x"])
        for path, file in tree["files"].items()
    ]
    assert manifest(entries).decode() == tree["manifest"]
    assert digest(tree["manifest"].encode()) == tree["digest"]
    prints = vectors()["fingerprint"]
    assert digest(canonical(prints["parts"])) == prints["digest"]


def test_a_started_task_carries_the_fingerprint_described() -> None:
    step = {"run": ["true"], "with": {"n": 2}, "env": {"LANG": "C"}}
    flow = compile({"steps": {"only": step}})
    run = Run(bytes(16), flow)
    created = ev.RunCreated(definition=flow.hash, engine="x", durability="full", by=ev.By("user:x"))
    fold(run, created, 1)
    (started,) = plan(run, room=Room(1), now=2).events
    assert isinstance(started, ev.TaskStarted)
    parts = {"step": flow.digests["only"], "with": {"n": 2}, "env": {"LANG": "C"}, "stage": {}}
    assert started.fingerprint == digest(canonical(parts))


def test_the_table_of_types_is_the_code() -> None:
    meant = []
    for kind, (code, version) in sorted(ev.CODES.items(), key=lambda item: item[1]):
        fields = [
            f"**{field.encode_name}**" if field.required else field.encode_name
            for field in msgspec.structs.fields(kind)
        ]
        meant.append(f"| {code} | {version} | `{ev.NAMES[kind]}` | {', '.join(fields)} |")
    assert [line for line in page().splitlines() if re.match(r"\| \d+ \| \d+ \| `", line)] == meant


def test_the_limits_are_the_code() -> None:
    for limit in (ev.BODY_MAX, ev.VALUE_MAX, ev.KEYS_MAX, DEPTH_MAX):
        assert f" {limit:,} " in page().partition("## Limits")[2]
