"""Attempts, from intent to release: start, find again, stop, collect, let go.

Everything here but `prepare` happens after the commit that ordered it, and what comes back enters the run's
inbox as a stimulus; this file decides nothing. Whatever goes wrong ends as an outcome that says so, so that
no attempt is left without a verdict.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

import msgspec

from runnotary.core import events as ev
from runnotary.core.attempts import Attempt, Outcome
from runnotary.core.decide import Observed, Reported, Stimulus
from runnotary.core.errors import RunnotaryError, Unreachable
from runnotary.core.ids import attempt_id
from runnotary.core.plan import Stop, attempt_of
from runnotary.core.queries import RunQuery
from runnotary.core.rows import TaskRow
from runnotary.core.scope import NeedsLoad
from runnotary.core.states import State
from runnotary.engine.leases import Lease, Leases
from runnotary.engine.live import Live
from runnotary.ports import Blobs, Done, Ended, Executor, Observation, Report, Store

SWEPT_RUNS: Final = 100
"""How many of the newest runs are looked through: what is left is left by the last engine."""

log = logging.getLogger("runnotary.engine")


class Starts:
    """What goes on beside the commit of some intents: their preparation, then, at once, their start."""

    def __init__(self, attempts: Attempts, live: Live, intents: Iterable[ev.TaskStarted]) -> None:
        self._attempts: Final = attempts
        self._live: Final = live
        self._intents: Final = intents
        self._prepared: Final[list[str]] = []

    def meanwhile(self) -> None:
        """Get ready for them."""
        for started in self._intents:
            attempt = self._attempts.prepare(self._live, started)
            if attempt:
                self._prepared.append(attempt)

    def durable(self) -> None:
        """Let those begin that are ready; the others begin with `Attempts.start`."""
        for attempt in self._prepared:
            self._attempts.begin(attempt)

    def abandon(self) -> None:
        """Undo it: the intents could not be written."""
        for attempt in self._prepared:
            self._attempts.abandon(attempt)


class Attempts:
    """The executor's side of every run of one engine."""

    def __init__(  # noqa: PLR0913 - the ports, and what the loop does for it
        self,
        *,
        executor: Executor,
        store: Store,
        blobs: Blobs,
        leases: Leases,
        live_of: Callable[[bytes], Live | None],
        deliver: Callable[[Live, Stimulus], None],
        spawn: Callable[[Awaitable[None]], None],
        let_go: Callable[[Live, RunnotaryError], None],
    ) -> None:
        """`let_go` is called with a run of which something cannot be read now: it is taken up again."""
        self._executor: Final = executor
        self._store: Final = store
        self._blobs: Final = blobs
        self._leases: Final = leases
        self._live_of: Final = live_of
        self._deliver: Final = deliver
        self._spawn: Final = spawn
        self._let_go: Final = let_go
        self._prepared: Final[dict[str, Attempt]] = {}
        self._disowned: Final[set[str]] = set()
        executor.observe(self._observe)

    def starts(self, live: Live, intents: Iterable[ev.TaskStarted]) -> Starts:
        """Return what goes on beside the commit of these intents."""
        return Starts(self, live, intents)

    def prepare(self, live: Live, started: ev.TaskStarted) -> str:
        """Get ready for a start while its intent is being written; returns the attempt, "" if it is not."""
        try:
            attempt = attempt_of(live.run, started)
        except NeedsLoad:
            return ""  # it is not quick
        self._prepared[attempt.id] = attempt
        self._executor.prepare(attempt)
        return attempt.id

    def begin(self, attempt: str) -> None:
        """Start what was prepared, its intent being durable; in whichever thread."""
        self._executor.begin(attempt)

    def abandon(self, attempt: str) -> None:
        """Undo what was prepared for an intent that could not be written."""
        if self._prepared.pop(attempt, None):
            self._await(self._executor.release(attempt, keep=False))

    def start(self, live: Live, started: ev.TaskStarted) -> None:
        """Start the attempt of a committed intent."""
        name = attempt_id(live.run.id, started.key, started.attempt)
        attempt = self._prepared.pop(name, None) or self._attempt(live, started)
        starting = self._executor.start(attempt)
        if not isinstance(starting, Done):
            self._spawn(self._begun(live, attempt, starting))

    def stop(self, live: Live, action: Stop) -> None:
        """Stop the open attempt of a task whose stopping is committed."""
        number = live.run.tasks[action.key].attempt
        self._spawn(self._executor.stop(attempt_id(live.run.id, action.key, number), action.grace_ms))

    def release(self, live: Live, ended: ev.TaskEnded) -> None:
        """Let go of an attempt whose receipt is committed; a failed one keeps its folder for `run shell`."""
        self._await(self._released(live, ended))

    async def clear(self, live: Live, ended: Iterable[ev.TaskEnded]) -> None:
        """Let go of attempts, and of all they held, before this returns."""
        for one in ended:
            await self._released(live, one)

    def elsewhere(self, live: Live) -> str:
        """Return the place that alone can tell how the open attempts of a run stand, if there is one."""
        places = {self._executor.reach(attempt) for attempt in self._intended(live).values()}
        return places.pop() if len(places) == 1 else ""

    async def recover(self, live: Live) -> None:
        """Take up every open attempt of an adopted run: find it, or start it for the first time."""
        for key, attempt in self._intended(live).items():
            number, task = live.run.open[key], live.run.tasks[key]
            self.lease(live, key)
            if await self._executor.find(attempt):
                if task.stopping:
                    self.stop(live, Stop(key, live.run.step_of(key).grace_ms))
            elif task.stopping:
                self._fail(live, key, number, "cancelled", "stopped before it was started", stopped=True)
            else:
                await self._begun(live, attempt, self._executor.start(attempt))

    def _intended(self, live: Live) -> dict[str, Attempt]:
        """Return the open attempts of a run, as their intents say them."""
        if not live.run.open:
            return {}
        intents: dict[str, ev.TaskStarted] = {}
        for record in self._store.read(live.stream):
            if isinstance(record.event, ev.TaskStarted) and record.event.key in live.run.open:
                intents[record.event.key] = record.event
        return {key: self._attempt(live, intents[key]) for key in live.run.open}

    def sweep(self) -> None:
        """Let go of what a crash between receipt and release left; failed attempts stay for `run shell`.

        So does what was prepared for an attempt that never was, once its run is over: until then it may be.
        """
        left = set(self._executor.leftovers())
        for run in self._store.runs(RunQuery(limit=SWEPT_RUNS, include_archived=True)) if left else ():
            for task in self._store.tasks(run.id):
                numbers = set(range(1, task.attempts + (1 if run.ended_at is None else 2)))
                if task.status not in (State.SUCCESS, State.CANCELLED):
                    numbers.discard(task.attempts)
                for number in numbers:
                    attempt = attempt_id(run.id, task.key, number)
                    if attempt in left:
                        self._await(self._executor.release(attempt, keep=False))

    def purge(self, run_id: bytes, tasks: Iterable[TaskRow]) -> None:
        """Let go of the folders that were kept for `run shell`: the run is no more."""
        left = set(self._executor.leftovers())
        for task in tasks if left else ():
            for number in range(1, task.attempts + 1):
                attempt = attempt_id(run_id, task.key, number)
                if attempt in left:
                    self._await(self._executor.release(attempt, keep=False))

    def lease(self, live: Live, key: str) -> None:
        """Let the open attempt of a task hold a slot."""
        number = live.run.open[key]
        self._leases.take(attempt_id(live.run.id, key, number), Lease(live.run.id, key, number))

    def disown(self, live: Live) -> None:
        """Stop the attempts of a run that is another engine's by now, and let go of them at their end."""
        for key, number in live.run.open.items():
            attempt = attempt_id(live.run.id, key, number)
            self._disowned.add(attempt)
            self._spawn(self._executor.stop(attempt, live.run.step_of(key).grace_ms))

    # --- inside ------------------------------------------------------------------------------------

    def _released(self, live: Live, ended: ev.TaskEnded) -> Awaitable[None]:
        live.renew.discard(ended.key)
        attempt = attempt_id(live.run.id, ended.key, ended.attempt)
        return self._executor.release(attempt, keep=ended.verdict not in ("success", "cancelled"))

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
        except Unreachable as away:
            self._let_go(live, away)
        except Exception as defect:
            about = {"run": attempt.run, "task": attempt.key, "attempt": attempt.number}
            log.exception("%(task)s of %(run)s: the executor failed", about, extra={"about": about})
            if not await self._executor.find(attempt):
                self._fail(live, attempt.key, attempt.number, "start_failed", str(defect))

    def _observe(self, observation: Observation) -> None:
        if observation.attempt in self._disowned:
            if isinstance(observation, Ended):
                self._disowned.discard(observation.attempt)
                self._await(self._executor.release(observation.attempt, keep=False))
            return
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
        if isinstance(defect, Unreachable):
            self._let_go(live, defect)
            return
        about = {"run": live.run.text, "task": key, "attempt": number}
        log.error("%(task)s of %(run)s cannot be collected", about, exc_info=defect, extra={"about": about})
        self._fail(live, key, number, "collect_failed", str(defect))

    def _fail(
        self, live: Live, key: str, number: int, code: str, message: str, *, stopped: bool = False
    ) -> None:
        failure = ev.Failure(code, message, step=live.run.tasks[key].step, attempt=number)
        name = attempt_id(live.run.id, key, number)
        outcome = Outcome(attempt=name, stopped=stopped, reason="error", failure=failure)
        self._deliver(live, Observed(key, number, outcome))
