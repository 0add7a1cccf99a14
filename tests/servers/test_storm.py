"""Two servers under load; each is killed once, and the database crashes twice."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.server.up import API
from tests.servers.pair import Pair, effects

CLIENTS = 6
RUNS = 40
"""For each client."""
REST_S = 2.0


class Client(threading.Thread):
    """Starts runs one after the other, and asks the other server if one does not answer."""

    def __init__(self, pair: Pair, number: int) -> None:
        super().__init__()
        self._urls = [pair.a.url, pair.b.url]
        self._number = number
        self.accepted: dict[str, str] = {}
        """Runs by their key."""
        self.refused: list[tuple[int, str]] = []

    def run(self) -> None:
        with httpx2.Client(timeout=30, trust_env=False) as http:
            for count in range(RUNS):
                key = f"{self._number}-{count}"
                while key not in self.accepted:
                    self._try(http, key, count % 7)

    def _try(self, http: httpx2.Client, key: str, nap: int) -> None:
        body = {"inputs": {"word": key, "nap": nap}}
        try:
            answer = http.post(
                f"{self._urls[0]}{API}/flows/storm/runs", json=body, headers={"idempotency-key": key}
            )
        except httpx2.HTTPError:
            answer = None
        if answer is not None and answer.status_code in (200, 201, 202):
            self.accepted[key] = answer.json()["id"]
            return
        if answer is not None:
            self.refused.append((answer.status_code, answer.text))
        self._urls.reverse()
        time.sleep(0.1)


def storm(log: Path) -> Any:
    say = f'"$word" >> {log}'
    words = {"word": "${{ inputs.word }}", "nap": "${{ inputs.nap }}"}
    return {
        "flow": "storm",
        "inputs": {"word": {"type": "string"}, "nap": {"type": "integer"}},
        "steps": {
            "a": {"run": f"echo a {say}; sleep 0.$nap; echo A {say}", "with": words},
            "b": {"run": f"echo b {say}", "needs": ["a"], "with": words},
        },
    }


@pytest.mark.slow
def test_nothing_is_lost_and_nothing_is_doubled(own: Callable[..., Pair]) -> None:
    pair = own().start()
    log = pair.folder / "effects"
    pair.a.register(storm(log))
    clients = [Client(pair, number) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    for server in (pair.a, pair.b):
        time.sleep(REST_S)
        server.kill()
        time.sleep(REST_S)
        pair.postgres.restart("immediate")
        time.sleep(REST_S)
        server.start()
    for client in clients:
        client.join()

    accepted = {key: run for client in clients for key, run in client.accepted.items()}
    assert len(accepted) == len(set(accepted.values())) == CLIENTS * RUNS
    refused = {status for client in clients for status, _ in client.refused}
    assert refused <= {503}, [client.refused for client in clients]
    for run in accepted.values():
        assert pair.a.over(run)["status"] == "success"
    (found,) = pair.tell("SELECT count(*), count(DISTINCT server) FROM runs")
    assert found[0] == len(accepted)  # none that nobody was told of
    assert effects(log) == {f"{step} {key}": 1 for step in "aAb" for key in accepted}
