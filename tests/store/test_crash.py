"""kill -9 in the middle of work: what was acknowledged is there, and the record is whole."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runnotary.core import chain
from runnotary.store.log import SqliteStore
from runnotary.store.verify import verify
from tests.store.history import flow_of, open_store, run_id

ROOT = Path(__file__).parents[2]
WORKER = """
import asyncio, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from tests.store.history import START, Tale, Ticks, open_store

store = open_store(Path(sys.argv[1]), durability=sys.argv[4])
clock = Ticks(START + 10**9)

async def one(number):
    await Tale(number, clock, large=number % 5 == 0).tell(store)
    os.write(1, b"%d\\n" % number)

async def crowd(first):
    left = iter(range(first, first + 100_000))
    async def worker():
        for number in left:
            await one(number)
    await asyncio.gather(*[worker() for _ in range(32)])

asyncio.run(crowd(int(sys.argv[3])))
"""


@pytest.mark.parametrize("durability", ["full", "normal"])
def test_no_acknowledged_append_is_lost(tmp_path: Path, durability: str) -> None:
    home = tmp_path / "home"
    acknowledged: set[int] = set()
    for life in range(3):
        command = [sys.executable, "-c", WORKER, str(home), str(ROOT), str(1 + life * 100_000), durability]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as worker:
            assert worker.stdout is not None
            for line in worker.stdout:
                acknowledged.add(int(line))
                if len(acknowledged) % 60 == 0:
                    worker.send_signal(signal.SIGKILL)
                    break
            # What was written to the pipe before the end was acknowledged too.
            rest = worker.stdout.read().decode()
            acknowledged |= {int(line) for line in rest.splitlines(keepends=True) if line.endswith("\n")}
        assert worker.returncode == -signal.SIGKILL
        report = verify(home, deep=True, flow_of=flow_of)
        assert report.ok, report.findings[:5]
        store = SqliteStore.open_read_only(home)
        for number in acknowledged:
            assert store.head(chain.run_stream(run_id(number)))[0] == 6
        store.close()
    assert len(acknowledged) >= 180


def test_a_crash_in_the_very_first_moment_leaves_a_home_or_none(tmp_path: Path) -> None:
    """Killed at a growing number of microseconds into its first opening, a home can always be opened."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[2]); from pathlib import Path;"
        "from tests.store.history import open_store;"
        "print('go', flush=True); open_store(Path(sys.argv[1]) / sys.argv[3]); print('open', flush=True)"
    )
    for number in range(6):
        command = [sys.executable, "-c", code, str(tmp_path), str(ROOT), f"home{number}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as opener:
            assert opener.stdout is not None
            opener.stdout.readline()
            for _ in range(number * 20_000):
                pass
            os.kill(opener.pid, signal.SIGKILL)
        store = open_store(tmp_path / f"home{number}")
        assert len(store.home_salt()) == 32
        store.close()
        assert verify(tmp_path / f"home{number}").ok
