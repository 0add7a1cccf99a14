"""Processes that work when they are told to: servers of one database, and other engines.

Each reads numbers from its input, a line each, does that much, and answers with a line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Final

from bench import flows
from bench.rig import shared

Json = Any
PATIENCE_S: Final = 60


class Member:
    """A process of the crew."""

    def __init__(self, process: subprocess.Popen[str], said: IO[str]) -> None:
        self._process: Final = process
        self._said: Final = said

    def begin(self, number: int) -> None:
        """Let it do this much; `done` waits."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{number}\n")
        self._process.stdin.flush()

    def done(self) -> Json:
        """Return what it answers.

        Raises:
            RuntimeError: it ended instead.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.wait(PATIENCE_S)
            self._said.seek(0)
            raise RuntimeError(f"ended: {self._said.read().strip().splitlines()[-1:]}")
        return json.loads(line)

    def do(self, number: int) -> Json:
        """Let it do this much, and wait."""
        self.begin(number)
        return self.done()


@contextmanager
def member(command: Sequence[str], said: Path) -> Iterator[Member]:
    """Start a process of the crew; what it says besides answers goes into the file `said`."""
    with said.open("w+") as errors:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        try:
            yield Member(process, errors)
        finally:
            try:
                process.communicate(timeout=PATIENCE_S)
            finally:
                process.kill()
                process.wait()


def server(home: Path, url: str) -> list[str]:
    """Return the command of a server of a database."""
    return [sys.executable, "-m", "bench.crew", str(home), url]


async def _serve(home: Path, url: str) -> None:
    async with shared(home, url) as place:
        flow = place.keep(flows.ONE_SET)
        while number := int(await asyncio.to_thread(sys.stdin.readline) or 0):
            print(json.dumps(await place.took(flow, number)), flush=True)


if __name__ == "__main__":
    asyncio.run(_serve(Path(sys.argv[1]), sys.argv[2]))
