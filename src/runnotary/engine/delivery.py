"""Commands to a run, wherever it is: in the engine's memory, or only in the log.

A run that the engine holds takes them in its turns. One that it does not hold, because it is over or nobody
took it up, is folded here, and what follows is appended on the condition that nothing came between.
"""

from __future__ import annotations

from typing import Final

from runnotary.core.chain import run_stream
from runnotary.core.decide import Stimulus, decide
from runnotary.core.documents import rows
from runnotary.core.errors import Conflict, RunNotFound
from runnotary.core.fold import fold, replay
from runnotary.core.ids import to_text
from runnotary.engine.live import Gone
from runnotary.engine.loop import Engine
from runnotary.engine.parts import Parts
from runnotary.ports import Append, Refusal

TRIES: Final = 8


class Delivery:
    """Takes commands to the runs of one home."""

    def __init__(self, engine: Engine, parts: Parts) -> None:
        self._engine: Final = engine
        self._parts: Final = parts

    async def deliver(self, run_id: bytes, stimulus: Stimulus, actor: bytes) -> None:
        """Apply a command; on return it is durable.

        Raises:
            RunnotaryError: the run's state refuses it.
            RunNotFound: there is no such run, or not any more.
            Conflict: the run changed again and again meanwhile.
        """
        for _ in range(TRIES):
            if self._engine.holds(run_id):
                try:
                    await self._engine.command(run_id, stimulus, actor)
                except Gone:
                    continue
                return
            if await self._append(run_id, stimulus, actor):
                return
        raise Conflict(f"run {to_text(run_id)} keeps changing; try again")

    async def _append(self, run_id: bytes, stimulus: Stimulus, actor: bytes) -> bool:
        """Append what the command comes to; False: somebody else wrote meanwhile."""
        stream, store = run_stream(run_id), self._parts.store
        try:
            run = replay(run_id, store.read(stream), self._parts.flow_of)
        except ValueError:
            if store.run(run_id) is None:  # there was none, or it was purged or erased while it was read
                raise RunNotFound.named(to_text(run_id)) from None
            raise
        run.touched.clear()
        now, seq = max(self._parts.clock.now(), run.at), run.seq
        chance = int.from_bytes(self._parts.chance.token(2), "big")
        facts = decide(run, stimulus, now=now, chance=chance)
        if not facts:
            return True
        for fact in facts:
            fold(run, fact, now)
        (result,) = await store.append([Append(stream, seq, facts, now, actor, rows(run, run.touched))])
        if isinstance(result, Refusal) and result.code != "conflict":
            raise result.error(f"run {run.text} could not be stored")
        return not isinstance(result, Refusal)
