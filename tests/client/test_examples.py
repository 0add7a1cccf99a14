"""Every example of operating runs is run as it stands, against a server and on a home."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runnotary import Client
from tests.client.service import Server
from tests.database import ENVIRON

FOLDER = Path(__file__).parents[2] / "examples" / "operations"
ID = r"[0-9A-Z]{26}"
TIME = r"[0-9-]{10}T[0-9:.]+Z"
ENTRY = rf"\[{TIME}\] \w[\w.]*: .+"


class Place:
    """Where the examples work: a server, or a home that each opens for itself."""

    def __init__(self, folder: Path, server: Server | None) -> None:
        self.folder = folder
        self.server = server
        self.env = {"PATH": os.environ["PATH"], "HOME": str(folder)} | ENVIRON
        if server is not None:
            self.env["RUNNOTARY_URL"] = server.url
        else:
            self.env["RUNNOTARY_HOME"] = str(folder / "home")

    def client(self) -> Client:
        return Client(self.server.url) if self.server else Client(home=self.folder / "home")

    def start(self, *, wait: bool = True, **inputs: Any) -> str:
        """Start a run for an example to work with; a home goes on with it when the example opens it."""
        with self.client() as client:
            run = client.run_flow("processing", inputs, label="Processing", wait=wait)
            return run.id

    def run(self, name: str, *args: str, status: int = 0) -> str:
        command = [sys.executable, "-W", "error", FOLDER / f"{name}.py", *args]
        done = subprocess.run(
            command, cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=120, check=False
        )
        assert done.returncode == status, done.stderr
        return done.stdout if status == 0 else done.stderr


@pytest.fixture(scope="module", params=["http", "home"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("examples")
    server = Server(folder / "home") if request.param == "http" else None
    if server:
        server.start()
    made = Place(folder, server)
    with made.client() as client:
        client.register_flow(FOLDER / "processing.yaml")
    yield made
    if server:
        server.stop()


def matches(pattern: str, text: str) -> bool:
    """Tell whether every line of the pattern is found in the text, in this order."""
    found = re.search(r"^.*?" + r"\n(?:.*\n)*?".join(pattern.strip().splitlines()), text)
    return found is not None


def test_run_a_flow(place: Place) -> None:
    assert re.fullmatch(rf"Flow run started: {ID} \(Status: \w+\)\n", place.run("run_a_flow"))
    with place.client() as client:
        run = client.get_run("@latest")
    assert re.fullmatch(r"Processing Job \d{4}-\d\d-\d\d", run.label or "")
    assert run.managers == ["user:admin@example.com", "group:admin-group-id"]
    assert (run.status, run.outputs) == ("success", {"moved": "/path/to/destination/file.txt"})


def test_list_runs(place: Place) -> None:
    run_id = place.start()
    printed = place.run("list_runs")
    assert f"Run: {run_id} (Status: success)\n  Started: " in printed
    assert re.search(r"^Total runs: [1-9]\d*\nHas next page: False\nCursor: None$", printed, re.M)
    assert re.search(r"^Retrieved [1-9]\d* runs$", printed, re.M)


def test_get_a_run(place: Place) -> None:
    run_id = place.start()
    wanted = (
        rf"Run: {run_id}\nFlow: Processing \({ID}\)\nStatus: success\nStarted: {TIME}\nEnded: {TIME}\n"
        r"Run succeeded with output:\n  moved: /path/to/destination/file.txt\n"
    )
    assert re.fullmatch(wanted, place.run("get_a_run", run_id))
    assert place.run("get_a_run", "01KA0000000000000000000000", status=1) == "Run not found\n"


def test_update_a_run(place: Place) -> None:
    run_id = place.start()
    assert place.run("update_a_run", run_id) == (
        f"Updated run: {run_id}\nNew label: Updated Processing Job\n"
        "New tags: ['important', 'processing', 'updated']\n"
    )


def test_cancel_a_run(place: Place) -> None:
    run_id = place.start(wait=False, seconds=600)
    assert place.run("cancel_a_run", run_id) == "Cancellation requested\nRun is now cancelled\n"
    assert "Nothing to cancel" in place.run("cancel_a_run", place.start(), status=1)
    assert place.run("cancel_a_run", "01KA0000000000000000000000", status=1) == "Run not found\n"


def test_get_run_logs(place: Place) -> None:
    lines = place.run("get_run_logs", place.start()).splitlines()
    count = len(lines) // 2 - 1
    assert lines[0] == lines[-1] == f"Retrieved {count} log entries"
    assert lines[1 : count + 1] == lines[count + 1 : -1]
    assert all(re.fullmatch(ENTRY, line) for line in lines[1:-1])


def test_wait_for_a_run(place: Place) -> None:
    run_id = place.start(wait=False, seconds=1)
    assert place.run("wait_for_a_run", run_id) == (
        "Run completed with status: success\nOutput: {'moved': '/path/to/destination/file.txt'}\n"
    )


def test_monitor_a_run(place: Place) -> None:
    printed = place.run("monitor_a_run", place.start(wait=False, seconds=1))
    assert printed.startswith("Run status: ")
    assert re.search(rf"^Log entries:\n{ENTRY}$", printed, re.M)
    assert printed.endswith(
        "Run status: success\nRun is no longer active\n"
        "Run succeeded with output:\n  moved: /path/to/destination/file.txt\n"
    )


def test_follow_a_run(place: Place) -> None:
    lines = place.run("follow_a_run", place.start(wait=False, seconds=1)).splitlines()
    assert [line.split()[1] for line in lines[:-1]] == [str(number) for number in range(1, len(lines))]
    assert lines[-2].endswith("run.finished")
    assert lines[-1] == "Run completed with status: success"


def test_start_and_wait(place: Place) -> None:
    wanted = rf"Flow run started: {ID}\nRun succeeded with output:\n  moved: /path/to/destination/file.txt\n"
    assert re.fullmatch(wanted, place.run("start_and_wait"))


def test_start_many(place: Place) -> None:
    wanted = (
        rf"Started 4 runs\nRun 1 started: {ID}\nRun 2 started: {ID}\nRun 3 started: {ID}\n"
        r"Error starting run 4: invalid_run_input: .*seconds.*"
    )
    assert re.match(wanted, place.run("start_many"))


def test_monitor_many(place: Place) -> None:
    ids = [place.start(), place.start(wait=False, seconds=1)]
    printed = place.run("monitor_many", *ids)
    for run_id in ids:
        assert re.search(rf"^Run {run_id} status changed: \w+ -> success$", printed, re.M)
    assert printed.endswith("Progress: 2/2 runs completed\nAll runs completed!\n")


def test_cancel_many(place: Place) -> None:
    open_id, over = place.start(wait=False, seconds=600), place.start()
    printed = place.run("cancel_many", open_id, over)
    assert f"Run {open_id} is being cancelled\nError canceling run {over}: " in printed
    assert printed.endswith(f"Run {open_id} is cancelled\n")


def test_clean_up(place: Place) -> None:
    assert place.run("clean_up") == "0 runs would be archived\nArchived 0 runs\n"
    place.start()
    first, second = place.run("clean_up", "0s").splitlines()
    count = int(first.split()[0])
    assert count >= 1
    assert second == f"Archived {count} runs"


def test_every_example_is_tested() -> None:
    tested = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    assert {path.stem for path in FOLDER.glob("*.py")} <= tested
    listed = set(re.findall(r"^\| \[(\w+)\.py\]", (FOLDER / "README.md").read_text(), re.M))
    assert listed == {path.stem for path in FOLDER.glob("*.py")}
