"""A hundred thousand events by eight writers in two processes: one log without a gap or a fork."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runnotary.client import Client
from tests.client.service import Server
from tests.database import outer

Json = Any
EVENTS = 100_000
PROCESSES, THREADS, RUNS = 2, 4, 125
RUNS_IN_ALL = PROCESSES * THREADS * RUNS
STEPS = 100  # one event for each, besides that of the beginning and that of the end
MEMORY = 96 * 1024  # KiB, of a process that verifies; most of it is the interpreter
PATIENCE = 300.0

FLOW: Json = {
    "flow": "many",
    "steps": {
        f"s{number}": {"set": {"n": str(number)}} | ({"needs": [f"s{number - 1}"]} if number else {})
        for number in range(STEPS)
    },
}

WRITES = """
import sys
from concurrent.futures import ThreadPoolExecutor
from runnotary.client import Client

url, threads, runs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

def write(_):
    with Client(url) as client:
        return [client.run_flow("many", wait=True).status for _ in range(runs)]

with ThreadPoolExecutor(threads) as pool:
    ended = [status for one in pool.map(write, range(threads)) for status in one]
assert ended == ["success"] * threads * runs, ended
"""

VERIFIES = """
import json, sys
from runnotary.app.stores import record_of
from runnotary.config import load
from runnotary.store.verify import verify

report = verify(record_of(load({"home": sys.argv[1]})))
(most,) = [line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM")]
print(json.dumps({"findings": list(map(str, report.findings)), "checked": report.checked, "most": int(most)}))
"""


@pytest.mark.slow
def test_what_eight_writers_in_two_processes_write_is_one_log(tmp_path: Path) -> None:
    server = Server(tmp_path / "home")
    server.start()
    writing: list[subprocess.Popen[bytes]] = []
    try:
        with Client(server.url, timeout=PATIENCE) as client:
            client.register_flow(FLOW)
            command = [sys.executable, "-c", WRITES, server.url, str(THREADS), str(RUNS)]
            writing = [subprocess.Popen(command) for _ in range(PROCESSES)]
            beside = []
            while any(one.poll() is None for one in writing):
                beside.append(client.verify())
            assert [one.wait() for one in writing] == [0] * PROCESSES
    finally:
        for one in writing:
            one.kill()
        server.stop()
    assert [one["findings"] for one in beside if not one["ok"]] == []
    assert any(0 < one["checked"].get("runs", 0) < RUNS_IN_ALL for one in beside), "they were writing"
    said = subprocess.run(
        [sys.executable, "-c", VERIFIES, server.home],
        env=outer(),
        capture_output=True,
        check=True,
        timeout=PATIENCE,
    )
    report = json.loads(said.stdout)
    checked = report["checked"]
    assert report["findings"] == []
    assert checked["runs"] == RUNS_IN_ALL and checked["tasks"] == RUNS_IN_ALL * STEPS
    assert checked["events"] >= EVENTS
    assert report["most"] < MEMORY
