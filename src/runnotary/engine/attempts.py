"""Attempts, from intent to release: start, find again, stop, collect, let go.

Everything here but `prepare` happens after the commit that ordered it, and what comes back enters the run's
inbox as a stimulus; this file decides nothing. Whatever goes wrong ends as an outcome that says so, so that
no attempt is left without a verdict.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from typing import Any, Final

import msgspec

from runnotary.core import events as ev
from runnotary.core.attempts import Attempt, Outcome
from runnotary.core.decide import Observed, Reported, Stimulus
from runnotary.core.ids import attempt_id
from runnotary.core.plan import Stop, attempt_of
from runnotary.core.scope import NeedsLoad
from runnotary.core.states import State
from runnotary.engine.leases import Lease, Leases
from runnotary.engine.live import Live
from runnotary.ports import Blobs, Done, Ended, Executor, Observation, Report, RunQuery, Store

SWEPT_RUNS: Final = 100
"""How many of the newest runs are looked through: what is left is left by the last engine."""

log = logging.getLogger("runnotary.engine")


class Attempts:
    """The executor's side of every run of one engine."""

    def __init__(
        self,
        *,
        executor: Executor,
        store: Store,
        blobs: Blobs,
        leases: Leases,
        live_of: Callable[[bytes], Live | None],
        deliver: Callable[[Live, Stimulus], None],
        spawn: Callable[[Awaitable[None]], None],
    ) -> None:
        self._executor: Final = executor
        self._store: Final = store
        self._blobs: Final = blobs
        self._leases: Final = leases
        self._live_of: Final = live_of
        self._deliver: Final = deliver
        self._spawn: Final = spawn
        self._prepared: Final[dict[str, Attempt]] = {}
        executor.observe(self._observe)

    def prepare(self, live: Live, intents: Iterable[ev.TaskStarted]) -> None:
        """Get ready for these starts while their intents are being written."""
        for started in intents:
            with suppress(NeedsLoad):  # then it is not quick
                attempt = attempt_of(live.run, started)
                self._prepared[attempt.id] = attempt
                self._executor.prepare(attempt)

    def abandon(self, live: Live, intents: Iterable[ev.TaskStarted]) -> None:
        """Undo what was prepared for intents that could not be written."""
        for started in intents:
            attempt = attempt_id(live.run.id, started.key, started.attempt)
            if self._prepared.pop(attempt, None):
                self._await(self._executor.release(attempt, keep=False))

    def start(self, live: Live, started: ev.TaskStarted) -> None:
        """Start the attempt of a committed intent."""
        name = attempt_id(live.run.id, started.key, started.attempt)
        attempt = self._prepared.pop(name, None) or self._attempt(live, started)
        self._await(self._begun(live, attempt, self._executor.start(attempt)))

    def stop(self, live: Live, action: Stop) -> None:
        """Stop the open attempt of a task whose stopping is committed."""
        number = live.run.tasks[action.key].attempt
        self._spawn(self._executor.stop(attempt_id(live.run.id, action.key, number), action.grace_ms))

    def release(self, live: Live, ended: ev.TaskEnded) -> None:
        """Let go of an attempt whose receipt is committed; a failed one keeps its folder for `run shell`."""
        attempt = attempt_id(live.run.id, ended.key, ended.attempt)
        live.renew.discard(ended.key)
        self._await(self._executor.release(attempt, keep=ended.verdict not in ("success", "cancelled")))

    async def recover(self, live: Live) -> None:
        """Take up every open attempt of an adopted run: find it, or start it for the first time."""
        if not live.run.open:
            return
        intents: dict[str, ev.TaskStarted] = {}
        for record in self._store.read(live.stream):
            if isinstance(record.event, ev.TaskStarted) and record.event.key in live.run.open:
                intents[record.event.key] = record.event
        for key, number in list(live.run.open.items()):
            self.lease(live, key)
            attempt = self._attempt(live, intents[key])
            task = live.run.tasks[key]
            if await self._executor.find(attempt):
                if task.stopping:
                    self.stop(live, Stop(key, live.run.step_of(key).grace_ms))
            elif task.stopping:
                self._fail(live, key, number, "cancelled", "stopped before it was started", stopped=True)
            else:
                await self._begun(live, attempt, self._executor.start(attempt))

    def sweep(self) -> None:
        """Let go of what a crash between receipt and release left; failed attempts stay for `run shell`.

        So does what was prepared for an attempt that never was, once its run is over: until then it may be.
        """
        left = set(self._executor.leftovers())
        for run in self._store.runs(RunQuery(limit=SWEPT_RUNS)) if left else ():
            for task in self._store.tasks(run.id):
                numbers = set(range(1, task.attempts + (1 if run.ended_at is None else 2)))
                if task.status not in (State.SUCCESS, State.CANCELLED):
                    numbers.discard(task.attempts)
                for number in numbers:
                    attempt = attempt_id(run.id, task.key, number)
                    if attempt in left:
                        self._await(self._executor.release(attempt, keep=False))

    def lease(self, live: Live, key: str) -> None:
        """Let the open attempt of a task hold a slot."""
        number = live.run.open[key]
        self._leases.take(attempt_id(live.run.id, key, number), Lease(live.run.id, key, number))

    # --- inside ------------------------------------------------------------------------------------

    def _attempt(self, live: Live, started: ev.TaskStarted) -> Attempt:
        try:
            return attempt_of(live.run, started)
        except NeedsLoad as needed:
            live.run.known[needed.digest] = self.value(needed.digest)
            return attempt_of(live.run, started)

    def value(self, digest: str) -> Any:
        """Return the JSON value of a blob."""
        return msgspec.json.decode(self._blobs.get(digest))

    def _await(self, work: Awaitable[None]) -> None:
        if not isinstance(work, Done):
            self._spawn(work)

    async def _begun(self, live: Live, attempt: Attempt, starting: Awaitable[None]) -> None:
        try:
            await starting
        except Exception as defect:
            log.exception("attempt %s of %s: the executor failed", attempt.key, attempt.run)
            if not await self._executor.find(attempt):
                self._fail(live, attempt.key, attempt.number, "start_failed", str(defect))

    def _observe(self, observation: Observation) -> None:
        lease = self._leases.of(observation.attempt)
        live = self._live_of(lease.run) if lease else None
        if lease is None or live is None:
            return
        if isinstance(observation, Report):
            said = (observation.progress, observation.message, observation.metrics)
            self._deliver(live, Reported(lease.key, lease.number, *said))
        elif isinstance(observation, Ended):
            self._collect(live, lease.key, lease.number, observation.attempt)

    def _collect(self, live: Live, key: str, number: int, attempt: str) -> None:
        try:
            outcome = self._executor.collect(attempt)
        except Exception as defect:  # noqa: BLE001 - logged there; the attempt needs a verdict
            self._uncollected(live, key, number, defect)
            return
        if isinstance(outcome, Done):
            self._collected(live, key, number, outcome.result)
        else:
            self._spawn(self._collect_slowly(live, key, number, outcome))

    async def _collect_slowly(self, live: Live, key: str, number: int, outcome: Awaitable[Outcome]) -> None:
        try:
            self._collected(live, key, number, await outcome)
        except Exception as defect:  # noqa: BLE001 - as above
            self._uncollected(live, key, number, defect)

    def _collected(self, live: Live, key: str, number: int, outcome: Outcome) -> None:
        self._deliver(live, Observed(key, number, outcome, renew=key in live.renew))

    def _uncollected(self, live: Live, key: str, number: int, defect: Exception) -> None:
        log.error("attempt %s of %s cannot be collected", key, live.run.text, exc_info=defect)
        self._fail(live, key, number, "collect_failed", str(defect))

    def _fail(
        self, live: Live, key: str, number: int, code: str, message: str, *, stopped: bool = False
    ) -> None:
        failure = ev.Failure(code, message, step=live.run.tasks[key].step, attempt=number)
        name = attempt_id(live.run.id, key, number)
        outcome = Outcome(attempt=name, stopped=stopped, reason="error", failure=failure)
        self._deliver(live, Observed(key, number, outcome))
