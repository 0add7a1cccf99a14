"""The outside of an engine, faked: virtual time, a store in memory, attempts that end when told to.

The world outlives the engine. A seeded `Saboteur` may kill the engine at any port call, before or after
its effect; a new engine then takes up what the world still holds. The world itself checks what an
outsider can see: no attempt id is spawned twice (I1), nothing is released before its receipt (I5), and
a task never has two open attempts (I2).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Collection, Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from runnotary.core import events as ev
from runnotary.core.attempts import Attempt, Outcome
from runnotary.core.chain import GENESIS, Recorded, leaf_hash, run_stream
from runnotary.core.errors import BlobNotFound
from runnotary.core.hashing import digest
from runnotary.core.queries import RunQuery
from runnotary.core.rows import FlowRow, KeyRow, Row, RunRow, TaskRow
from runnotary.core.states import OPEN
from runnotary.ports import (
    Append,
    Appended,
    Beside,
    Change,
    Done,
    Ended,
    Erasure,
    Observation,
    Refusal,
    Sharing,
)
from runnotary.store.streams import goes_on
from tests.store.oracle import counted, listed, wanted


class Crashed(BaseException):
    """The engine died here; nothing it still wanted to do happens."""


class Saboteur:
    """Decides by seed at which port call the engine dies; `rate` is per call."""

    def __init__(self, seed: int, rate: float) -> None:
        self._random = random.Random(seed)
        self._rate = rate
        self.dead = False

    def maybe(self) -> None:
        """Die here, or not. Once dead, every call dies."""
        if self.dead or self._random.random() < self._rate:
            self.dead = True
            raise Crashed


class VirtualClock:
    """Time that moves only when the world says so."""

    def __init__(self) -> None:
        self.time = 1_700_000_000_000_000
        self.step = 0
        self._alarm: tuple[int, Callable[[], None]] | None = None

    def now(self) -> int:
        return self.time

    def stepped(self) -> int:
        step, self.step = self.step, 0
        return step

    def alarm(self, at: int | None, ring: Callable[[], None]) -> None:
        self._alarm = None if at is None else (at, ring)

    def next(self) -> int | None:
        return self._alarm[0] if self._alarm else None

    def ring(self) -> None:
        if self._alarm and self._alarm[0] <= self.time:
            _, ring = self._alarm
            self._alarm = None
            ring()

    def forget(self) -> None:
        self._alarm = None


class SeededChance:
    """Randomness that a seed repeats."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def token(self, size: int) -> bytes:
        return self._random.randbytes(size)


class MemoryBlobs:
    """Blobs in a dict."""

    def __init__(self) -> None:
        self.data: dict[str, bytes] = {}

    def put(self, data: bytes) -> str:
        name = digest(data)
        self.data[name] = data
        return name

    def take_file(self, path: Path) -> tuple[str, int]:
        return self.put_file(path)

    def put_file(self, path: Path, *, known: str = "") -> tuple[str, int]:
        data = path.read_bytes()
        return self.put(data), len(data)

    def get(self, name: str) -> bytes:
        if name not in self.data:
            raise BlobNotFound(name)
        return self.data[name]

    def stage(self, name: str, target: Path, *, executable: bool = False) -> None:
        target.write_bytes(self.get(name))

    def has(self, name: str) -> bool:
        return name in self.data

    def size(self, name: str) -> int:
        return len(self.get(name))

    def want(self, name: str) -> None:
        pass

    async def discard(self, named: Sequence[tuple[str, int]], unused: Collection[str]) -> list[str]:
        return [name for name, _ in named if name in unused and self.data.pop(name, None) is not None]


class MemoryUnnamed:
    """Looks through everything whenever it is asked."""

    def __init__(self, store: MemoryStore, without: Collection[bytes]) -> None:
        self._store, self._without = store, without

    def among(self, digests: Iterable[str]) -> set[str]:
        kept = [stream for name, stream in self._store.streams.items() if name not in self._without]
        text = b"".join(ev.encode(record.event) for stream in kept for record in stream).decode()
        return {digest for digest in digests if digest not in text}


class MemoryStore:
    """The log and its rows in dicts; a crash may come before or after a commit, never inside."""

    def __init__(self) -> None:
        self.streams: dict[bytes, list[Recorded]] = {}
        self.heads: dict[bytes, bytes] = {}
        self.run_rows: dict[bytes, RunRow] = {}
        self.task_rows: dict[tuple[bytes, str], TaskRow] = {}
        self.flow_rows: dict[tuple[str, str], FlowRow] = {}
        self.key_rows: dict[tuple[str, str], KeyRow] = {}
        self.log: list[Change] = []
        self.watchers: list[Callable[[Sequence[Change]], None]] = []
        self.commits = 0
        self.saboteur = Saboteur(0, 0)

    async def append(self, batch: Sequence[Append], beside: Beside | None = None) -> list[Appended | Refusal]:
        if beside is not None:
            beside.meanwhile()
        await asyncio.sleep(0)
        self.saboteur.maybe()
        self.commits += 1
        before = len(self.log)
        results: list[Appended | Refusal] = []
        for number, one in enumerate(batch):
            rest = goes_on(one, batch[number - 1] if number else None) and isinstance(results[-1], Refusal)
            results.append(results[-1] if rest else self._append(one))
        for watcher in self.watchers:
            watcher(self.log[before:])
        self.saboteur.maybe()
        if beside is not None and not any(isinstance(result, Refusal) for result in results):
            beside.durable()
            self.saboteur.maybe()
        return results

    def _append(self, one: Append) -> Appended | Refusal:
        stream = self.streams.setdefault(one.stream, [])
        if len(stream) != one.expected_seq:
            return Refusal(one.stream, "conflict", actual_seq=len(stream))
        for erasure in one.erase:
            if self.head(run_stream(erasure.run)) != (erasure.seq, erasure.head):
                return Refusal(run_stream(erasure.run), "conflict")
        for event in one.events:
            at = max(one.at, stream[-1].at if stream else 0)
            stream.append(Recorded(len(stream) + 1, at, one.actor, event))
        head = leaf_hash(one.stream, len(stream), self.heads.get(one.stream, GENESIS))
        self.heads[one.stream] = head
        for row in one.rows:
            self._write(row)
        for erasure in one.erase:
            self._erase(erasure)
        self.log.append(Change(len(self.log) + 1, one.stream, one.expected_seq + 1, len(stream)))
        return Appended(one.stream, len(stream), head, len(self.log))

    def _erase(self, erasure: Erasure) -> None:
        del self.streams[run_stream(erasure.run)], self.heads[run_stream(erasure.run)]
        del self.run_rows[erasure.run]
        self.task_rows = {key: row for key, row in self.task_rows.items() if key[0] != erasure.run}
        if erasure.key is not None:
            del self.key_rows[erasure.key]

    def _write(self, row: Row) -> None:
        if isinstance(row, RunRow):
            self.run_rows[row.id] = row
        elif isinstance(row, TaskRow):
            self.task_rows[row.run, row.key] = row
        elif isinstance(row, KeyRow):
            assert (row.principal, row.key) not in self.key_rows
            self.key_rows[row.principal, row.key] = row
        else:
            self.flow_rows[row.namespace, row.name] = row

    def read(self, stream: bytes, after: int = 0) -> Iterator[Recorded]:
        yield from self.streams.get(stream, [])[max(after, 0) :]

    def head(self, stream: bytes) -> tuple[int, bytes]:
        return len(self.streams.get(stream, [])), self.heads.get(stream, GENESIS)

    def share(self, engine: Sharing) -> None:
        pass  # nobody else writes here

    async def hand_over(self, run_id: bytes, place: str) -> bool:
        return False

    def is_ours(self, run_id: bytes) -> bool:
        return True

    async def claim(self, run_id: bytes) -> bool:
        return True

    def open_runs(self) -> list[bytes]:
        return sorted(row.id for row in self.run_rows.values() if row.status in OPEN)

    def run(self, run_id: bytes) -> RunRow | None:
        return self.run_rows.get(run_id)

    def runs(self, query: RunQuery) -> list[RunRow]:
        return listed(self.run_rows.values(), query)

    def count(self, query: RunQuery) -> int:
        return counted(self.run_rows.values(), query)

    def keyed(self, principal: str, key: str) -> KeyRow | None:
        return self.key_rows.get((principal, key))

    def feed(self, after: int, limit: int = 1000) -> list[Change]:
        return self.log[after : after + limit]

    def position(self) -> int:
        return len(self.log)

    def sealed(self) -> int:
        return 0

    def placed(self, stream: bytes, seq: int) -> int:
        return next((one.pos for one in self.log if one.stream == stream and one.seq >= seq), 0)

    def watch(self, called: Callable[[Sequence[Change]], None]) -> None:
        self.watchers.append(called)

    def unnamed(self, digests: Collection[str], without: Collection[bytes]) -> MemoryUnnamed:
        return MemoryUnnamed(self, without)

    def tasks(self, run_id: bytes) -> list[TaskRow]:
        return [row for (run, _), row in self.task_rows.items() if run == run_id]

    def waiting(
        self, query: RunQuery, after: tuple[bytes, str] | None = None, limit: int = 50
    ) -> list[TaskRow]:
        runs = {row.id for row in self.run_rows.values() if row.status in OPEN and wanted(row, query)}
        rows = sorted(self.task_rows.items())
        found = [row for place, row in rows if row.status == "waiting" and place[0] in runs]
        return [row for row in found if (row.run, row.key) > (after or (b"", ""))][:limit]

    def flow(self, namespace: str, name: str) -> FlowRow | None:
        return self.flow_rows.get((namespace, name))

    def flows(self, namespace: str) -> list[FlowRow]:
        return [row for (held, _), row in self.flow_rows.items() if held == namespace]

    def home_salt(self) -> bytes:
        return b"salt" * 4


class Script(msgspec.Struct, frozen=True):
    """How an attempt behaves: how long it runs, how it exits, whether it dies with the machine."""

    seconds: float = 1.0
    exit_code: int = 0
    values: dict[str, object] = {}
    ignores_term: bool = False
    lost: bool = False


class Process:
    """An attempt that was really started."""

    def __init__(self, attempt: Attempt, script: Script, now: int) -> None:
        self.attempt = attempt
        self.script = script
        self.started_at = now
        self.ends_at = now + int(script.seconds * 1_000_000)
        self.stopped = False
        self.released = False


class FakeExecutor:
    """Attempts that live in the world. The engine's part dies with it; the processes do not."""

    def __init__(self, clock: VirtualClock, script_of: Callable[[Attempt], Script]) -> None:
        self.clock = clock
        self.script_of = script_of
        self.processes: dict[str, Process] = {}
        self.spawned: list[tuple[str, int]] = []
        self.prepared: dict[str, Attempt] = {}
        self.receipts: Callable[[Attempt], bool] = lambda attempt: True
        self.stopping: Callable[[Attempt], bool] = lambda attempt: False
        self.intents: Callable[[Attempt], bool] = lambda attempt: True
        self.saboteur = Saboteur(0, 0)
        self._notify: Callable[[Observation], None] = lambda observation: None
        self._told: set[str] = set()
        self._latest: dict[tuple[str, str], Process] = {}

    def observe(self, notify: Callable[[Observation], None]) -> None:
        self._notify = notify
        self._told.clear()
        self.prepared.clear()  # by an engine that is no more

    def prepare(self, attempt: Attempt) -> None:
        assert attempt.id not in self.prepared, f"{attempt.key} was prepared twice"
        self.prepared[attempt.id] = attempt

    def begin(self, attempt_id: str) -> None:
        attempt = self.prepared.pop(attempt_id, None)
        if attempt is not None:
            self._spawn(attempt)

    async def start(self, attempt: Attempt) -> None:
        self.prepared.pop(attempt.id, None)
        self.saboteur.maybe()
        if attempt.id not in self.processes:
            self._spawn(attempt)
        self.saboteur.maybe()
        self.tell()

    def _spawn(self, attempt: Attempt) -> None:
        earlier = self._latest.get((attempt.run, attempt.key))
        assert earlier is None or self._over(earlier), f"I2: two live attempts of {attempt.key}"
        assert not self.stopping(attempt), f"{attempt.key} was started after its stop was recorded"
        assert self.intents(attempt), f"{attempt.key} was started before its intent was recorded"
        process = Process(attempt, self.script_of(attempt), self.clock.now())
        self.processes[attempt.id] = self._latest[attempt.run, attempt.key] = process
        self.spawned.append((attempt.key, attempt.number))

    def reach(self, attempt: Attempt) -> str:
        return ""

    async def find(self, attempt: Attempt) -> bool:
        self.saboteur.maybe()
        process = self.processes.get(attempt.id)
        if process is not None and self._over(process):
            self._told.add(attempt.id)
            self._notify(Ended(attempt.id))
        return process is not None

    async def stop(self, attempt_id: str, grace_ms: int) -> None:
        self.saboteur.maybe()
        process = self.processes.get(attempt_id)
        if process is None or self._over(process) or process.stopped:
            return
        process.stopped = True
        delay = grace_ms * 1000 if process.script.ignores_term else 0
        process.ends_at = min(process.ends_at, self.clock.now() + delay)

    def collect(self, attempt_id: str) -> Awaitable[Outcome]:
        quick = self.processes[attempt_id].attempt.number % 2
        return Done(self._outcome(attempt_id)) if quick else self._collect(attempt_id)

    async def _collect(self, attempt_id: str) -> Outcome:
        self.saboteur.maybe()
        return self._outcome(attempt_id)

    def _outcome(self, attempt_id: str) -> Outcome:
        process = self.processes[attempt_id]
        assert self._over(process), "I3: collected before the end"
        script = process.script
        if script.lost:
            return Outcome(attempt=attempt_id, lost=True)
        killed = process.stopped
        return Outcome(
            attempt=attempt_id,
            exit_code=None if killed else script.exit_code,
            signal=15 if killed else None,
            stopped=killed,
            values={} if killed or script.exit_code else dict(script.values),
            started_at=process.started_at,
            exited_at=process.ends_at,
        )

    def leftovers(self) -> list[str]:
        return [name for name, process in self.processes.items() if not process.released]

    async def release(self, attempt_id: str, *, keep: bool) -> None:
        self.prepared.pop(attempt_id, None)
        self.saboteur.maybe()
        process = self.processes.get(attempt_id)
        if process is None:
            return
        assert self.receipts(process.attempt), f"I5: {process.attempt.key} released before its receipt"
        process.released = True

    def next_end(self) -> int | None:
        """Return when the next attempt ends."""
        ends = [p.ends_at for p in self.processes.values() if p.attempt.id not in self._told]
        return min(ends, default=None)

    def tell(self) -> None:
        """Report every end that time has reached."""
        for process in list(self.processes.values()):
            if self._over(process) and process.attempt.id not in self._told and not process.released:
                self._told.add(process.attempt.id)
                self._notify(Ended(process.attempt.id))
            elif process.released:
                self._told.add(process.attempt.id)

    def _over(self, process: Process) -> bool:
        return self.clock.now() >= process.ends_at


def logged(
    store: MemoryStore, kind: type[ev.TaskEnded | ev.TaskStopping | ev.TaskStarted]
) -> Callable[[Attempt], bool]:
    """Return a check that an event of this type about an attempt is in the log."""

    def holds(attempt: Attempt) -> bool:
        return any(
            isinstance(record.event, kind)
            and (record.event.key, record.event.attempt) == (attempt.key, attempt.number)
            for stream in store.streams.values()
            for record in stream
        )

    return holds
