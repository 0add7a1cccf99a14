"""Ports that exist only to be compared with: a store without a log, an executor whose attempts just end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterator, Sequence

from runnotary.core.attempts import Attempt, Outcome
from runnotary.core.chain import GENESIS, Recorded
from runnotary.core.queries import ContentQuery, RunQuery
from runnotary.core.rows import FlowRow, KeyRow, RunRow, TaskRow
from runnotary.ports import Append, Appended, Beside, Change, Ended, Observation, Refusal, Sharing, Unnamed


class NullStore:
    """The port `Store` without a log, a chain or a disk: the lengths of streams, and nothing else."""

    def __init__(self) -> None:
        self._length: dict[bytes, int] = {}
        self._commits = 0

    async def append(self, batch: Sequence[Append], beside: Beside | None = None) -> list[Appended | Refusal]:
        await asyncio.sleep(0)
        self._commits += 1
        return [self._appended(append) for append in batch]

    def _appended(self, append: Append) -> Appended:
        length = append.expected_seq + len(append.events)
        self._length[append.stream] = length
        return Appended(append.stream, length, GENESIS, self._commits)

    def read(self, stream: bytes, after: int = 0) -> Iterator[Recorded]:
        return iter(())

    def head(self, stream: bytes) -> tuple[int, bytes]:
        return self._length.get(stream, 0), GENESIS

    def share(self, engine: Sharing) -> None:
        pass  # nobody else writes here

    async def hand_over(self, run_id: bytes, place: str) -> bool:
        return False

    def is_ours(self, run_id: bytes) -> bool:
        return True

    async def claim(self, run_id: bytes) -> bool:
        return True

    def open_runs(self) -> list[bytes]:
        return []

    def run(self, run_id: bytes) -> RunRow | None:
        return None

    def runs(self, query: RunQuery) -> list[RunRow]:
        return []

    def count(self, query: RunQuery) -> int:
        return 0

    def tally(self, query: RunQuery) -> dict[str, int]:
        return {}

    def runs_with(self, query: ContentQuery) -> list[RunRow]:
        return []

    def keyed(self, principal: str, key: str) -> KeyRow | None:
        return None

    def feed(self, after: int, limit: int = 1000) -> list[Change]:
        return []

    def position(self) -> int:
        return 0

    def sealed(self) -> int:
        return 0

    def placed(self, stream: bytes, seq: int) -> int:
        return 0

    def walk(self, at: int | None, *, newest: bool, stream: bytes = b"", limit: int) -> list[Change]:
        return []

    def tombstone(self, run_id: bytes) -> None:
        return None

    def ledgers(self) -> list[str]:
        return []

    def saying(self, text: bytes) -> Iterator[tuple[bytes, list[bytes]]]:
        return iter(())

    async def prune(self) -> int:
        return 0

    async def scrub(self, at_most: int = 0) -> bool:
        return True

    def watch(self, called: Callable[[Sequence[Change]], None]) -> None:
        raise AssertionError("nobody watches the null log")

    def unnamed(self, digests: Collection[str], without: Collection[bytes]) -> Unnamed:
        raise AssertionError("nothing is purged here")

    def tasks(self, run_id: bytes) -> list[TaskRow]:
        return []

    def flow(self, namespace: str, name: str) -> FlowRow | None:
        return None

    def flows(self, namespace: str) -> list[FlowRow]:
        return []

    def home_salt(self) -> bytes:
        return bytes(32)


class InstantExecutor:
    """The port `Executor` without processes: an attempt has succeeded as soon as it is started."""

    def __init__(self) -> None:
        self._notify: Callable[[Observation], None] = lambda _: None

    def observe(self, notify: Callable[[Observation], None]) -> None:
        self._notify = notify

    def prepare(self, attempt: Attempt) -> None:
        return

    def begin(self, attempt_id: str) -> None:
        return

    async def start(self, attempt: Attempt) -> None:
        asyncio.get_running_loop().call_soon(self._notify, Ended(attempt.id))

    def reach(self, attempt: Attempt) -> str:
        return ""

    async def find(self, attempt: Attempt) -> bool:
        return False

    async def stop(self, attempt_id: str, grace_ms: int) -> None:
        return

    async def collect(self, attempt_id: str) -> Outcome:
        return Outcome(attempt=attempt_id, exit_code=0)

    def leftovers(self) -> list[str]:
        return []

    async def release(self, attempt_id: str, *, keep: bool) -> None:
        return
