"""What the evidence costs: tree and checkpoints beside a store without them, and proofs from a long log."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from bench import flows
from bench.rig import Place, new_home, replaced
from bench.series import Bench, Line
from runnotary.app.signing import HomeKey
from runnotary.app.system import SystemChance, SystemClock
from runnotary.core import chain, merkle, notes
from runnotary.core.merkle import Range
from runnotary.store import tree
from runnotary.store.commit import Commit
from runnotary.store.log import SqliteStore
from runnotary.store.sqlite import SQLITE, connect_writer

PROOFS = 200
ALLOWED_MS = 5.0


def run(bench: Bench) -> None:
    """Add the lines."""
    asyncio.run(_beside(bench))
    _proofs(bench)


async def _beside(bench: Bench) -> None:
    """The same engine and store in turns: as it is, and without tree, signatures and checkpoints."""
    number = bench.count(1000)
    rates: dict[str, list[float]] = {"bare": [], "whole": []}
    processor: dict[str, list[float]] = {"bare": [], "whole": []}
    async with (
        replaced(new_home(bench.folder), log=True) as bare,
        replaced(new_home(bench.folder), log=True) as whole,
    ):
        _unsealed(bare)
        flow = bare.keep(flows.ONE_SET)
        whole.keep(flows.ONE_SET)
        for name, place in (("bare", bare), ("whole", whole)) * (2 * bench.rounds + 1):
            bench.quiet.wait()
            before = time.process_time()
            if name == "bare":
                with _without_tree():
                    took = await place.took(flow, number)
            else:
                took = await place.took(flow, number)
            processor[name].append((time.process_time() - before) / number * 1e6)
            rates[name].append(number / took)
    what = f"{number:,} runs at once, with tree and checkpoints"
    bench.add(Line("L1", what, "runs/s", rates["whole"][1:], "without", rates["bare"][1:], "≥ 0.85"))
    what = "processor time of a run, with tree and checkpoints"
    bench.add(Line("L1", what, "µs", processor["whole"][1:], "without", processor["bare"][1:], "≤ 1.15"))


def _unsealed(place: Place) -> None:
    """Let nothing be signed in this home."""
    assert isinstance(place.store, SqliteStore)
    sealing = place.store._own_writer().sealing
    sealing.due = lambda size: False  # type: ignore[method-assign]
    sealing.sign = lambda tree: None  # type: ignore[method-assign]


@contextmanager
def _without_tree() -> Iterator[None]:
    """Let commits make no leaves and no tiles."""

    def close_log(commit: Commit, _: Range) -> None:
        for stream, (pos, from_seq) in commit.spans.items():
            head = commit.heads[stream]
            commit.log.append((pos, stream, from_seq, head.seq, head.hash))

    whole, Commit.close_log = Commit.close_log, close_log  # type: ignore[method-assign]
    try:
        yield
    finally:
        Commit.close_log = whole  # type: ignore[method-assign]


def _proofs(bench: Bench) -> None:
    """Inclusion and consistency in a log that was written directly."""
    home, size = new_home(bench.folder), bench.count(1_000_000, 5_000)
    _long(home, size)
    store = SqliteStore.open(home, clock=SystemClock(), chance=SystemChance(), signer=HomeKey(home))
    try:
        note = asyncio.run(store.checkpoint())
        size = notes.read_checkpoint(notes.read_note(note).text).size
        places = random.Random(1)

        def inclusion() -> float:
            return _milliseconds(lambda: store.inclusion(places.randint(1, size), size))

        def consistency() -> float:
            return _milliseconds(lambda: store.consistency(places.randint(1, size), size))

        what, allowed = f"inclusion proof in {size:,} leaves", [ALLOWED_MS]
        bench.add(Line("L2", what, "ms", bench.series(inclusion), "5 ms", allowed, "≤ 1"))
        bench.add(Line("L2", f"consistency proof in {size:,} leaves", "ms", bench.series(consistency)))
        _check(store, size)
    finally:
        store.close()


def _milliseconds(prove: object) -> float:
    assert callable(prove)
    started = time.perf_counter()
    for _ in range(PROOFS):
        prove()
    return (time.perf_counter() - started) / PROOFS * 1e3


def _check(store: SqliteStore, size: int) -> None:
    """What was measured is a proof."""
    root = notes.read_checkpoint(notes.read_note(store.note()).text).root
    for pos in (1, size // 2, size):
        entry = store.entry(pos)
        assert entry is not None
        merkle.check_inclusion(chain.leaf_hash(*entry), pos - 1, size, store.inclusion(pos, size), root)


def _long(home: Path, size: int) -> None:
    """Make a home whose log has this many entries, of streams that nobody reads."""
    SqliteStore.open(home, clock=SystemClock(), chance=SystemChance(), signer=HomeKey(home)).close()
    connection = connect_writer(home, "normal")
    (first,) = connection.ask("last_pos").fetchone()
    connection.ask("begin")
    connection.executemany(
        SQLITE.sql["append_log"],
        (
            (pos, chain.RUN + pos.to_bytes(16, "big"), 1, 1, sha256(pos.to_bytes(8, "big")).digest())
            for pos in range(first + 1, size + 1)
        ),
    )
    tree.complete(connection)
    connection.ask("commit")
    connection.close()
