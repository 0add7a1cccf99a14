"""kill -9 while runs are submitted by key and purged: a key is one run, a purge is whole, verify holds."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runnotary.app.home import Embedded
from runnotary.app.stores import record_of
from runnotary.config import Settings
from runnotary.core.ids import from_text
from runnotary.core.states import TERMINAL
from runnotary.engine.service import Submission
from runnotary.store.verify import verify
from tests.engine.test_retention import BY, House

ROOT = Path(__file__).parents[2]
FLOW = {"steps": {"only": {"set": {"text": "inputs.n"}}}, "inputs": {"n": {"type": "string"}}}
WORKER = """
import asyncio, os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from runnotary.app.home import Embedded
from runnotary.core.ids import to_text
from tests.engine.test_crashes import FLOW
from tests.database import settings_of
from tests.engine.test_retention import BY, House

async def crowd():
    home = Embedded(settings_of(Path(sys.argv[1])))
    place, left = House(home), iter(range(100_000))
    async def worker():
        for n in left:
            run = await place.ended(FLOW, inputs={"n": "x" * 20_000 + str(n // 4)}, key=str(n))
            os.write(1, f"{n} {to_text(run)} kept\\n".encode())
            if n % 2:
                await place.service.purge(run, BY)
                os.write(1, f"{n} {to_text(run)} purged\\n".encode())
    await asyncio.gather(*[worker() for _ in range(8)])

asyncio.run(crowd())
"""


@pytest.mark.parametrize("lines", [5, 40, 120])
def test_what_was_acknowledged_is_so_after_a_kill(settings: Settings, lines: int) -> None:
    told: list[list[str]] = []
    command = [sys.executable, "-c", WORKER, str(settings.home), str(ROOT)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        for line in worker.stdout:
            told.append(line.split())
            if len(told) == lines:
                worker.send_signal(signal.SIGKILL)
                break
        rest = worker.stdout.read()
        told += [line.split() for line in rest.splitlines(keepends=True) if line.endswith("\n")]
    assert worker.returncode == -signal.SIGKILL
    report = verify(record_of(settings), deep=True)
    assert report.findings == ()
    asyncio.run(asyncio.wait_for(replayed(settings, told), 60))
    assert verify(record_of(settings), deep=True).findings == ()


async def replayed(settings: Settings, told: list[list[str]]) -> None:
    home = Embedded(settings)
    try:
        place = House(home)
        for run in home.store.open_runs():
            await home.service.adopt(run, BY)
            await home.engine.ended(run)
        purged = {run for _, run, what in told if what == "purged"}
        for key, run, _ in told:
            row = home.store.run(from_text(run))
            assert row is None or row.status in TERMINAL
            if run in purged:
                assert row is None
            elif int(key) % 2 == 0:
                meant = place.keep(FLOW)
                inputs = {"n": "x" * 20_000 + str(int(key) // 4)}
                again = await home.service.submit(Submission(definition=meant, inputs=inputs), BY, key=key)
                assert again == (from_text(run), True)
    finally:
        await home.close()
