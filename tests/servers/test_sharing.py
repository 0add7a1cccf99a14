"""Any server answers for any run: what is asked of one counts for all."""

from __future__ import annotations

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.server.up import API, QUICK, SAYS, Reply, until, waits_for
from tests.servers.pair import Pair, Server

MATCHING = "if-match"


@pytest.fixture
def gate(tmp_path: Path, pair: Pair) -> Path:
    path = tmp_path / "gate"
    for server in (pair.a, pair.b):
        server.register(waits_for(path))
    return path


def at_once(*asked: Any) -> list[Any]:
    """Call all of them at the same time; return what each of them does."""
    with ThreadPoolExecutor(len(asked)) as threads:
        return [done.result() for done in [threads.submit(one) for one in asked]]


def test_both_say_the_same_of_a_run(pair: Pair) -> None:
    pair.a.register(SAYS)
    run = pair.a.start_run("says")
    pair.a.over(run)
    until(lambda: pair.a.document(run)["log"]["sealed"])  # a checkpoint comes a moment after the end
    assert pair.b.document(run) == pair.a.document(run)
    for path in ("", "/tasks", "/tasks/say", "/tasks/say/stdout", "/logs", "/proof", "/lineage"):
        one, other = (server.get(f"/runs/{run}{path}") for server in (pair.a, pair.b))
        assert (one.status, one.json if path != "/tasks/say/stdout" else one.body) == (
            other.status,
            other.json if path != "/tasks/say/stdout" else other.body,
        ), path


def test_both_list_what_either_accepted(pair: Pair) -> None:
    pair.a.register(QUICK)
    runs = {pair.a.start_run("quick"), pair.b.start_run("quick")}
    for server in (pair.a, pair.b):
        assert runs <= {run["id"] for run in server.get("/runs?limit=100").json["runs"]}


def test_waiting_at_the_other_ends_with_the_run(pair: Pair, gate: Path) -> None:
    run = pair.a.start_run("waits")
    with ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(pair.b.get, f"/runs/{run}", headers={"prefer": "wait=60"})
        pair.a.running(run, "one")
        gate.touch()
        assert waiting.result().json["status"] == "success"


def test_output_of_a_step_that_runs_elsewhere_is_read_as_it_comes(pair: Pair, gate: Path) -> None:
    run = pair.a.start_run("waits")
    until(lambda: pair.b.get(f"/runs/{run}/tasks/one/stdout").body == b"begun\n")
    gate.touch()
    pair.b.over(run)
    assert pair.b.get(f"/runs/{run}/tasks/one/stdout").body == b"begun\ndone\n"


def test_cancelling_at_the_other(pair: Pair, gate: Path) -> None:
    run = pair.a.start_run("waits")
    pair.a.running(run, "one")
    reply = pair.b.post(f"/runs/{run}/cancel", {"reason": "enough"})
    assert reply.status == 202, reply
    assert pair.b.over(run)["status"] == "cancelled"
    assert not gate.exists()
    ends = [said["signal"] for kind, said in pair.a.facts(run) if kind == "task.ended"]
    assert ends == [15]  # the server that holds the step was told to stop it
    assert pair.a.post(f"/runs/{run}/cancel", {}).status == 200


def test_everything_else_that_is_done_to_a_run_at_the_other(pair: Pair, gate: Path) -> None:
    run = pair.a.start_run("waits")
    pair.a.running(run, "one")
    assert pair.b.ask("PATCH", f"/runs/{run}", {"label": "elsewhere", "tags": ["x"]}).status == 200
    assert pair.b.post(f"/runs/{run}/hold", {"reason": "evidence"}).status == 200
    told = pair.a.document(run)
    assert (told["label"], told["tags"], bool(told["held"])) == ("elsewhere", ["x"], True)
    gate.touch()
    assert pair.a.over(run)["label"] == "elsewhere"
    assert pair.b.post(f"/runs/{run}/purge", {}).code == "held"
    assert pair.a.post(f"/runs/{run}/release-hold", {}).status == 200
    assert pair.b.post(f"/runs/{run}/archive", {}).status == 200
    assert pair.a.document(run)["archived_at"]
    assert pair.a.post(f"/runs/{run}/purge", {}).status == 200
    assert pair.b.get(f"/runs/{run}").code == "run_not_found"


ASKS = {
    "flow": "asks",
    "steps": {
        "ask": {"approve": "May it go on?"},
        "then": {"run": "echo yes", "needs": ["ask"]},
    },
}


def waiting(server: Server, run: str) -> Any:
    found = server.get("/approvals?limit=100").json["approvals"]
    return next((one for one in found if one["run"] == run), None)


@pytest.mark.parametrize(("verb", "status"), [("approve", "success"), ("reject", "failed")])
def test_an_answer_at_the_other(pair: Pair, verb: str, status: str) -> None:
    pair.a.register(ASKS)
    run = pair.a.start_run("asks")
    asked = until(lambda: waiting(pair.b, run))
    reply = pair.b.post(
        f"/runs/{run}/tasks/ask/{verb}", {"reason": "seen", "shown_digest": asked["shown_digest"]}
    )
    assert reply.status == 200, reply
    assert pair.b.over(run)["status"] == pair.a.over(run)["status"] == status


def test_of_two_answers_at_the_same_time_one_counts(pair: Pair) -> None:
    pair.a.register(ASKS)
    for _ in range(10):
        _race(pair)


def _race(pair: Pair) -> None:
    run = pair.a.start_run("asks")
    asked = until(lambda: waiting(pair.b, run))
    said = {"reason": "seen", "shown_digest": asked["shown_digest"]}
    yes, no = f"/runs/{run}/tasks/ask/approve", f"/runs/{run}/tasks/ask/reject"
    replies = at_once(lambda: pair.a.post(yes, said), lambda: pair.b.post(no, said))
    assert sorted(reply.status for reply in replies) == [200, 409]
    done = pair.a.over(run)
    assert done["status"] == ("success" if replies[0].status == 200 else "failed")


def test_one_key_at_both_is_one_run(pair: Pair) -> None:
    pair.a.register(QUICK)
    for number in range(10):
        headers = {"idempotency-key": f"both-{number}"}

        def start(server: Server, headers: dict[str, str] = headers) -> Reply:
            return server.post("/flows/quick/runs", {}, headers=headers)

        replies = at_once(*(lambda s=server: start(s) for server in (pair.a, pair.b) * 3))
        assert {reply.status for reply in replies} <= {200, 201, 202}, replies
        assert len({reply.json["id"] for reply in replies}) == 1


def test_of_two_changes_to_the_same_state_one_is_made(pair: Pair, gate: Path) -> None:
    run = pair.a.start_run("waits")
    pair.a.running(run, "one")
    for number in range(10):
        seen = pair.a.get(f"/runs/{run}").headers["etag"]

        def change(server: Server, label: str, seen: str = seen) -> Reply:
            return server.ask("PATCH", f"/runs/{run}", {"label": label}, headers={MATCHING: seen})

        one, other = at_once(
            lambda n=number: change(pair.a, f"a{n}"), lambda n=number: change(pair.b, f"b{n}")
        )
        assert sorted((one.status, other.status)) == [200, 412], (one, other)
        made = f"a{number}" if one.status == 200 else f"b{number}"
        assert pair.a.document(run)["label"] == pair.b.document(run)["label"] == made
    gate.touch()
    pair.a.over(run)


def test_changes_from_both_without_a_condition_are_all_made(pair: Pair, gate: Path) -> None:
    run = pair.a.start_run("waits")
    pair.a.running(run, "one")
    asked = [
        lambda s=server, n=number: s.ask("PATCH", f"/runs/{run}", {"labels": {"from": f"{s.port}-{n}"}})
        for server in (pair.a, pair.b)
        for number in range(8)
    ]
    assert {reply.status for reply in at_once(*asked)} == {200}
    gate.touch()
    pair.a.over(run)
    updates = [said for kind, said in pair.b.facts(run) if kind == "run.updated"]
    assert len(updates) == len(asked)


def test_a_name_means_the_same_everywhere_at_once(pair: Pair) -> None:
    for number in range(5):
        server, other = (pair.a, pair.b) if number % 2 else (pair.b, pair.a)
        server.register({"flow": "named", "steps": {"a": {"run": ["echo", str(number)]}}})
        run = other.start_run("named")
        assert other.over(run)["status"] == "success"
        assert server.get(f"/runs/{run}/tasks/a/stdout").body == f"{number}\n".encode()


def test_one_name_registered_at_both_is_one_flow(pair: Pair) -> None:
    flow = {"flow": "twice", "steps": {"a": {"run": ["true"]}}}
    replies = at_once(
        *(lambda s=server: s.post("/flows", {"definition": flow}) for server in (pair.a, pair.b) * 2)
    )
    assert {reply.status for reply in replies} <= {200, 201}
    assert len({reply.json["flow_id"] for reply in replies}) == 1


def test_bytes_that_one_keeps_the_other_gives(pair: Pair) -> None:
    for data in (b"small", b"large" * 10_000):
        kept = pair.a.ask("POST", "/blobs", content=data)
        assert kept.status in (200, 201), kept
        name = kept.json["digest"]
        assert pair.b.get(f"/blobs/{name}").body == data


def test_many_at_once_ask_both(pair: Pair) -> None:
    """Starts, questions and changes together, all from one loop."""
    pair.a.register(QUICK)

    async def one(http: httpx2.AsyncClient, number: int) -> str:
        urls = [pair.a.url, pair.b.url]
        started = await http.post(f"{urls[number % 2]}{API}/flows/quick/runs", json={})
        run = started.json()["id"]
        await http.patch(f"{urls[number // 2 % 2]}{API}/runs/{run}", json={"label": f"n{number}"})
        answer = await http.get(f"{urls[1 - number % 2]}{API}/runs/{run}", headers={"prefer": "wait=60"})
        assert (answer.json()["status"], answer.json()["label"]) == ("success", f"n{number}")
        return str(run)

    async def many() -> list[str]:
        async with httpx2.AsyncClient(timeout=60, trust_env=False) as http:
            return await asyncio.gather(*(one(http, number) for number in range(100)))

    assert len(set(asyncio.run(many()))) == 100


def test_the_feed_of_all_runs_is_the_same_at_both(pair: Pair) -> None:
    pair.a.register(QUICK)
    start = pair.a.get("/runs?limit=1").headers.get("runnotary-position", "")
    runs = [server.start_run("quick") for server in (pair.a, pair.b) * 5]
    for run in runs:
        pair.a.over(run)

    def seen(server: Server) -> list[tuple[str, str]]:
        found, left = [], set(runs)
        for mark, kind, data in server.events("/events", last=start or "0"):
            found.append((mark, json.dumps(data, sort_keys=True)))
            if kind == "run.finished":
                left.discard(data["run"])
            if not left:
                return found
        raise AssertionError("the feed ended")

    one, other = seen(pair.a), seen(pair.b)
    assert one == other
    assert len({mark for mark, _ in one}) == len(one)
