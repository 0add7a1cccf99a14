"""Two servers under load; each is killed once, and the database crashes twice."""

from __future__ import annotations

import itertools
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
REST_S = 2.0


class Client(threading.Thread):
    """Starts runs one after the other, and asks the other server if one does not answer."""

    def __init__(self, pair: Pair, number: int, over: threading.Event) -> None:
        super().__init__()
        self._over = over
        self._urls = [pair.a.url, pair.b.url]
        self._number = number
        self.accepted: dict[str, str] = {}
        """Runs by their key."""
        self.refused: list[tuple[int, str]] = []

    def run(self) -> None:
        with httpx2.Client(timeout=30, trust_env=False) as http:
            for count in itertools.takewhile(lambda _: not self._over.is_set(), itertools.count()):
                key = f"{self._number}-{count}"
                said = {"inputs": {"word": key, "nap": count % 7}}
                run = self._ask(http, "POST", "/flows/storm/runs", said, {"idempotency-key": key})["id"]
                self.accepted[key] = run
                self._urls.reverse()  # the other one is told more of it
                self._ask(http, "PATCH", f"/runs/{run}", {"label": f"label of {key}"}, {})

    def _ask(self, http: httpx2.Client, verb: str, path: str, said: Any, headers: dict[str, str]) -> Any:
        """Ask one server or the other until one says yes."""
        while True:
            try:
                answer = http.request(verb, self._urls[0] + API + path, json=said, headers=headers)
                if answer.status_code in (200, 201, 202):
                    return answer.json()
                self.refused.append((answer.status_code, answer.text))
            except httpx2.HTTPError:
                pass  # it was killed
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
    pair = own(lease=12).start()  # a busy machine is no reason to be given up
    log = pair.folder / "effects"
    pair.a.register(storm(log))
    over = threading.Event()
    clients = [Client(pair, number, over) for number in range(CLIENTS)]
    for client in clients:
        client.start()
    for server in (pair.a, pair.b):
        time.sleep(REST_S)
        server.kill()
        time.sleep(REST_S)
        pair.postgres.restart("immediate")
        time.sleep(REST_S)
        server.start()
    time.sleep(REST_S)
    over.set()
    for client in clients:
        client.join()

    accepted = {key: run for client in clients for key, run in client.accepted.items()}
    assert len(accepted) == len(set(accepted.values())) > CLIENTS
    refused = {status for client in clients for status, _ in client.refused}
    assert refused <= {503}, [client.refused for client in clients]
    for key, run in accepted.items():
        done = pair.a.over(run)
        assert (done["status"], done["label"]) == ("success", f"label of {key}")
    (found,) = pair.tell("SELECT count(*), count(DISTINCT server) FROM runs")
    assert found[0] == len(accepted)  # none that nobody was told of
    assert effects(log) == {f"{step} {key}": 1 for step in "aAb" for key in accepted}
