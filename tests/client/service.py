"""A real server in a process of its own, which can be killed and started again on the same home and port."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from runnotary.client import Client
from runnotary.core.errors import RunnotaryError
from tests.database import outer

PATIENCE = 60.0


class Server:
    """`runnotary up` on a home; `url` stays the same over restarts."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and return when it accepts runs."""
        self.launch()
        deadline = time.monotonic() + PATIENCE
        with Client(self.url, timeout=1) as client:
            while True:
                try:
                    client.health()
                    return
                except RunnotaryError:
                    if self._process is None or self._process.poll() is not None:
                        raise RuntimeError(f"`up` ended:\n{self.said()}") from None
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.05)

    def launch(self) -> None:
        """Start it, and do not wait."""
        command = [sys.executable, "-m", "runnotary", "up", "--home", self.home, "--port", str(self.port)]
        env = outer()
        with (self.home.parent / "up.log").open("ab") as log:
            self._process = subprocess.Popen(
                command, cwd=self.home.parent, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def said(self) -> str:
        return (self.home.parent / "up.log").read_text()

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End it as an operator would."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(PATIENCE)
            self._process = None


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
