"""Small real histories: runs made by the real core, appended through the port, with real blobs."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import msgspec

from runnotary.app.signing import HomeKey
from runnotary.core import chain
from runnotary.core import events as ev
from runnotary.core.definition import compile
from runnotary.core.documents import rows, use_rows
from runnotary.core.flow import Flow
from runnotary.core.fold import fold
from runnotary.core.hashing import canonical, digest
from runnotary.core.ids import uuid7
from runnotary.core.ledger import changed
from runnotary.core.run import Run
from runnotary.ports import Append, Appended, Refusal
from runnotary.store.log import SqliteStore
from runnotary.store.records import Records

BY = ev.By("user:test")
NOTE = ev.EngineNoted("test")
ACTOR = b"\x07" * 16
START = 1_700_000_000_000_000
DOCUMENT: dict[str, Any] = {
    "steps": {
        "clean": {"run": ["clean"], "files": ["clean.csv"], "values": {"rows": "integer"}},
        "report": {"run": ["report"], "needs": ["clean"]},
    }
}
DEFINITION = canonical(DOCUMENT)


class Ticks:
    """A clock that moves one millisecond each time it is read."""

    def __init__(self, at: int = START) -> None:
        self.at = at

    def now(self) -> int:
        self.at += 1000
        return self.at

    def alarm(self, at: int | None, ring: object) -> None:
        raise AssertionError("the store sets no alarm")


class Seeded:
    """Chance that a seed repeats."""

    def __init__(self, seed: int = 1) -> None:
        self._random = random.Random(seed)

    def token(self, size: int) -> bytes:
        return self._random.randbytes(size)


def flow_of(definition: str) -> Flow:
    assert definition == digest(DEFINITION)
    return compile(DOCUMENT)


def open_store(home: Path, **settings: Any) -> SqliteStore:
    return SqliteStore.open(home, clock=Ticks(), chance=Seeded(), signer=HomeKey(home), **settings)


def run_id(number: int) -> bytes:
    return uuid7(START + 1000 * number, number.to_bytes(8, "big"))


class Tale:
    """One run, told event by event; `turn` gives the append that a real engine would make."""

    def __init__(self, number: int, clock: Ticks, *, large: bool = False) -> None:
        self.id = run_id(number)
        self.stream = chain.run_stream(self.id)
        self.run = Run(self.id, flow_of(digest(DEFINITION)))
        self._clock = clock
        self._large = large
        self.number = number

    def turn(self, *happened: ev.Event) -> Append:
        before, at = self.run.seq, self._clock.now()
        for event in happened:
            fold(self.run, event, at)
        keys, self.run.touched = self.run.touched, set()
        used = use_rows(self.run, {}.__getitem__) if isinstance(happened[-1], ev.RunFinished) else ()
        return Append(self.stream, before, happened, at, ACTOR, (*rows(self.run, keys), *used))

    def created(self) -> ev.RunCreated:
        return ev.RunCreated(
            definition=digest(DEFINITION),
            engine="0.1.0",
            durability="full",
            by=BY,
            flow="report",
            label=f"run {self.number}",
            tags=("nightly",),
            inputs={"month": self.number},
        )

    def started(self, key: str) -> ev.TaskStarted:
        at = self._clock.now()
        return ev.TaskStarted(
            key=key, attempt=1, ready_at=at, executor="process", fingerprint=digest(key.encode())
        )

    def ended(self, key: str, store: Records, verdict: Any = "success") -> ev.TaskEnded:
        text = f"{key} of run {self.number}\n".encode()
        log = store.blobs.put(text)
        content = text * (2000 if self._large else 1)
        file = ev.File(store.blobs.put(content), len(content), f"{key}.csv")
        at = self._clock.now()
        return ev.TaskEnded(
            key=key,
            attempt=1,
            verdict=verdict,
            exit_code=0 if verdict == "success" else 1,
            reason="" if verdict == "success" else "error",
            error=None if verdict == "success" else ev.Failure("exit_code", "exit code 1", key, 1),
            values={"rows": 3},
            files={f"{key}.csv": file},
            stdout=ev.Log(log, len(text), log),
            started_at=at,
            exited_at=at,
            cpu_ms=3,
            host="host",
        )

    def finished(self, status: str = "success") -> ev.RunFinished:
        counts = {state.value: count for state, count in self.run.counts.items() if count}
        return ev.RunFinished(status=status, outputs={"rows": 3}, counts=counts)

    async def tell(self, store: Records, *, until: int = 4) -> None:
        """Append the whole run in four turns, or the first of them."""
        store.blobs.put(DEFINITION)
        turns = [
            lambda: (self.created(), self.started("clean")),
            lambda: (self.ended("clean", store), self.started("report")),
            lambda: (self.ended("report", store),),
            lambda: (self.finished(),),
        ]
        for make in turns[:until]:
            assert_appended(await store.append([self.turn(*make())]))


def assert_appended(results: list[Appended | Refusal]) -> None:
    assert all(isinstance(result, Appended) for result in results), results


async def push_flow(store: Records, name: str, clock: Ticks) -> None:
    """Register a flow, as an engine would."""
    event = ev.DefinitionChanged(
        flow=name, flow_id="01HF000000000000000000TEST", definition=store.blobs.put(DEFINITION), by=BY
    )
    ledger = store.ledger("default")
    at = max(clock.now(), ledger.at)
    row = changed(store.flow("default", name), event, at)
    stream = chain.ledger_stream("default")
    assert_appended(await store.append([Append(stream, ledger.seq, (event,), at, ACTOR, (row,))]))


async def tell_small(store: Records) -> None:
    """Fill a new record with three finished runs, one that is open, and two flows."""
    clock = Ticks()
    await push_flow(store, "report", clock)
    for number in (1, 2, 3):
        await Tale(number, clock, large=number == 2).tell(store)
    await Tale(4, clock).tell(store, until=2)
    await push_flow(store, "other", clock)


def fill_small(store: Records) -> None:
    """Fill a new record, see `tell_small`, and close it."""
    try:
        asyncio.run(tell_small(store))
    finally:
        store.close()


def small_home(home: Path) -> Path:
    """Make a home with the small history of `tell_small`; close it."""
    fill_small(open_store(home))
    return home


def note(name: str, expected: int = 0, event: ev.Event = NOTE) -> Append:
    """Return an append of one event to a ledger."""
    return Append(chain.ledger_stream(name), expected, (event,), START, ACTOR)


def append(store: Records, *batch: Append) -> list[Appended | Refusal]:
    return asyncio.run(_append(store, batch))


async def _append(store: Records, batch: tuple[Append, ...]) -> list[Appended | Refusal]:
    return await store.append(batch)


def codes(results: list[Appended | Refusal]) -> list[str]:
    return [result.code if isinstance(result, Refusal) else "ok" for result in results]


def tell_forty(store: Records) -> None:
    """Append forty runs that differ in what a listing filters by."""
    clock = Ticks()
    for number in range(1, 41):
        tale = Tale(number, clock)
        turn = tale.turn(tale.created())
        row = msgspec.structs.replace(
            turn.rows[0],
            flow="odd" if number % 2 else "even",
            namespace="other" if number > 35 else "default",
            tags='["tenth","x"]' if number % 10 == 0 else "[]",
            parent=run_id(1) if number in (5, 6) else None,
        )
        append(store, msgspec.structs.replace(turn, rows=(row,)))
        if number > 30:
            status = "failed" if number > 35 else "success"
            ended = msgspec.structs.replace(row, status=status, ended_at=clock.now())
            append(store, Append(tale.stream, 1, (NOTE,), clock.now(), ACTOR, (ended,)))
