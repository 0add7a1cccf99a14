"""Starting, waiting, changing, ending: one run or many, once or by many clients at the same time."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.server.up import QUICK, SAYS, Up, until, waits_for

Json = Any
WAIT = {"prefer": "wait=60"}


@pytest.fixture
def gate(up: Up, tmp_path: Path) -> Path:
    """Register `waits`, which goes on when this file is there."""
    up.register(waits_for(tmp_path / "gate"))
    return tmp_path / "gate"


def test_statuses_of_a_start(up: Up, gate: Path) -> None:
    begun = up.post("/flows/waits/runs")
    assert begun.status == 201
    assert begun.headers["location"] == f"/api/v1/runs/{begun.json['id']}"
    assert begun.headers["etag"] == f'"{begun.json["log"]["head"]}"'
    waited = up.post("/flows/waits/runs", headers={"prefer": "respond-async, wait=0"})
    assert (waited.status, waited.headers["preference-applied"]) == (202, "wait=0")
    assert waited.json["status"] in ("pending", "running")
    gate.write_text("")
    done = up.post("/flows/waits/runs", headers=WAIT)
    assert (done.status, done.json["status"]) == (200, "success")
    for run in (begun, waited):
        assert up.get(f"/runs/{run.json['id']}", headers=WAIT).json["status"] == "success"


def test_what_is_said_about_a_run(up: Up) -> None:
    said = {
        "label": "nightly",
        "tags": ["a", "b"],
        "labels": {"team": "x"},
        "monitors": ["user:eve"],
        "managers": ["group:qa"],
        "inputs": {"word": "w"},
    }
    run = up.run("says", said)
    assert {name: run[name] for name in said} == said
    assert run["trigger"] == {"kind": "api", "id": None}
    by_hand = up.post("/flows/quick/runs", headers={"user-agent": "runnotary-cli/0.1"}).json
    assert by_hand["trigger"]["kind"] == "manual"
    by_hash = up.post(f"/definitions/{run['definition_hash']}/runs").json
    assert (by_hash["flow"], by_hash["definition_hash"]) == (None, run["definition_hash"])
    assert up.post("/runs", {"definition": run["definition_hash"]}).status == 201


def test_one_key_is_one_run(up: Up) -> None:
    body = {"flow": "says", "inputs": {"word": "k"}, "label": "one"}
    first = up.post("/runs", body, headers={"idempotency-key": "key-1"})
    again = up.post("/runs", body, headers={"idempotency-key": '"key-1"'})
    in_body = up.post("/runs", body | {"idempotency_key": "key-1", "namespace": "default"})
    assert [reply.status for reply in (first, again, in_body)] == [201, 200, 200]
    assert len({reply.json["id"] for reply in (first, again, in_body)}) == 1
    other = up.post("/runs", body | {"label": "two"}, headers={"idempotency-key": "key-1"})
    assert (other.status, other.code) == (422, "idempotency_key_reused")
    up.register(SAYS | {"description": "changed", "steps": SAYS["steps"] | {"more": {"run": "true"}}})
    replayed = up.post("/runs", body, headers={"idempotency-key": "key-1"})
    assert (replayed.status, replayed.json["id"]) == (200, first.json["id"])
    up.register(SAYS)


def test_one_key_from_many_clients_at_once(own: Callable[..., Up]) -> None:
    up = own()
    up.register(QUICK)
    barrier = threading.Barrier(16)

    def start(number: int) -> tuple[int, str]:
        barrier.wait()
        reply = up.post("/flows/quick/runs", headers={"idempotency-key": f"k{number % 2}"})
        return reply.status, reply.json["id"]

    with ThreadPoolExecutor(16) as pool:
        replies = list(pool.map(start, range(16)))
    assert len({run for _, run in replies}) == 2
    assert sorted(status for status, _ in replies) == [200] * 14 + [201] * 2
    up.kill()
    up.start()
    with ThreadPoolExecutor(4) as pool:
        later = list(
            pool.map(lambda _: up.post("/flows/quick/runs", headers={"idempotency-key": "k0"}), range(4))
        )
    assert {reply.status for reply in later} == {200}
    assert up.get("/runs?total=true").json["total"] == 2


def test_an_update_needs_what_the_caller_saw(up: Up) -> None:
    run = up.run("quick")
    path, tag = f"/runs/{run['id']}", up.get(f"/runs/{run['id']}").headers["etag"]
    for known in (tag, f"W/{tag}", f'"other", {tag}', "*"):
        assert up.get(path, headers={"if-none-match": known}).status == 304, known
    assert up.get(path, headers={"if-none-match": '"other"'}).status == 200
    changed = up.ask("PATCH", path, {"label": "new", "tags": ["t"]}, headers={"if-match": tag})
    assert (changed.status, changed.json["label"], changed.json["tags"]) == (200, "new", ["t"])
    assert changed.headers["etag"] != tag
    late = up.ask("PATCH", path, {"label": "lost"}, headers={"if-match": tag})
    assert (late.status, late.code) == (412, "changed")
    assert up.ask("PATCH", path, {"label": "any"}, headers={"if-match": "*"}).json["label"] == "any"
    assert up.ask("PATCH", path, {"labels": {"a": "b"}}).json["label"] == "any"
    for wrong in ({"status": "failed"}, {"inputs": {}}, {"owner": "user:x"}, {"label": 1}, {"label": None}):
        assert up.ask("PATCH", path, wrong).code == "invalid_input"


def test_of_many_updates_of_one_state_one_wins(up: Up) -> None:
    run = up.run("quick")
    path, tag = f"/runs/{run['id']}", f'"{run["log"]["head"]}"'
    with ThreadPoolExecutor(8) as pool:
        replies = list(
            pool.map(lambda n: up.ask("PATCH", path, {"label": f"l{n}"}, headers={"if-match": tag}), range(8))
        )
    assert sorted(reply.status for reply in replies) == [200] + [412] * 7
    (winner,) = (reply.json["label"] for reply in replies if reply.status == 200)
    assert up.get(path).json["label"] == winner


def test_ending(up: Up, gate: Path) -> None:
    run = up.post("/flows/waits/runs").json["id"]
    until(lambda: b"begun" in up.get(f"/runs/{run}/tasks/one/stdout").body)
    assert up.get(f"/runs/{run}/tasks/one/stdout", headers={"range": "bytes=3-"}).body == b"un\n"
    assert up.get(f"/runs/{run}/tasks/one/stdout", headers={"range": "bytes=6-"}).status == 416
    reply = up.post(f"/runs/{run}/cancel", {"reason": "enough", "grace_ms": 100})
    assert reply.status in (200, 202)
    ended = up.get(f"/runs/{run}", headers=WAIT).json
    assert ended["status"] == "cancelled"
    assert up.post(f"/runs/{run}/cancel").status == 200
    other = up.run("quick")["id"]
    assert (up.post(f"/runs/{other}/cancel").status, up.post(f"/runs/{other}/cancel").code) == (
        409,
        "already_ended",
    )
    assert up.post(f"/runs/{other}/resume").code == "already_ended"
    gate.write_text("")


def test_rerun_is_a_new_run(up: Up) -> None:
    run = up.run("says", {"inputs": {"word": "again"}})
    again = up.post(f"/runs/{run['id']}/rerun", headers=WAIT)
    assert (again.status, again.json["previous_run"], again.json["inputs"]) == (200, run["id"], run["inputs"])


def test_a_reason_that_would_not_be_kept_is_refused(up: Up) -> None:
    run = up.run("quick")["id"]
    for verb in ("rerun", "resume"):
        assert up.post(f"/runs/{run}/{verb}", {"reason": "why not"}).code == "invalid_input"


def test_a_flow_is_where_its_registration_says(own: Callable[..., Up]) -> None:
    up = own()
    up.post("/namespaces", {"name": "lab"})
    for namespace in ("default", "lab"):
        made = up.post("/flows", {"definition": QUICK, "namespace": namespace})
        found = up.ask("GET", made.headers["location"], api="")
        assert (found.status, found.json["namespace"]) == (200, namespace)


def test_putting_away(own: Callable[..., Up]) -> None:
    up = own()
    up.register(QUICK, SAYS)
    runs = [up.run("says", {"label": f"r{n}", "inputs": {"word": f"w{n}"}})["id"] for n in range(4)]
    assert up.post(f"/runs/{runs[0]}/archive", {"reason": "old"}).json["archived_at"]
    assert runs[0] not in [run["id"] for run in up.get("/runs").json["runs"]]
    assert runs[0] in [run["id"] for run in up.get("/runs?include_archived=true").json["runs"]]
    assert up.post(f"/runs/{runs[0]}/unarchive").json["archived_at"] is None
    assert up.post(f"/runs/{runs[1]}/hold", {"reason": "audit"}).json["held"]
    assert (up.post(f"/runs/{runs[1]}/purge").status, up.post(f"/runs/{runs[1]}/purge").code) == (409, "held")
    planned = up.post("/runs:purge", {"older_than": "0s", "flow": "says", "dry_run": True}).json
    assert planned == {"runs": [runs[0], runs[2], runs[3]], "count": 3, "dry_run": True}
    for age in ("1h", "400d", "3650d", "9999d", "1d12h"):
        assert up.post("/runs:purge", {"older_than": age}).json["count"] == 0
    assert up.post("/runs:purge", {"older_than": "0s", "label": "r2"}).json["runs"] == [runs[2]]
    assert up.get(f"/runs/{runs[2]}").code == "run_not_found"
    assert up.post("/runs:archive", {"older_than": "0s"}).json["count"] == 3
    assert up.get("/runs?total=true").json["total"] == 0
    assert up.post(f"/runs/{runs[1]}/release-hold").json["held"] is None
    assert up.post(f"/runs/{runs[1]}/purge", {"reason": "over"}).json == {"id": runs[1], "purged": True}
    for wrong in (
        {},
        *({"older_than": age} for age in ("x", "5", "-1d", "10000d", 3)),
        {"older_than": "0s", "colour": 1},
    ):
        assert up.post("/runs:purge", wrong).status == 422


def test_batches_answer_one_by_one(up: Up, gate: Path) -> None:
    entries: list[Json] = [
        {"flow": "quick", "label": "b0"},
        {"flow": "none"},
        {"flow": "says", "inputs": {"word": 3}},
        "nonsense",
        {"flow": "waits", "label": "b4"},
        {"flow": "quick", "colour": "red"},
    ]
    body = {"runs": entries, "concurrency": 3}
    results = up.post("/runs:batch-start", body, headers={"idempotency-key": "b"}).json["results"]
    assert [result["index"] for result in results] == list(range(6))
    codes = [result["error"]["code"] if "error" in result else "" for result in results]
    assert codes == ["", "flow_not_found", "invalid_run_input", "invalid_input", "", "invalid_input"]
    again = up.post("/runs:batch-start", body, headers={"idempotency-key": "b"}).json["results"]
    assert [one["run_id"] for one in again] == [one["run_id"] for one in results]
    ids = [results[0]["run_id"], "01M7ZHDDC0ETVT7J3EGTXVK40N", results[4]["run_id"]]
    got = up.post("/runs:batch-get", {"ids": ids}).json["results"]
    assert [one["run_id"] for one in got] == ids
    assert [one.get("error", {}).get("code") for one in got] == [None, "run_not_found", None]
    updates = [{"id": ids[0], "label": "u"}, {"id": ids[1], "label": "u"}, {"id": ids[2], "status": "failed"}]
    changed = up.post("/runs:batch-update", {"updates": updates}).json["results"]
    assert [one.get("error", {}).get("code") for one in changed] == [None, "run_not_found", "invalid_input"]
    assert changed[0]["run"]["label"] == "u"
    up.get(f"/runs/{ids[0]}", headers=WAIT)
    ended = up.post("/runs:batch-cancel", {"ids": ids, "grace_ms": 10}).json["results"]
    assert [one.get("error", {}).get("code") for one in ended] == ["already_ended", "run_not_found", None]
    assert up.get(f"/runs/{ids[2]}", headers=WAIT).json["status"] == "cancelled"
    gate.write_text("")
    for wrong in ({}, {"runs": []}, {"runs": [{}] * 1001}, {"ids": ids}):
        assert up.post("/runs:batch-start", wrong).status == 422


def test_two_clients_on_the_same_runs_see_one_history(own: Callable[..., Up], tmp_path: Path) -> None:
    up = own()
    up.register(waits_for(tmp_path / "gate"))
    body = {"runs": [{"flow": "waits", "label": str(n)} for n in range(24)]}
    runs = [one["run_id"] for one in up.post("/runs:batch-start", body).json["results"]]
    assert len(set(runs)) == 24

    def client(name: str) -> list[tuple[int, int]]:
        found = []
        for run in runs:
            changed = up.ask("PATCH", f"/runs/{run}", {"tags": [name]}).status
            found.append((changed, up.post(f"/runs/{run}/cancel", {"grace_ms": 1}).status))
        return found

    with ThreadPoolExecutor(2) as pool:
        said = list(pool.map(client, ("one", "two")))
    assert {status for pairs in said for status, _ in pairs} == {200}
    assert {status for pairs in said for _, status in pairs} <= {200, 202}
    for run in runs:
        document = up.get(f"/runs/{run}", headers=WAIT).json
        assert document["status"] == "cancelled"
        events = [event["type"] for event in up.get(f"/runs/{run}/audit").json["events"]]
        assert events.count("run.finished") == events.count("run.cancel_requested") == 1
        updates = [
            event["details"]["set"]["tags"]
            for event in up.get(f"/runs/{run}/audit").json["events"]
            if event["type"] == "run.updated"
        ]
        assert document["tags"] == updates[-1]
