"""Server-sent events: every event once and in order, over reconnects, kills and restarts."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2

from tests.server.up import API, PATIENCE_S, QUICK, SAYS, Up, until, waits_for

Json = Any
BROKEN = (httpx2.HTTPError, AssertionError, OSError)


class Follower(threading.Thread):
    """Follows a feed over as many connections as it takes, as the rules of SSE say; `cut` breaks them off."""

    def __init__(self, up: Up, path: str, *, cut_after: int = 0) -> None:
        super().__init__(daemon=True)
        self._up, self._path, self._cut_after = up, path, cut_after
        self.seen: list[tuple[str, str, Json]] = []
        self.connections = 0
        self.over = threading.Event()
        self.start()

    def run(self) -> None:
        while not self.over.is_set():
            self.connections += 1
            try:
                self._follow()
            except BROKEN:
                time.sleep(0.05)

    def _follow(self) -> None:
        last = self.seen[-1][0] if self.seen else ""
        for count, (mark, kind, data) in enumerate(self._up.events(self._path, last), 1):
            if kind == "end":
                self.over.set()
                return
            self.seen.append((mark, kind, data))
            if count == self._cut_after:
                return

    @property
    def pairs(self) -> list[tuple[str, int]]:
        return [(data["run"], data["seq"]) for _, _, data in self.seen if "run" in data]


def recorded(up: Up, run: str) -> list[tuple[int, str]]:
    return [(event["seq"], event["type"]) for event in up.get(f"/runs/{run}/audit").json["events"]]


def test_the_past_of_a_run_then_its_end(up: Up) -> None:
    run = up.run("says")["id"]
    events = list(up.events(f"/runs/{run}/events"))
    assert [(int(mark), kind) for mark, kind, _ in events[:-1]] == recorded(up, run)
    assert events[-1] == ("", "end", {"run": run, "status": "success"})
    for mark, kind, data in events[:-1]:
        assert (data["run"], str(data["seq"]), data["type"]) == (run, mark, kind)
        assert data["time"].endswith("Z")
        assert isinstance(data["details"], dict)


def test_going_on_after_an_event(up: Up) -> None:
    run = up.run("says")["id"]
    whole = list(up.events(f"/runs/{run}/events"))
    for place in range(len(whole)):
        assert list(up.events(f"/runs/{run}/events", last=str(place))) == whole[place:]
    assert list(up.events(f"/runs/{run}/events?after=2")) == whole[2:]
    assert list(up.events(f"/runs/{run}/events?after=latest")) == whole[-1:]
    assert list(up.events(f"/runs/{run}/events", last="999999")) == whole[-1:]


def test_events_arrive_while_the_run_goes_on(up: Up, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    up.register(waits_for(gate))
    run = up.post("/flows/waits/runs").json["id"]
    kinds = []
    for _, kind, _ in up.events(f"/runs/{run}/events"):
        kinds.append(kind)
        if kind == "task.started" and not gate.exists():
            gate.write_text("")
    assert kinds == [
        "run.created",
        "task.started",
        "task.ended",
        "task.started",
        "task.ended",
        "run.finished",
        "end",
    ] or (kinds[0], kinds[1], kinds[-2:]) == ("run.created", "task.started", ["run.finished", "end"])


def test_a_word_that_is_no_place_is_refused(up: Up) -> None:
    run = up.run("quick")["id"]
    for place in (f"/runs/{run}/events", "/events"):
        for wrong in ("-1", "1.5", "x", "9" * 30, "\u0661"):
            headers = {"last-event-id": wrong.encode()}
            reply = up.get(place, headers=headers)  # type: ignore[arg-type]
            assert (reply.status, reply.code) == (422, "invalid_input")


def test_all_events_of_all_runs_once_and_in_order(own: Callable[..., Up]) -> None:
    """Many runs at once, followers that are cut off all the time, and a server that is killed twice."""
    up = own()
    up.register(QUICK, SAYS)
    everything = [
        Follower(up, "/events"),
        Follower(up, "/events", cut_after=3),
        Follower(up, "/events", cut_after=1),
    ]
    runs: list[str] = []
    of_runs: list[Follower] = []
    for round_ in range(3):
        for number in range(8):
            flow = "says" if number % 3 == 0 else "quick"
            runs.append(up.post(f"/flows/{flow}/runs").json["id"])
            of_runs.append(Follower(up, f"/runs/{runs[-1]}/events", cut_after=number % 3))
        if round_ < 2:
            up.kill()
            up.start()
    for follower in of_runs:
        assert follower.over.wait(PATIENCE_S)
    truth = {run: recorded(up, run) for run in runs}
    for run, follower in zip(runs, of_runs, strict=True):
        assert [(int(mark), kind) for mark, kind, _ in follower.seen] == truth[run]
    total = sum(map(len, truth.values()))
    for follower in everything:
        until(lambda follower=follower: len(follower.pairs) >= total, "every event")  # type: ignore[misc]
        follower.over.set()
        assert follower.connections > 1
        marks = [int(mark) for mark, _, _ in follower.seen]
        assert marks == sorted(set(marks))
        by_run: dict[str, list[int]] = {}
        for run, seq in follower.pairs:
            by_run.setdefault(run, []).append(seq)
        assert by_run == {run: [seq for seq, _ in events] for run, events in truth.items()}
    # Whoever comes late sees the same as those that were there.
    late = Follower(up, "/events")
    until(lambda: len(late.pairs) >= total)
    late.over.set()
    assert late.seen[: len(everything[0].seen)] == everything[0].seen


def test_feeds_end_when_the_server_does(own: Callable[..., Up], tmp_path: Path) -> None:
    up = own()
    up.register(waits_for(tmp_path / "never"))
    run = up.post("/flows/waits/runs").json["id"]
    seen: list[str] = []
    done = threading.Event()

    def follow() -> None:
        for _, kind, _ in up.events(f"/runs/{run}/events"):
            seen.append(kind)
        done.set()

    threading.Thread(target=follow, daemon=True).start()
    until(lambda: "task.started" in seen)
    assert up.stop() == 0
    assert done.wait(PATIENCE_S)
    assert "end" not in seen
    up.start()
    assert up.get(f"/runs/{run}").json["status"] == "running"
    (tmp_path / "never").write_text("")
    assert up.get(f"/runs/{run}", headers={"prefer": "wait=60"}).json["status"] == "success"


def test_a_client_that_reads_nothing_holds_up_nobody(own: Callable[..., Up]) -> None:
    """Its connection fills up; the others go on, and it can go on where it stopped."""
    up = own()
    up.register(SAYS)
    for _ in range(3):
        up.run("says", {"inputs": {"word": "x" * 10_000}})
    with socket.create_connection(("127.0.0.1", up.port)) as lazy:
        lazy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        lazy.sendall(f"GET {API}/events HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
        for _ in range(20):
            up.run("says", {"inputs": {"word": "x" * 10_000}})
        assert up.get("/runs?total=true").json["total"] == 23
        follower = Follower(up, "/events")
        runs = {run["id"] for run in up.get("/runs").json["runs"]}
        until(lambda: {run for run, _ in follower.pairs} == runs)
        follower.over.set()
