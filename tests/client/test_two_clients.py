"""Two clients that cancel, change and wait for the same runs at once see one history."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

import runnotary
from runnotary import AlreadyEnded, AsyncClient, Client

RUNS = 200
NAMES = ("ana", "ben")


def use(client: Client, name: str, ids: list[str]) -> dict[str, Any]:
    """Change every run, ask for the end of every run, wait for every run."""
    updated = client.batch_update_runs([{"id": one, "label": name, "tags": [name]} for one in ids])
    half = ids[: RUNS // 2] if name == "ana" else ids[RUNS // 2 :]
    other = [one for one in ids if one not in set(half)]
    cancelled = client.batch_cancel_runs([*half, *other], reason=name)
    ended = {one: client.wait_for_run(one, 1, timeout=120) for one in ids}
    return {"updated": updated.results, "cancelled": cancelled.results, "ended": ended}


async def use_at_once(client: AsyncClient, name: str, ids: list[str]) -> dict[str, Any]:
    """The same, with everything at once."""

    async def cancel(one: str) -> Any:
        try:
            return await client.cancel_run(one, reason=name)
        except AlreadyEnded as error:
            return error

    changes = [client.update_run(one, label=name, tags=[name]) for one in ids]
    updated = await asyncio.gather(*changes)
    cancelled = await asyncio.gather(*(cancel(one) for one in ids))
    waited = await asyncio.gather(*(client.wait_for_run(one, 1, timeout=120) for one in ids))
    return {"updated": updated, "cancelled": cancelled, "ended": dict(zip(ids, waited, strict=True))}


@pytest.mark.slow
def test_two_clients_at_once_see_one_history(
    kind: str, place: dict[str, Any], tmp_path: Path, word: str
) -> None:
    gate = tmp_path / "gate"
    with Client(**place) as client:
        wanted = [
            {"flow": "gated", "inputs": {"gate": str(gate)}, "labels": {"test": word}}
            if number % 2
            else {"flow": "double", "inputs": {"n": number}, "labels": {"test": word}}
            for number in range(RUNS)
        ]
        ids = [str(one.run_id) for one in client.batch_run_flows(wanted)]
        if kind == "sync":
            with Client(**place) as first, Client(**place) as second, ThreadPoolExecutor(2) as pool:
                pair = zip((first, second), NAMES, strict=True)
                seen = [each.result() for each in [pool.submit(use, one, name, ids) for one, name in pair]]
        else:
            seen = asyncio.run(both_at_once(place, ids))
        ana, ben = (one["ended"] for one in seen)
        for number, one in enumerate(ids):
            check_history(client, one, {ana[one].status, ben[one].status}, doubled=number % 2 == 0)
        assert len({run.id for run in client.list_all_runs() if run.labels.get("test") == word}) == RUNS


async def both_at_once(place: dict[str, Any], ids: list[str]) -> list[dict[str, Any]]:
    async with runnotary.AsyncClient(**place) as first, runnotary.AsyncClient(**place) as second:
        pair = zip((first, second), NAMES, strict=True)
        return list(await asyncio.gather(*(use_at_once(one, name, ids) for one, name in pair)))


def check_history(client: Client, run_id: str, statuses: set[str], *, doubled: bool) -> None:
    """Both saw the same end, which is that of the record; what each of them did is there, in one order."""
    run = client.get_run(run_id)
    assert statuses == {run.status}
    assert run.status == "cancelled" or (doubled and run.status == "success")
    assert run.tags == [run.label]
    events = client.run_audit(run_id)
    assert [one["seq"] for one in events] == list(range(1, run.log.events + 1))
    kinds = [one["type"] for one in events]
    assert kinds.count("run.finished") == 1
    updates = [one["details"] for one in events if one["type"] == "run.updated"]
    assert run.label == updates[-1]["set"]["label"]
    assert {one["set"]["label"] for one in updates} == set(NAMES)
    for before, after in pairwise(updates):
        assert after["was"]["label"] == before["set"]["label"]
