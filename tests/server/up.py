"""A real server in a process of its own, that can be killed and started again on the same home and port."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from tests.database import outer

Json = Any
API = "/api/v1"
PATIENCE_S = 60.0

QUICK: Json = {"flow": "quick", "steps": {"a": {"run": ["true"]}}}
SAYS: Json = {
    "flow": "says",
    "inputs": {"word": {"type": "string", "default": "hello"}},
    "steps": {
        "say": {
            "run": 'echo "$word"; echo oops >&2; echo "$word" > out.txt',
            "with": {"word": "${{ inputs.word }}"},
            "files": ["out.txt"],
        },
        "then": {"run": "echo two", "needs": ["say"]},
    },
    "outputs": {"text": "${{ steps.say.files['out.txt'] }}"},
}


def waits_for(path: Path) -> Json:
    """A flow that runs until a file is there."""
    wait = f"for i in {{1..3000}}; do [ -e {path} ] && break; sleep 0.02; done"
    return {
        "flow": "waits",
        "steps": {
            # It ends by itself: a server that is killed in a test leaves it behind.
            "one": {"run": f"echo begun; {wait}; echo done"},
            "two": {"run": "true", "needs": ["one"]},
        },
    }


@dataclass(frozen=True)
class Reply:
    status: int
    headers: httpx2.Headers
    body: bytes

    @property
    def json(self) -> Json:
        return json.loads(self.body)

    @property
    def code(self) -> str:
        """The code of a problem, whose form is checked on the way."""
        assert self.headers["content-type"] == "application/problem+json", self
        assert self.json["status"] == self.status
        assert set(self.json) <= {"type", "title", "status", "code", "detail", "hint", "problems"}
        return str(self.json["code"])


class Up:
    """`runnotary up` on a home. Names of settings are keywords."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.home = folder / "home"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._settings: dict[str, str] = {}
        self.set(**settings)
        self._process: subprocess.Popen[str] | None = None
        self._http = httpx2.Client(base_url=self.url, timeout=PATIENCE_S, trust_env=False)
        self.token = ""

    # --- the process -----------------------------------------------------------------------------

    def set(self, **settings: Any) -> Up:
        """Change settings, for the next start."""
        self._settings |= {f"RUNNOTARY_{name.upper()}": str(value) for name, value in settings.items()}
        return self

    def start(self, address: str = "") -> Up:
        env = outer()
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "stderr").open("a") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "runnotary", "up", "--home", self.home, "--port", str(self.port)],
                cwd=self.folder,
                env=env | self._settings,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        self.said = [self._process.stdout.readline() for _ in range(4)]
        assert self.said[0].strip() == (address or self.url), (self.folder / "stderr").read_text()
        return self

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> int:
        """End it as an operator would; return its exit status."""
        return self._end(signal.SIGTERM)

    def signal(self, number: signal.Signals) -> subprocess.Popen[str]:
        assert self._process is not None
        self._process.send_signal(number)
        return self._process

    def _end(self, how: signal.Signals) -> int:
        if self._process is None:
            return 0
        process, self._process = self._process, None
        process.send_signal(how)
        assert process.stdout is not None
        process.stdout.close()
        return process.wait(PATIENCE_S)

    def close(self) -> None:
        self._end(signal.SIGTERM)
        self._http.close()
        command = [sys.executable, "-m", "runnotary", "verify", "--deep", "--home", self.home]
        checked = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
        assert checked.returncode == 0, checked.stdout + checked.stderr

    # --- requests --------------------------------------------------------------------------------

    def ask(
        self,
        verb: str,
        path: str,
        body: Json = None,
        *,
        token: str | None = None,
        headers: dict[str, str] | None = None,
        content: bytes | None = None,
        api: str = API,
    ) -> Reply:
        told = {"user-agent": "tests/1"} | (headers or {})
        credentials = self.token if token is None else token
        if credentials:
            told["authorization"] = f"Bearer {credentials}"
        if body is not None:
            content = json.dumps(body).encode()
            told.setdefault("content-type", "application/json")
        answer = self._http.request(verb, api + path, headers=told, content=content)
        return Reply(answer.status_code, answer.headers, answer.content)

    def get(self, path: str, **words: Any) -> Reply:
        return self.ask("GET", path, **words)

    def post(self, path: str, body: Json = None, **words: Any) -> Reply:
        return self.ask("POST", path, {} if body is None else body, **words)

    def register(self, *flows: Json, **words: Any) -> None:
        for flow in flows:
            reply = self.post("/flows", {"definition": flow}, **words)
            assert reply.status == 201, reply

    def run(self, flow: str, body: Json = None, **words: Any) -> Json:
        """Start a run and wait for its end."""
        headers = {"prefer": "wait=60"}
        reply = self.post(f"/flows/{flow}/runs", body, headers=headers, **words)
        assert reply.status == 200, reply
        return reply.json

    def raw(self, data: bytes) -> bytes:
        """Send bytes as they are, and return what comes back until the server hangs up."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S) as connection:
            connection.sendall(data)
            received = b""
            with contextlib.suppress(ConnectionError):
                while piece := connection.recv(65536):
                    received += piece
            return received

    def events(self, path: str, last: str = "", token: str = "") -> Iterator[tuple[str, str, Json]]:
        """Yield (id, type, data) of a feed until it ends or breaks off."""
        headers = {"last-event-id": last} if last else {}
        if token or self.token:
            headers["authorization"] = f"Bearer {token or self.token}"
        with (
            httpx2.Client(base_url=self.url, timeout=PATIENCE_S, trust_env=False) as http,
            http.stream("GET", API + path, headers=headers) as answer,
        ):
            if answer.status_code != 200:
                answer.read()
                raise AssertionError(f"{answer.status_code} {answer.text}")
            words: dict[str, str] = {}
            for line in answer.iter_lines():
                if line:
                    name, _, value = line.partition(": ")
                    words[name] = value
                elif "event" in words:
                    yield words.get("id", ""), words["event"], json.loads(words["data"])
                    words = {}
                else:
                    words = {}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(true: Callable[[], Any], what: str = "it") -> Any:
    """Wait until something holds, and return it."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := true()):
        assert time.monotonic() < deadline, f"{what} never came"
        time.sleep(0.02)
    return found
