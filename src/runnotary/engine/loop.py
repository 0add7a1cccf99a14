"""The loop around the core: stimuli in, one commit per turn, then the actions it ordered.

A turn of one run: drain its inbox, `decide`, `fold`, `advance`, append everything in ONE commit, and only
when that is durable perform the actions. Turns of one run never overlap; turns of many runs share
commits because the store groups them. The loop holds no truth: whatever goes wrong with a commit, the
run is dropped, folded again from its log and planned again.

Write before act, in this file: `_commit` is always awaited before `_perform`. Only what nobody outside can
notice (the empty room of an attempt to come) is made ready while the commit is on its way.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from runnotary.core import events as ev
from runnotary.core.chain import ENGINE_ACTOR, RUN, run_stream
from runnotary.core.decide import Stimulus, decide
from runnotary.core.documents import key_rows, rows, use_rows
from runnotary.core.errors import Conflict, NotRecorded, RunnotaryError, Unreachable
from runnotary.core.fold import fold, replay
from runnotary.core.ids import attempt_id
from runnotary.core.plan import Room, Start, Stop, Turn, advance
from runnotary.core.rows import TaskRow
from runnotary.core.run import Run
from runnotary.engine.attempts import Attempts
from runnotary.engine.background import Background
from runnotary.engine.leases import Leases, Load
from runnotary.engine.ledger import LedgerWriter
from runnotary.engine.let_go import LetGo
from runnotary.engine.live import Command, Gone, Live, answer, by_actor
from runnotary.engine.parts import Parts
from runnotary.engine.timers import Timers
from runnotary.ports import Change, Executor, Refusal

Intents = Mapping[str, ev.TaskStarted]
DISK_FULL: Final = "disk_full"

log = logging.getLogger("runnotary.engine")


class Engine:
    """Runs flows over the ports it is given; one per home."""

    def __init__(self, parts: Parts, executor: Executor, *, slots: int, place: str = "") -> None:
        """`place` names this engine among those that share the record; its attempts are to be found there."""
        self._store: Final = parts.store
        self._blobs: Final = parts.blobs
        self._clock: Final = parts.clock
        self._chance: Final = parts.chance
        self._flow_of: Final = parts.flow_of
        self._ledger: Final = LedgerWriter(parts)
        self._leases: Final = Leases(slots)
        self._place: Final = place
        self._timers: Final = Timers(parts.clock, self._due)
        self._live: dict[bytes, Live] = {}
        self._background: Final = Background()
        self._spawn: Final = self._background.spawn
        self._draining = False
        self._let_go: Final = LetGo(drop=self._drop, adopt=self.adopt, resume=self._resume, spawn=self._spawn)
        self._attempts: Final = Attempts(
            executor=executor,
            store=parts.store,
            blobs=parts.blobs,
            leases=self._leases,
            live_of=self._live.get,
            deliver=self._deliver,
            spawn=self._spawn,
            let_go=self._let_go.add,
        )

    # --- what the service asks ---------------------------------------------------------------------

    def open(self) -> None:
        """Clear away what the engine before us had no time for, and listen to others from now on."""
        self._attempts.sweep()
        self._store.share(self)

    async def create(self, run_id: bytes, created: ev.RunCreated, actor: bytes) -> None:
        """Accept a run; on return it is durable and its first attempts are ordered.

        Raises:
            Conflict: a run with this id exists. NotRecorded: the store failed to write it.
        """
        now = self._clock.now()
        live = Live(Run(run_id, self._flow_of(created.definition)))
        fold(live.run, created, now)
        self._live[run_id] = live
        live.driving = True
        try:
            await self._turn(live, [(actor, created)], now)
        except BaseException as error:
            self._drop(live)
            if isinstance(error, Unreachable):  # it may be written nevertheless
                self._let_go.add(live, error)
            raise
        self._after_turn(live)

    async def adopt(self, run_id: bytes, *, renew: bool = False) -> None:
        """Take up an open run: fold its log, find its open attempts again, plan on.

        `renew` is a person's wish to go on: an attempt that turns out lost is tried again. Nothing happens
        to a run that another engine works on.
        """
        if run_id not in self._live:
            await self._adopted(run_id, renew=renew)

    # --- what others do to the record --------------------------------------------------------------

    def grown(self, changes: Sequence[Change]) -> None:
        """Look again at runs of ours to which somebody else added something."""
        for change in changes:
            live = self._live.get(change.stream[1:]) if change.stream[:1] == RUN else None
            if live is not None and change.seq > live.run.seq:
                live.seen = change.seq
                self._poke(live)

    def taken(self, runs: Sequence[bytes]) -> None:
        """Go on with runs of which the engine is gone."""
        self._let_go.take_up(*runs)

    def answers(self) -> None:
        """Take up again what was let go of while the record could not be reached."""
        self._let_go.again()

    def given_up(self) -> None:
        """See which runs are still ours; what others go on with, they do without our attempts."""
        for live in list(self._live.values()):
            live.seen = live.run.seq + 1
            self._poke(live)

    async def command(self, run_id: bytes, stimulus: Stimulus, actor: bytes) -> None:
        """Apply a command; on return it is durable.

        Raises:
            RunnotaryError: the run's state refuses it.
            Gone: this engine does not hold the run, or not any more.
        """
        live = self._live.get(run_id)
        if live is None:
            raise Gone("no engine holds this run now")
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        live.inbox.append(Command(stimulus, actor, answer))
        self._poke(live)
        await answer

    @property
    def busy(self) -> bool:
        """Tell whether a turn or an action is under way (a simulator moves time only when none is)."""
        return bool(self._background)

    @property
    def load(self) -> Load:
        """How much is under way; takes as long as there are open runs."""
        queued = sum(len(live.run.queued) for live in self._live.values())
        return Load(len(self._live), queued, self._leases.used, self._leases.slots)

    def holds(self, run_id: bytes) -> bool:
        """Tell whether the run is open here."""
        return run_id in self._live

    def ended(self, run_id: bytes) -> asyncio.Future[None]:
        """Return a future that is done once the run is over, or no longer here."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        live = self._live.get(run_id)
        if live is None:
            future.set_result(None)
        else:
            live.done.append(future)
        return future

    def watch(self, run_id: bytes, called: Callable[[], None]) -> None:
        """Call `called` after each commit of the run, until it is over."""
        if run_id in self._live:
            self._live[run_id].watchers.append(called)

    def clear(self, run_id: bytes, tasks: Iterable[TaskRow]) -> None:
        """Let go of whatever is still kept for the attempts of a run that was purged."""
        self._attempts.purge(run_id, tasks)

    def drain(self) -> None:
        """Start nothing new from now on; attempts that run live on under the keeper."""
        self._draining = True

    async def close(self) -> None:
        """Let turns under way finish their commit; what is outside goes on without us."""
        self.drain()
        self._timers.clear()
        await self._background.close()

    async def _adopted(self, run_id: bytes, *, renew: bool = False) -> Live | None:
        if not await self._store.claim(run_id) or run_id in self._live:
            return None
        live = Live(replay(run_id, self._store.read(run_stream(run_id)), self._flow_of))
        live.run.touched.clear()
        if live.run.finished is not None:
            return None
        place = self._attempts.elsewhere(live)
        if place and await self._store.hand_over(run_id, place):
            return None  # whoever is there now has the keeper that its attempts are under
        self._live[run_id] = live
        live.renew = set(live.run.open) if renew else set()
        try:
            await self._attempts.recover(live)
        except Unreachable:
            self._drop(live)
            raise
        self._poke(live)
        return live

    # --- turns -------------------------------------------------------------------------------------

    def _poke(self, live: Live) -> None:
        live.again = True
        if not live.driving:
            live.driving = True
            self._spawn(self._drive(live))

    async def _drive(self, live: Live) -> None:
        """Turn until nothing is left to do; what arrives meanwhile is drained by the next turn."""
        answers: list[asyncio.Future[None]] = []
        try:
            while live.again and self._live.get(live.run.id) is live:
                live.again = False
                if live.seen > live.run.seq:
                    await self._reload(live)
                    break
                now = max(self._clock.now(), live.run.at)
                stimuli, live.inbox = live.inbox, deque()
                answers = [entry.answer for entry in stimuli if isinstance(entry, Command)]
                committed = await self._turn(live, self._decided(live, stimuli, now), now)
                answer(answers, None if committed else Gone("the run changed meanwhile; look again"))
        except Unreachable as away:
            self._let_go.add(live, away, *answers)
        except Exception as defect:
            log.exception("run %s cannot go on", live.run.text, extra={"about": {"run": live.run.text}})
            kind = NotRecorded if isinstance(defect, NotRecorded) else Conflict
            wrong = kind(f"run {live.run.text} cannot go on here: {defect}")
            self._forget(live, wrong, *answers, *live.answers)
        else:
            self._after_turn(live)

    def _after_turn(self, live: Live) -> None:
        live.driving = False
        held = self._live.get(live.run.id) is live
        if held and live.again:  # also of a run that is over: somebody may wait for an answer
            self._poke(live)
            return
        answer(live.answers, Gone("no engine holds this run now"))
        if held and live.run.finished is not None:
            self._forget(live)

    def _decided(
        self, live: Live, stimuli: Iterable[Stimulus | Command], now: int
    ) -> list[tuple[bytes, ev.Event]]:
        """Turn stimuli into folded facts with their actors; refusals go back at once."""
        decided: list[tuple[bytes, ev.Event]] = []
        for entry in stimuli:
            command = entry if isinstance(entry, Command) else None
            stimulus = entry.stimulus if isinstance(entry, Command) else entry
            chance = int.from_bytes(self._chance.token(2), "big")
            try:
                facts = decide(live.run, stimulus, now=now, chance=chance)
            except RunnotaryError as refusal:
                if command is None:
                    raise
                answer([command.answer], refusal)
                continue
            for fact in facts:
                fold(live.run, fact, now)
                decided.append((command.actor if command else ENGINE_ACTOR, fact))
                if isinstance(fact, ev.TaskEnded):
                    # The attempt is dead: its slot may be used by what this very turn starts.
                    self._leases.give_back(attempt_id(live.run.id, fact.key, fact.attempt))
        return decided

    async def _turn(self, live: Live, decided: list[tuple[bytes, ev.Event]], now: int) -> bool:
        """Plan what follows, commit all of it, act. False: the commit was refused, the run was reloaded."""
        turn = await self._planned(live, now)
        events = decided + [(ENGINE_ACTOR, event) for event in turn.events]
        if not events:
            self._timers.set(live.run.id, live.run.dues[0][0] if live.run.dues else None)
            return True
        if step := self._clock.stepped():
            self._spawn(self._ledger.note_step(step))
        intents = {event.key: event for event in turn.events if isinstance(event, ev.TaskStarted)}
        ended = [event for _, event in events if isinstance(event, ev.TaskEnded)]
        full = any(event.error is not None and event.error.code == DISK_FULL for event in ended)
        if not await self._commit(live, events, {} if full else intents, now):
            return False
        if full:  # what follows needs the room that the failed attempt takes
            await self._attempts.clear(live, ended)
            ended = []
        self._perform(live, turn, intents, ended)
        self._timers.set(live.run.id, live.run.dues[0][0] if live.run.dues else None)
        for watcher in live.watchers:
            watcher()
        return True

    async def _planned(self, live: Live, now: int) -> Turn:
        whole = Turn()
        while True:
            room = Room(0 if self._draining else self._leases.free, self._place)
            turn = advance(live.run, room=room, now=now)
            for action in turn.actions:
                if isinstance(action, Start):
                    self._attempts.lease(live, action.key)
            whole.events += turn.events
            whole.actions += turn.actions
            for data in turn.blobs:
                self._blobs.put(data)
            if not turn.loads:
                break
            for digest in turn.loads:
                live.run.known[digest] = self._attempts.value(digest)
        self._leases.hungry(live.run.id, bool(live.run.queued) and not self._draining)
        return whole

    async def _commit(
        self, live: Live, events: list[tuple[bytes, ev.Event]], ready: Intents, now: int
    ) -> bool:
        expected = live.run.seq - len(events)
        touched, live.run.touched = live.run.touched, set()
        batch = by_actor(live.stream, events, expected, now)
        keyed = () if expected else key_rows(live.run)
        over = any(isinstance(event, ev.RunFinished) for _, event in events)
        used = use_rows(live.run, self._attempts.value) if over else ()
        batch[-1] = msgspec.structs.replace(batch[-1], rows=(*rows(live.run, touched), *keyed, *used))
        starts = self._attempts.starts(live, ready.values()) if ready else None
        results = await self._store.append(batch, starts)
        refusal = next((result for result in results if isinstance(result, Refusal)), None)
        if refusal is None:
            return True
        if starts:
            starts.abandon()
        if refusal.code != "conflict" or not expected:
            self._drop(live)
            raise refusal.error(f"run {live.run.text} could not be stored")
        await self._reload(live)
        return False

    async def _reload(self, live: Live) -> None:
        """Fold a run again that grew elsewhere; if it is over, or another engine's, let go of it."""
        about = {"run": live.run.text}
        log.info("run %s grew elsewhere; it is folded again", live.run.text, extra={"about": about})
        self._drop(live)
        await self._resume(live)

    async def _resume(self, live: Live) -> None:
        again = await self._adopted(live.run.id) or self._live.get(live.run.id)
        if again is None:
            self._attempts.disown(live)
            answer(live.done, None)
            return
        again.watchers += live.watchers
        again.done += live.done
        again.inbox.extend(live.inbox)
        live.inbox.clear()
        for watcher in again.watchers:
            watcher()

    def _perform(self, live: Live, turn: Turn, intents: Intents, ended: Iterable[ev.TaskEnded]) -> None:
        """Do what the committed turn ordered, and let go of what it has the receipt for."""
        for action in turn.actions:
            if isinstance(action, Start):
                self._attempts.start(live, intents[action.key])
            elif isinstance(action, Stop):
                self._attempts.stop(live, action)
        for event in ended:
            self._attempts.release(live, event)
        for run_id in self._leases.next_hungry():
            self._due(run_id)

    def _due(self, run_id: bytes) -> None:
        if run_id in self._live:
            self._poke(self._live[run_id])

    def _deliver(self, live: Live, stimulus: Stimulus) -> None:
        live.inbox.append(stimulus)
        self._poke(live)

    def _drop(self, live: Live) -> None:
        self._live.pop(live.run.id, None)
        self._timers.set(live.run.id, None)
        self._leases.drop(live.run.id)

    def _forget(
        self, live: Live, error: RunnotaryError | None = None, *answers: asyncio.Future[None]
    ) -> None:
        """Let a run leave memory and wake whoever waited for it."""
        self._drop(live)
        answer([*live.done, *answers], error)
