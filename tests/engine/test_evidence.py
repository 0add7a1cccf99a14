"""No setting turns capture off, and what cannot be written down does not happen."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from runnotary import config
from runnotary.app.home import Embedded
from runnotary.app.stores import record_of
from runnotary.config import SETTINGS, Settings
from runnotary.core import events as ev
from runnotary.core.chain import run_stream
from runnotary.core.errors import RunnotaryError
from runnotary.core.hashing import digest
from runnotary.core.states import TERMINAL
from runnotary.store.commit import Commit
from runnotary.store.verify import verify
from tests.database import ENVIRON
from tests.engine.test_retention import BY, House

Json = Any
FLOW: Json = {
    "inputs": {"n": {"type": "integer"}},
    "steps": {
        "first": {
            "run": 'echo "said $n"; echo oops >&2; echo one > one.txt',
            "with": {"n": "${{ inputs.n }}"},
            "files": ["one.txt"],
        },
        "second": {"run": "exit 3", "needs": ["first"]},
    },
}
# Values of the settings that take any text or number, beside the default. A new setting has to come here.
VALUES: dict[str, tuple[Any, ...]] = {
    "home": (),  # each case has its own
    "slots": (1, 64),
    "log_limit": (0, 1, 1024),
    "secret_command": ("false",),
    "url": (),  # another home's server keeps the record then, under its own settings
    "token": ("rn_x",),
    "oidc_issuer": ("https://issuer.example",),
    "oidc_audience": ("lab",),
    "oidc_keys": ("keys.json",),
    "oidc_principal": ("email",),
    "oidc_groups": ("roles",),
    "oidc_algorithms": ("RS256",),
    "oidc_leeway": (0, 3600),
    "host": ("0.0.0.0",),
    "port": (0, 1),
    "cors_origins": ("https://lab.example",),
    "body_limit": (0, 1),
    "blob_limit": (0, 1),
    "witness": ("false",),
    "checkpoint_copies": ("copy",),
    "key": ("",),
    "database_url": ("",),  # tests/store and `make test-postgresql` are about the other kind
    "lease": (1, 3600),
    "witness_keys": ("",),
}
CASES = [
    (one.name, value)
    for one in SETTINGS
    for value in (one.choices or (*VALUES.get(one.name, ("",)), one.default))
]


def test_every_setting_is_tried() -> None:
    free = {one.name for one in SETTINGS if not one.choices}
    assert free <= set(VALUES), f"say which values to try: {free - set(VALUES)}"


@pytest.mark.parametrize(("name", "value"), CASES, ids=str)
def test_under_every_setting_a_run_leaves_all_its_evidence(tmp_path: Path, name: str, value: Any) -> None:
    value = str(tmp_path / value) if name == "checkpoint_copies" else value
    flags = {"home": str(tmp_path / "home"), **({name: value} if name != "home" else {})}
    settings = config.load(flags, environ=ENVIRON, cwd=tmp_path)
    told = asyncio.run(asyncio.wait_for(lived(settings), 60))
    kinds = [ev.NAMES[type(event)] for event in told]
    assert kinds == [
        *("run.created", "task.started", "task.ended", "task.started", "task.ended", "run.finished")
    ]
    created, started, ended, _, failed, finished = told
    assert (
        isinstance(created, ev.RunCreated)
        and created.inputs == {"n": 7}
        and created.by.principal == "user:test"
    )
    assert isinstance(started, ev.TaskStarted) and started.fingerprint and started.variables == {"n": 7}
    for event, code in ((ended, 0), (failed, 3)):
        assert isinstance(event, ev.TaskEnded) and event.exit_code == code
        assert event.environment and event.host and event.pid and event.exited_at
    assert isinstance(ended, ev.TaskEnded) and ended.stdout is not None and ended.stderr is not None
    assert (ended.stdout.size, ended.stderr.size) == (7, 5)
    assert ended.stdout.digest == digest(b"said 7\n") and ended.stderr.digest == digest(b"oops\n")
    assert isinstance(ended, ev.TaskEnded) and set(ended.files) == {"one.txt"}
    assert isinstance(finished, ev.RunFinished) and finished.status == "failed"
    report = verify(record_of(settings), deep=True)
    assert report.findings == () and report.checkpoint is not None and report.checkpoint.uncovered == 0


async def lived(settings: Settings) -> list[ev.Event]:
    home = Embedded(settings)
    try:
        place = House(home)
        run = await place.ended(FLOW, inputs={"n": 7})
        return [record.event for record in place.store.read(run_stream(run))]
    finally:
        await home.close()


# --- what cannot be written ------------------------------------------------------------------------------


class Disk:
    """Lets so many commits with events through, and fails each one after that."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.left, self.done = 10**6, 0
        real: Callable[..., None] = Commit.write

        def write(commit: Commit, *words: Any) -> None:
            if commit.events:
                if self.left <= 0:
                    raise sqlite3.OperationalError("disk I/O error")
                self.left -= 1
                self.done += 1
            real(commit, *words)

        monkeypatch.setattr(Commit, "write", write)


def chain_of(trace: Path) -> Json:
    """Three steps, each of which leaves a line when it is really started."""
    steps: Json = {}
    for number, name in enumerate("abc"):
        steps[name] = {"run": f"echo {name} >> {trace}"} | ({"needs": ["abc"[number - 1]]} if number else {})
    return {"steps": steps}


def commits_of_a_run(settings: Settings, disk: Disk, trace: Path) -> int:
    async def work() -> int:
        home = Embedded(settings)
        try:
            before = disk.done
            await House(home).ended(chain_of(trace))
            return disk.done - before
        finally:
            await home.close()

    return asyncio.run(asyncio.wait_for(work(), 60))


def test_if_an_event_cannot_be_written_nothing_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fails at the first commit of a run, at the second, and so on to its last."""
    disk, trace = Disk(monkeypatch), tmp_path / "trace"
    first = config.load({"home": str(tmp_path / "clean")}, environ=ENVIRON, cwd=tmp_path)
    total = commits_of_a_run(first, disk, trace)
    assert total >= 4
    for through in range(total):
        trace.write_text("")
        settings = config.load({"home": str(tmp_path / f"home{through}")}, environ=ENVIRON, cwd=tmp_path)
        asyncio.run(asyncio.wait_for(broken(settings, disk, trace, through), 60))
        disk.left = 10**6
        report = verify(record_of(settings), deep=True)
        assert report.findings == (), through
        asyncio.run(asyncio.wait_for(recovered(settings, trace, through), 60))
        assert verify(record_of(settings), deep=True).findings == ()


async def broken(settings: Settings, disk: Disk, trace: Path, through: int) -> None:
    home = Embedded(settings)
    place = House(home)
    position = place.store.position()
    disk.left = through
    try:
        if through == 0:
            with pytest.raises(RunnotaryError, match="disk I/O error"):
                await place.start(chain_of(trace))
            assert place.store.position() == position and place.store.open_runs() == []
        else:
            run = await place.start(chain_of(trace))
            with suppress(TimeoutError, RunnotaryError):
                await asyncio.wait_for(asyncio.shield(home.engine.ended(run)), 0.7)
            row = place.store.run(run)
            assert row is not None and row.status not in TERMINAL, "the end could not be written"
        await asyncio.sleep(0)
        assert disk.left == 0
        assert started(place) >= len(trace.read_text().split()), "a step began that is not on record"
    finally:
        disk.left = 10**6
        await home.close()


def started(place: House) -> int:
    """Return how many attempts the record says were about to begin."""
    return sum(
        isinstance(record.event, ev.TaskStarted)
        for run in place.store.open_runs()
        for record in place.store.read(run_stream(run))
    )


async def recovered(settings: Settings, trace: Path, through: int) -> None:
    home = Embedded(settings)
    try:
        runs = home.store.open_runs()
        assert len(runs) == (through > 0)
        for run in runs:
            await home.service.adopt(run, BY)
            await home.engine.ended(run)
            row = home.store.run(run)
            assert row is not None and row.status == "success"
            assert trace.read_text().split() == ["a", "b", "c"], "nothing is done twice"
    finally:
        await home.close()
