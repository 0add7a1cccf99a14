"""Servers on one database: real processes, in one folder, that can be killed, paused and started again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, Final

from tests.postgres import Postgres
from tests.server.up import PATIENCE_S, Json, Reply, Up, until

LEASE_S: Final = 3


class Server(Up):
    """One of several servers; its folder is its own, home and database are shared."""

    def __init__(self, folder: Path, home: Path, settings: dict[str, Any]) -> None:
        super().__init__(folder, **settings)
        self.home = home

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def close(self) -> None:
        if self._process is not None:
            self.signal(signal.SIGCONT)
        try:
            self.stop()
        finally:
            self.kill()
            self._http.close()

    def start_run(self, flow: str, inputs: Json = None, **words: Any) -> str:
        """Start a run; return its id."""
        reply = self.post(f"/flows/{flow}/runs", {"inputs": inputs} if inputs else {}, **words)
        assert reply.status in (200, 201, 202), reply
        return str(reply.json["id"])

    def document(self, run: str) -> Json:
        reply = self.get(f"/runs/{run}")
        assert reply.status == 200, reply
        return reply.json

    def over(self, run: str) -> Json:
        """Wait for the end of a run, as this server sees it."""
        return until(lambda: self._if_over(run), f"the end of {run}")

    def _if_over(self, run: str) -> Json:
        reply = self.get(f"/runs/{run}", headers={"prefer": "wait=5"})
        assert reply.status == 200, reply
        return reply.json if reply.json["ended_at"] else None

    def running(self, run: str, task: str) -> Json:
        """Wait until a task of a run is under way."""
        return until(lambda: self._task(run, task, "running"), f"{task} of {run}")

    def _task(self, run: str, task: str, status: str) -> Json:
        reply = self.get(f"/runs/{run}/tasks/{task}")
        return reply.json if reply.status == 200 and reply.json["status"] == status else None

    def facts(self, run: str) -> list[tuple[str, Json]]:
        """Return type and details of every event of a run that is over, from its feed."""
        return [(kind, data.get("details")) for _, kind, data in self.events(f"/runs/{run}/events")]


class Pair:
    """A database, the folder that its servers share, and two servers, `a` and `b`."""

    def __init__(self, folder: Path, postgres: Postgres, **settings: Any) -> None:
        self.folder: Final = folder
        self.home: Final = folder / "home"
        self.postgres: Final = postgres
        self.url: Final = postgres.fresh()
        self.settings: Final = {"database_url": self.url, "lease": LEASE_S, "slots": 8} | settings
        self.a: Final = self.server("a")
        self.b: Final = self.server("b")

    def server(self, name: str) -> Server:
        return Server(self.folder / name, self.home, self.settings)

    def start(self) -> Pair:
        self.a.start()
        self.b.start()
        return self

    @property
    def environ(self) -> dict[str, str]:
        """The environment of a command that works on the record itself."""
        env = {name: value for name, value in os.environ.items() if not name.startswith("RUNNOTARY_")}
        said = {f"RUNNOTARY_{name.upper()}": str(value) for name, value in self.settings.items()}
        return env | said | {"RUNNOTARY_HOME": str(self.home)}

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "runnotary", *words],
            cwd=self.folder,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            check=False,
        )

    def tell(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the database, past the product."""
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(sql.encode()).fetchall()

    def check(self) -> None:
        """Verify the record with every byte of it."""
        done = self.command("verify", "--deep")
        assert done.returncode == 0, done.stdout + done.stderr

    def close(self) -> None:
        try:
            self.a.close()
        finally:
            self.b.close()
        self.check()


def effects(path: Path) -> Counter[str]:
    """Return how often each line stands in a file that steps write to."""
    return Counter(path.read_text().splitlines()) if path.exists() else Counter()


def problem(reply: Reply) -> tuple[int, str, str]:
    """Return status, code and hint of a refusal, whose form is checked on the way."""
    return reply.status, reply.code, json.loads(reply.body).get("hint", "")
