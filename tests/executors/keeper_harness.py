"""A keeper of one's own, and a plain blocking client for it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from runnotary.executors import attempt_record, containment

SCRIPT = Path(attempt_record.__file__).with_name("keeper.py")
PATIENCE = 30.0
ENVIRONMENT = {"PATH": os.environ["PATH"]}


def eventually(check: Callable[[], Any], what: str = "") -> Any:
    """The first true answer, within a generous time."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if answer := check():
            return answer
        time.sleep(0.005)
    raise AssertionError(f"did not happen: {what or check}")


class Client:
    """One connection."""

    def __init__(self, path: Path, versions: list[int] | None = None) -> None:
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(PATIENCE)
        try:
            self.socket.connect(str(path))
        except OSError:
            self.socket.close()
            raise
        self._lines = self.socket.makefile("rb")
        self._number = 0
        self.notices: list[str] = []
        self.welcome = self.ask("hello", versions=versions or [1])

    def hear(self) -> dict[str, Any]:
        line = self._lines.readline()
        if not line:
            raise EOFError
        message: dict[str, Any] = json.loads(line)
        return message

    def say(self, operation: str, **fields: Any) -> None:
        """Sends a quiet request."""
        line = json.dumps({"op": operation, "quiet": True, **fields})
        self.socket.sendall(line.encode() + b"\n")

    def ask(self, operation: str, **fields: Any) -> dict[str, Any]:
        self._number += 1
        self.socket.sendall(json.dumps({"op": operation, "id": self._number, **fields}).encode() + b"\n")
        while (message := self.hear()).get("id") != self._number:
            self.notices.append(message["attempt"])
        return message

    def notice(self) -> str:
        return self.notices.pop(0) if self.notices else str(self.hear()["attempt"])

    def close(self) -> None:
        self._lines.close()
        self.socket.close()


class Keeper:
    """A keeper process with its folder."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.attempts = folder / "attempts"
        self.attempts.mkdir(exist_ok=True)
        self.socket = folder / "socket"
        self.log = folder / "keeper.log"
        self.options = options
        self.processes: list[subprocess.Popen[bytes]] = []
        self.clients: list[Client] = []
        self.process = self.launch()
        self.client = self.connect()

    def launch(self) -> subprocess.Popen[bytes]:
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", SCRIPT, self.attempts, self.socket, *self.options],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        self.processes.append(process)
        return process

    def connect(self, versions: list[int] | None = None) -> Client:
        def attempt() -> Client | None:
            try:
                return Client(self.socket, versions)
            except (FileNotFoundError, ConnectionRefusedError):
                assert self.process.poll() is None, self.log.read_text()
                return None

        client: Client = eventually(attempt, "a connection")
        self.clients.append(client)
        return client

    def folder(self, name: str) -> Path:
        folder = self.attempts / name
        (folder / "work").mkdir(parents=True, exist_ok=True)
        return folder

    def start(self, name: str, script: str, **fields: Any) -> dict[str, Any]:
        """Starts a shell script as an attempt."""
        self.folder(name)
        fields = {"argv": ["sh", "-c", script], "env": ENVIRONMENT, **fields}
        return self.client.ask("start", attempt=name, **fields)

    def record(self, name: str) -> attempt_record.Record:
        return attempt_record.read(self.attempts / name / "record")

    def ended(self, name: str) -> attempt_record.Record:
        """The record, once the notice has come."""
        assert self.client.notice() == name
        record = self.record(name)
        assert record.state == attempt_record.EXITED
        return record

    def output(self, name: str) -> bytes:
        return (self.attempts / name / "stdout").read_bytes()

    def pid_from(self, name: str, file: str) -> int:
        """A process number that the attempt writes into its working directory."""
        path = self.attempts / name / "work" / file
        return int(eventually(lambda: path.exists() and path.read_text().strip(), f"{file} of {name}"))

    def tear_down(self) -> None:
        for client in self.clients:
            client.close()
        for process in self.processes:
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(PATIENCE)
                except subprocess.TimeoutExpired:
                    process.kill()
                    process.wait()
        while left := self.left():
            for process in left:
                containment.send(process, signal.SIGKILL)
            time.sleep(0.01)

    def left(self) -> list[containment.Process]:
        """What works in this keeper's folders: other tests, in other processes, use the same attempt ids."""
        attempts = os.path.realpath(self.attempts)
        return [
            process
            for process in containment.table().values()
            if not process.dead and containment.attempt_of_directory(process.pid, attempts)
        ]


def alive(pid: int) -> bool:
    process = containment.look(pid)
    return process is not None and not process.dead
