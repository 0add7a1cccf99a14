"""The executor `process`: runs attempts on this machine, as children of the keeper.

It never waits for a child. An attempt's end is what its record says, whether this executor started it or
found it, so taking up the attempts of an engine that died is no special case: `_look` reads how an attempt
stands, and everything else follows from that. The rules of recovery are in docs/keeper.md.

Work that blocks (large inputs, long logs, secrets) goes to a thread; for a small step a thread would cost
more than the work.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec

from runnotary.core.attempts import Attempt, Outcome
from runnotary.core.errors import Conflict, RunnotaryError, Unreachable
from runnotary.executors import attempt_record, containment
from runnotary.executors.process import environment, recovery, rendezvous
from runnotary.executors.process.collecting import Collector
from runnotary.executors.process.environment import Shell
from runnotary.executors.process.failures import Refused, from_keeper
from runnotary.executors.process.folders import Claimed, Folders
from runnotary.executors.process.held import Held
from runnotary.executors.process.keeper_client import KeeperClient
from runnotary.executors.process.keeper_connection import Hearing, KeeperRefused
from runnotary.executors.process.preparing import Preparer
from runnotary.executors.process.regular import size_of
from runnotary.ports import Blobs, Done, Ended, Observation

_TICK_S: Final = 0.5
_GLANCE_S: Final = 0.02
_TRIES: Final = 3
_LEAVING_S: Final = 10.0

log: Final = logging.getLogger("runnotary.executors.process")


class ProcessSettings(msgspec.Struct, frozen=True, kw_only=True):
    """`log_limit`: bytes kept of a stream. `log_stop`: bytes on disk at which a step is stopped.

    `keeper` are further arguments of the keeper (docs/keeper.md), such as `idle=1`.
    """

    log_limit: int = 16 << 20
    log_stop: int = 4 << 30
    keeper: tuple[str, ...] = ()


class ProcessExecutor:
    """The port `Executor` over the keeper of one home."""

    def __init__(
        self,
        home: Path,
        blobs: Blobs,
        secrets: Callable[[str], str],
        *,
        environ: Mapping[str, str] = os.environ,
        settings: ProcessSettings | None = None,
    ) -> None:
        settings = settings or ProcessSettings()
        root = os.path.realpath(home)
        self._notify: Callable[[Observation], None] = lambda _: None
        self._folders = Folders(f"{root}/attempts")
        self._preparer = Preparer(self._folders, blobs, secrets, environ)
        self._collector = Collector(blobs, log_limit=settings.log_limit, log_stop=settings.log_stop)
        self._boot_id = containment.boot_id()
        self._ready: dict[str, Held] = {}
        self._held: dict[str, Held] = {}
        self._running: set[str] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._background: set[asyncio.Task[None]] = set()
        self._keeper = KeeperClient(
            self._folders.path,
            partial(rendezvous.socket_of, root, environ),
            f"{root}/keeper.log",
            environment=self._preparer.shared,
            options=settings.keeper,
            hearing=Hearing(self._exited, self._refused, self._keeper_lost),
        )

    def observe(self, notify: Callable[[Observation], None]) -> None:
        """Send observations to `notify`, in the engine's loop, from now on."""
        self._notify = notify

    async def close(self) -> None:
        """Let go of everything here; attempts live on under the keeper."""
        self._notify = lambda _: None
        self._running.clear()
        if self._timer is not None:
            self._timer.cancel()
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        await self._keeper.close()
        self._folders.close()

    # --- start -------------------------------------------------------------------------------------

    def prepare(self, attempt: Attempt) -> None:
        """Get ready for a start that is being written down, if that is quick, and get the keeper ready."""
        if attempt.id in self._held or attempt.id in self._ready or not self._preparer.is_quick(attempt):
            return
        held = Held(attempt, self._folders.of(attempt.id))
        with suppress(Claimed, Refused, Unreachable):  # the start meets the same, and says so
            self._preparer.prepare_now(held)
            self._keeper.tell("ready", now=True, **_request(held, {}))
            self._preparer.note(held)
            held.shot = self._keeper.load("go", attempt=attempt.id)
            self._ready[attempt.id] = held

    def begin(self, attempt_id: str) -> None:
        """Let the keeper start what was prepared; in whichever thread."""
        held = self._ready.get(attempt_id)
        if held is not None and held.shot is not None:
            held.shot.fire()

    def start(self, attempt: Attempt) -> Awaitable[None]:
        """Stage inputs and start; done once the start is claimed. Never starts an id twice."""
        if attempt.id in self._held:
            return Done(None)
        held = self._ready.pop(attempt.id, None)
        if held is None:
            held = self._held[attempt.id] = Held(attempt, self._folders.of(attempt.id))
            return self._start(held)
        self._held[attempt.id] = held
        held.asked = True
        if held.shot is None:
            return self._start(held)
        held.shot.fire()
        if held.state == "ended":  # it was quicker than we are
            asyncio.get_running_loop().call_soon(self._tell, Ended(attempt.id))
        else:
            self._run(held)
        return Done(None)

    async def _start(self, held: Held) -> None:
        """Bring a start to its end."""
        attempt = held.attempt
        try:
            secrets = {} if held.asked else await self._preparer.prepare(held)
            if held.stop_grace_ms is not None and not held.asked:
                raise Refused("stopped", "stopped before it was started")
            await self._ask(held, secrets)
        except Claimed:
            await self._take_up(held)
        except Refused as refused:
            held.refused = refused
            self._end(held)
        except Exception as error:
            if isinstance(error, Unreachable) and not held.asked:
                self._held.pop(attempt.id, None)  # what it needs cannot be read now
                raise
            # Whatever it was, the attempt must come to an end.
            about = {"run": attempt.run, "task": attempt.key, "attempt": attempt.number}
            log.exception("%(task)s of %(run)s cannot be started", about, extra={"about": about})
            if held.asked and await self._look(held):
                return
            held.refused = Refused("not_started", f"{type(error).__name__} while it was being prepared")
            self._end(held)

    async def _ask(self, held: Held, secrets: Mapping[str, str]) -> None:
        """Ask the keeper to start it; the record decides if the keeper does not answer."""
        fields = _request(held, secrets)
        held.asked = True
        deadline = asyncio.get_running_loop().time() + _LEAVING_S
        tries = 0
        while True:
            try:
                answer = await self._keeper.request("start", **fields)
            except Unreachable as error:
                tries += 1
                if await self._look(held):
                    return
                if tries == _TRIES:
                    raise from_keeper(error) from None
            except KeeperRefused as refused:
                # A keeper that is leaving makes room for the next one.
                late = asyncio.get_running_loop().time() > deadline
                if refused.answer.get("error") != "quitting" or late:
                    raise from_keeper(refused) from None
                await asyncio.sleep(_GLANCE_S)
            else:
                await self._started(held, answer)
                return

    async def _started(self, held: Held, answer: dict[str, Any]) -> None:
        if answer["started"] and answer["state"] == "running":
            self._run(held)
            if held.stop_grace_ms is not None:
                await self.stop(held.attempt.id, held.stop_grace_ms)
        elif answer["started"]:
            self._end(held)
        else:
            await self._look(held)

    # --- find --------------------------------------------------------------------------------------

    def reach(self, attempt: Attempt) -> str:
        """Every attempt of a home is here."""
        del attempt
        return ""

    async def find(self, attempt: Attempt) -> bool:
        """Take up an attempt that an earlier engine may have started."""
        held = self._held.get(attempt.id)
        if held is not None:
            if held.state == "ended":
                self._notify(Ended(attempt.id))
            return True
        held = Held(attempt, self._folders.of(attempt.id))
        with suppress(RunnotaryError):
            # What a dead engine sent last is served before our greeting: after it the record is certain.
            await self._keeper.connect(start=False)
        if not os.path.lexists(f"{held.folder}/record"):
            return False
        self._held[attempt.id] = held
        return await self._take_up(held)

    async def _take_up(self, held: Held) -> bool:
        held.asked = True
        await self._preparer.remember(held)
        return await self._look(held)

    async def _look(self, held: Held) -> bool:
        """Find out from the record how an attempt stands; False: it was never started."""
        try:
            record = recovery.record_in(held.folder)
        except FileNotFoundError:
            return False
        if record is not None and record.boot_id != self._boot_id:
            held.lost = "the machine was restarted while it ran"
            self._end(held)
        elif record is not None and record.state == attempt_record.EXITED:
            self._end(held)
        elif await recovery.keeper_lives(self._keeper, held, record):
            self._run(held)
            record = recovery.record_in(held.folder)  # its end may have been announced before we listened
            if record is not None and record.state == attempt_record.EXITED:
                self._end(held)
        else:
            held.lost = await recovery.bury(held, record)
            self._end(held)
        return True

    # --- while it runs -----------------------------------------------------------------------------

    async def stop(self, attempt_id: str, grace_ms: int) -> None:
        """Ask it to end, then make it; the end arrives as `Ended`."""
        held = self._held.get(attempt_id)
        if held is None or held.state == "ended":
            return
        held.stop_grace_ms = grace_ms
        if held.state == "starting":
            return
        if held.orphaned:
            self._spawn(recovery.stop_orphan(held, grace_ms))
            return
        try:
            await self._keeper.request("stop", attempt=attempt_id, grace_ms=grace_ms)
        except (Unreachable, KeeperRefused):
            await self._look(held)

    def _run(self, held: Held) -> None:
        if held.state == "ended":
            return  # its end was quicker than the answer to its start
        held.state = "running"
        self._running.add(held.attempt.id)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_TICK_S, self._tick)

    def _end(self, held: Held, *, at_once: bool = False) -> None:
        """It has ended; tells so once: `at_once`, or when whoever calls has had time to finish."""
        self._running.discard(held.attempt.id)
        if held.state != "ended":
            held.state = "ended"
            if at_once:
                self._notify(Ended(held.attempt.id))
            else:
                asyncio.get_running_loop().call_soon(self._tell, Ended(held.attempt.id))

    def _tell(self, observation: Observation) -> None:
        self._notify(observation)

    def _exited(self, attempt_id: str) -> None:
        """The keeper says that the record is complete."""
        held = self._held.get(attempt_id)
        if held is not None and held.asked and not held.lost:
            self._end(held, at_once=True)
        elif held is None and attempt_id in self._ready:
            self._ready[attempt_id].state = "ended"  # `start` is about to be called, and will tell

    def _refused(self, attempt_id: str, _: Mapping[str, Any]) -> None:
        """The keeper did not do what nobody waits for: a start is asked for again, and then it says why."""
        held = self._held.get(attempt_id)
        if held is not None and held.state == "running":
            self._spawn(self._again(held))

    def _keeper_lost(self) -> None:
        for attempt_id in list(self._running):
            held = self._held[attempt_id]
            if not held.orphaned:
                self._spawn(self._again(held))

    async def _again(self, held: Held) -> None:
        if held.state == "running" and not await self._look(held):
            held.state = "starting"
            self._running.discard(held.attempt.id)
            await self._start(held)

    def _tick(self) -> None:
        """Look at the running attempts: what they report, how much they write, if they are still there."""
        self._timer = None
        if not self._running:
            return
        for attempt_id in list(self._running):
            held = self._held[attempt_id]
            report = held.reports.news(attempt_id) if held.reports else None
            if report is not None:
                self._notify(report)
            longest = max(size_of(f"{held.folder}/{name}") for name in ("stdout", "stderr"))
            if longest > self._collector.log_stop and held.stop_grace_ms is None:
                self._spawn(self.stop(attempt_id, held.attempt.grace_ms))
            if held.orphaned:
                self._spawn(self._again(held))
        self._timer = asyncio.get_running_loop().call_later(_TICK_S, self._tick)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    # --- the end -----------------------------------------------------------------------------------

    def collect(self, attempt_id: str) -> Awaitable[Outcome]:
        """Read the outcome from the attempt's own record; hash and keep what it left."""
        held = self._held.get(attempt_id)
        if held is None or held.state != "ended":
            raise Conflict(f"attempt {attempt_id} is not here, or has not ended")
        if held.refused is not None or self._collector.is_cheap(held):
            return Done(self._collector.collect(held))
        return asyncio.to_thread(self._collector.collect, held)

    def leftovers(self) -> list[str]:
        """Return the attempts that have a folder."""
        return self._folders.names()

    def release(self, attempt_id: str, *, keep: bool) -> Awaitable[None]:
        """Give up everything held for it; `keep` leaves its folder for `run shell`."""
        held = self._held.get(attempt_id)
        if held is not None and held.state != "ended":
            raise Conflict(f"attempt {attempt_id} has not ended")
        self._held.pop(attempt_id, None)
        if self._ready.pop(attempt_id, None) is not None:
            # Its name may be prepared again the next moment, so nothing of this waits.
            self._keeper.tell("release", now=True, attempt=attempt_id)
            if not self._folders.try_recycle(attempt_id):
                self._folders.remove(attempt_id)
            return Done(None)
        self._keeper.tell("release", attempt=attempt_id)
        if held is None and not recovery.is_over(self._folders.of(attempt_id), self._boot_id):
            return Done(None)
        if keep and self._folders.has_room():
            if held is not None and held.attempt.secrets:
                return asyncio.to_thread(self._scrub, held)
        elif not self._folders.try_recycle(attempt_id):
            return asyncio.to_thread(self._folders.remove, attempt_id)
        return Done(None)

    def _scrub(self, held: Held) -> None:
        """A folder that is kept holds no secret; one that cannot be searched is not kept."""
        if held.leaks is None:
            self._folders.remove(held.attempt.id)
        else:
            held.leaks.scrub(held.folder)

    def shell(self, attempt_id: str) -> Shell | None:
        """Return what it takes to stand where a kept attempt stood; None if its folder is gone."""
        return environment.read_shell(self._folders.of(attempt_id))


def _request(held: Held, secrets: Mapping[str, str]) -> dict[str, Any]:
    """Return what the keeper must know to start it."""
    assert held.environment is not None
    fields = {
        "attempt": held.attempt.id,
        "argv": held.attempt.argv,
        "env": held.environment.variables,
        "grace_ms": held.attempt.grace_ms,
    }
    return {**fields, "mask": sorted(set(secrets.values()))} if secrets else fields
