"""Pages: no gap and no repetition, also while runs are being inserted."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.server.up import QUICK, SAYS, Up

Json = Any


@pytest.fixture(scope="module")
def full(up: Up) -> list[Json]:
    """Twenty-four ended runs, newest first."""
    labels = ["a", "b", "b", "", "c", "B"]
    for number in range(24):
        body = {"label": labels[number % 6], "tags": [f"t{number % 3}"]}
        up.run("quick" if number % 2 else "says", body)
    return list(pages(up, "limit=100"))


def pages(up: Up, query: str) -> Iterator[Json]:
    cursor = ""
    while True:
        page = up.get(f"/runs?{query}{cursor}").json
        yield from page["runs"]
        assert page["has_next"] == (page["next_cursor"] is not None)
        if not page["has_next"]:
            return
        cursor = f"&cursor={page['next_cursor']}"


@pytest.mark.parametrize("order_by", ["created_at", "started_at", "ended_at", "label", "flow", "status"])
@pytest.mark.parametrize("order", ["asc", "desc"])
def test_every_order_both_ways(up: Up, full: list[Json], order_by: str, order: str) -> None:
    found = list(pages(up, f"order_by={order_by}&order={order}&limit=5"))
    assert len(found) == len(full)
    assert {run["id"] for run in found} == {run["id"] for run in full}
    values = [run[order_by] or "" for run in found]
    assert values == sorted(values, reverse=order == "desc")


def test_filters(up: Up, full: list[Json]) -> None:
    def ids(query: str) -> list[str]:
        return [run["id"] for run in pages(up, f"{query}&limit=4")]

    def of(true: Callable[[Json], bool]) -> list[str]:
        return [run["id"] for run in full if true(run)]

    assert ids("flow=says") == of(lambda run: run["flow"] == "says")
    assert ids("flow=says,quick") == ids("flow=says&flow=quick") == of(lambda run: True)
    assert ids("flow=says&tag=t0") == of(lambda run: run["flow"] == "says" and "t0" in run["tags"])
    assert ids("tag=t0,t1") == of(lambda run: run["tags"][0] in ("t0", "t1"))
    assert ids("label=b") == of(lambda run: (run["label"] or "").lower() == "b")
    assert (
        ids("status=failed")
        == ids("status=running,waiting")
        == ids("asset=x")
        == ids("kind=BacktestRun")
        == []
    )
    assert ids("kind=run&created_by=" + full[0]["created_by"]) == of(lambda run: True)
    assert ids("created_by=user:nobody") == ids("owner=user:nobody") == []
    middle = full[11]["started_at"].replace("+", "%2b")
    assert ids(f"started_from={middle}") == of(lambda run: run["started_at"] >= full[11]["started_at"])
    assert ids(f"started_to={middle}") == of(lambda run: run["started_at"] <= full[11]["started_at"])
    assert ids("ended_from=2020-01-01&ended_to=2020-01-02") == []
    assert ids(f"q={full[3]['id']}") == [full[3]["id"]]
    assert ids("namespace=other") == []
    assert ids("namespace=*") == of(lambda run: True)


def test_totals_and_offsets(up: Up, full: list[Json]) -> None:
    page = up.get("/runs?limit=5&offset=10&total=true").json
    assert page["total"] == 24
    assert [run["id"] for run in page["runs"]] == [run["id"] for run in full[10:15]]
    assert "total" not in up.get("/runs").json
    assert up.get("/runs?status=failed&total=true").json == {
        "runs": [],
        "has_next": False,
        "next_cursor": None,
        "total": 0,
    }


def test_pages_of_a_log(up: Up, full: list[Json]) -> None:
    path = f"/runs/{full[0]['id']}/logs"
    whole = up.get(path).json["entries"]
    assert {name for entry in whole for name in entry} == {"time", "code", "description", "details"}
    found, cursor = [], ""
    while True:
        page = up.get(f"{path}?limit=1{cursor}").json
        found += page["entries"]
        if not page["has_next"]:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert found == whole
    assert up.get(f"{path}?limit=2&offset=1").json["entries"] == whole[1:3]


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_while_runs_are_inserted(own: Callable[..., Up], order: str) -> None:
    up = own()
    up.register(QUICK, SAYS)
    before = {up.run("quick")["id"] for _ in range(15)}
    stop = threading.Event()
    inserted: set[str] = set()

    def insert() -> None:
        while not stop.is_set():
            inserted.add(up.post("/flows/quick/runs").json["id"])

    thread = threading.Thread(target=insert)
    thread.start()
    try:
        for _ in range(3):
            found = []
            for run in pages(up, f"limit=2&order={order}"):
                found.append(run["id"])
                if len(found) > 200:
                    break
            assert len(found) == len(set(found))
            if order == "desc" or len(found) <= 200:
                assert before <= set(found)
            assert found == sorted(found, reverse=order == "desc")
    finally:
        stop.set()
        thread.join()
    assert inserted
    assert {run["id"] for run in pages(up, "limit=50")} == before | inserted
