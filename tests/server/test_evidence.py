"""Checkpoints, proofs, keys and verification over HTTP, and by the clients of a server and of a home."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import runnotary
from runnotary.core import chain, merkle, notes
from runnotary.core.ids import from_text
from runnotary.store.keys import public_key_of, verified
from tests.database import rows_of
from tests.server.up import Up, until

Json = Any
FLOW = {"flow": "f", "steps": {"a": {"run": "echo hi > out", "files": ["out"]}}}


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    up = Up(tmp_path_factory.mktemp("evidence")).start()
    up.register(FLOW, token=None)
    yield up
    up.close()


def ended(up: Up) -> Json:
    run = up.post("/runs", {"flow": "f"}, headers={"prefer": "wait=60"}).json
    assert run["status"] == "success"
    return run


def check(document: Json, run: Json, key: str) -> None:
    """Check a proof as a stranger would: from the run's head to a signature."""
    head = bytes.fromhex(run["log"]["head"].removeprefix("sha256:"))
    leaf = chain.leaf_hash(chain.run_stream(from_text(run["id"])), run["log"]["events"], head)
    assert base64.b64decode(document["leaf"]) == leaf
    proof = notes.read_proof(document["proof"])
    made = notes.read_checkpoint(proof.note.text)
    merkle.check_inclusion(leaf, proof.index, made.size, proof.path, made.root)
    assert verified(public_key_of(key, ""), proof.note.signatures[0], proof.note.text)


def active(up: Up) -> str:
    (key,) = [one for one in up.get("/keys").json["keys"] if one["status"] == "active"]
    return str(key["key"])


def test_a_run_is_proven_and_the_log_has_only_grown(up: Up) -> None:
    kept = up.post("/log/checkpoint", {}).json
    run = ended(up)
    proof = up.get(f"/log/proof?run={run['id']}").json
    check(proof, run, active(up))
    assert up.get(f"/log/proof?entry={proof['entry']}").json["leaf"] == proof["leaf"]
    now = up.get("/log/checkpoint").json
    path = up.get(f"/log/consistency?old={kept['size']}&new={now['size']}").json["path"]
    roots = [base64.b64decode(one["root"]) for one in (kept, now)]
    merkle.check_consistency(kept["size"], now["size"], [base64.b64decode(one) for one in path], *roots)


def test_a_run_says_when_it_is_sealed(up: Up) -> None:
    run = ended(up)
    until(lambda: up.get(f"/runs/{run['id']}").json["log"]["sealed"] is not None)
    sealed = up.get(f"/runs/{run['id']}").json["log"]["sealed"]
    assert sealed >= up.get(f"/log/proof?run={run['id']}").json["entry"]
    listed = up.get("/runs?limit=1").json["runs"][0]
    assert listed["log"]["sealed"] >= sealed


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("/log/checkpoint?size=3", 404, "not_found"),
        ("/log/checkpoint?size=-1", 422, "invalid_parameter"),
        ("/log/proof", 422, "invalid_input"),
        ("/log/proof?run=@latest&entry=1", 422, "invalid_input"),
        ("/log/proof?entry=99999999", 404, "not_found"),
        ("/log/proof?entry=0", 422, "invalid_input"),
        ("/log/proof?run=nothing", 404, "run_not_found"),
        ("/log/consistency", 422, "invalid_input"),
        ("/log/consistency?old=2&new=1", 422, "invalid_input"),
        ("/log/consistency?old=1&new=99999999", 422, "invalid_input"),
        ("/log/consistency?old=x", 422, "invalid_parameter"),
        ("/audit/verify?run=nothing", 404, "run_not_found"),
        ("/audit/verify?flow=nothing", 404, "run_not_found"),
        ("/audit/verify?task=a", 422, "invalid_input"),
        ("/audit/verify?run=@latest&task=nothing", 404, "task_not_found"),
        ("/audit/verify?run=@latest&flow=f", 422, "invalid_input"),
        ("/audit/verify?deep=perhaps", 422, "invalid_parameter"),
    ],
)
def test_bad_words(up: Up, path: str, status: int, code: str) -> None:
    ended(up)
    reply = up.get(path)
    assert (reply.status, reply.code) == (status, code), reply


def test_keys_change_while_runs_go_on(up: Up) -> None:
    before = active(up)
    made = up.post("/keys/rotate", {"name": "lab-2027", "reason": "a year"}).json
    assert (made["name"], made["status"], made["endorsed"]) == ("lab-2027", "active", True)
    run = ended(up)
    check(up.get(f"/log/proof?run={run['id']}").json, run, made["key"])
    revoked = up.post("/keys/lab-2027/revoke", {"reason": "stolen"}).json
    assert (revoked["status"], revoked["reason"]) == ("revoked", "stolen")
    assert up.post("/keys/lab-2027/revoke", {}).status == 409
    assert up.post("/keys/nobody/revoke", {}).status == 404
    assert up.post("/keys/rotate", {"name": "two words"}).status == 422
    assert len({before, made["key"], active(up)}) == 3
    assert up.get("/audit/verify?deep=true").json["ok"]


def test_a_run_a_flow_and_everything_are_verified(up: Up) -> None:
    run = ended(up)
    assert up.post("/log/checkpoint", {}).status == 200
    for words in (f"run={run['id']}", "run=@latest&task=a", "flow=f&namespace=default", "deep=true", ""):
        report = up.get(f"/audit/verify?{words}").json
        assert report["ok"] and report["findings"] == [], report
        assert report["checkpoint"]["key"] and report["not_proven"]
    assert up.get("/audit/verify?run=@latest&task=a").json["task"]["keys"] == ["a"]


def test_what_does_not_hold_is_a_report_with_status_200(tmp_path: Path) -> None:
    up = Up(tmp_path / "place").start()
    try:
        up.register(FLOW, token=None)
        run = ended(up)
        forge(up, 7)
        for path in (f"/audit/verify?run={run['id']}", "/audit/verify", "/audit/verify?flow=f"):
            reply = up.get(path)
            assert reply.status == 200
            assert not reply.json["ok"]
            assert any("exit_code" in one["where"] for one in reply.json["findings"])
        forge(up, 0)
    finally:
        up.close()


def forge(up: Up, exit_code: int) -> None:
    with rows_of(up.home) as connection:
        connection.execute("UPDATE tasks SET exit_code = ?", (exit_code,))


@pytest.mark.parametrize("where", ["server", "home"])
def test_clients_ask_for_evidence(up: Up, tmp_path: Path, where: str) -> None:
    place: Json = {"url": up.url} if where == "server" else {"home": tmp_path / "home"}
    with runnotary.Client(**place) as client:
        client.register_flow(FLOW)
        run = client.run_flow("f", wait=True)
        kept = client.checkpoint(new=True)
        assert client.checkpoint(kept["size"])["note"] == kept["note"]
        key = next(one for one in client.list_keys() if one["status"] == "active")
        check(client.proof(run.id), client.get_run(run.id).raw, key["key"])
        assert client.proof(entry=1)["entry"] == 1
        assert client.consistency(1, kept["size"])["new"] == kept["size"]
        assert client.get_run(run.id).log.sealed is not None
        assert client.verify(run.id, task="a")["ok"]
        assert client.verify(flow="f")["ok"] and client.verify(deep=True)["ok"]
        made = client.rotate_key("next", reason="test")
        assert client.revoke_key(made["id"], reason="test")["status"] == "revoked"
        with pytest.raises(runnotary.NotFound):
            client.revoke_key("nobody")
