"""A server to measure: `runnotary up` in a process of its own, and a client that costs less than it does."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

Json = Any
CONSTANT: Final = "bench.constant"
PRODUCT: Final = "runnotary"
PATIENCE_S: Final = 60
MIB: Final = 1 << 20


class Server:
    """A server that answers; `token` is one that may do everything."""

    def __init__(self, process: subprocess.Popen[str], port: int, token: str) -> None:
        self._process = process
        self.port: Final = port
        self._token: Final = token

    def request(self, verb: str, path: str, body: bytes = b"") -> bytes:
        """The bytes of a request under `/api/v1`."""
        lines = [
            f"{verb} /api/v1{path} HTTP/1.1",
            f"Host: 127.0.0.1:{self.port}",
            f"Authorization: Bearer {self._token}",
            *([f"Content-Length: {len(body)}", "Content-Type: application/json"] if body else []),
        ]
        return "\r\n".join([*lines, "", ""]).encode() + body

    def ask(self, verb: str, path: str, body: Json = None) -> Json:
        """Ask once, and return the document.

        Raises:
            urllib.error.HTTPError: it was refused.
        """
        asked = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/api/v1{path}",
            method=verb,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self._token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(asked, timeout=PATIENCE_S) as answer:
            return json.loads(answer.read())

    def largest(self) -> float:
        """The most memory that it ever held, in MiB."""
        said = Path(f"/proc/{self._process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", said)
        assert found is not None
        return int(found[1]) * 1024 / MIB


@contextmanager
def serving(home: Path, token: str, module: str = PRODUCT) -> Iterator[Server]:
    """Serve a home on a free port until the block ends."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("RUNNOTARY_")}
    process = subprocess.Popen(
        [sys.executable, "-m", module, "up", "--home", str(home), "--port", "0", "--log-level", "error"],
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        port = re.search(r":(\d+)$", said.strip())
        assert port is not None, said
        yield Server(process, int(port[1]), token)
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE_S)


def let_in(home: Path) -> str:
    """Make a token of an admin of a home, so that a server of it asks everybody who they are."""
    made = _said(home, "token", "create", "service:bench", "-o", "json")
    _said(home, "namespace", "grant", "*", "service:bench", "admin")
    return str(json.loads(made)["secret"])


def _said(home: Path, *words: str) -> str:
    command = [sys.executable, "-m", PRODUCT, *words, "--home", str(home)]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
