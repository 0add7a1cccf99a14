"""Forgetting a person: what a home says about them goes, what is still in force is said again.

Rules of this file:

1. First it says what it would do (`plan`), then it does that: runs, then ledgers, then what is left in files.
2. Every ledger changes in one commit, all of them in the same one: killed at any moment, each run and all
   ledgers together are as before or as after, and asked again it goes on.
3. The salt of actor ids goes with it: nobody can be found any more by the ids in what was recorded before.
4. A home at work must not be changed below its engine: whoever calls this holds the home alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any, Final

import msgspec

from runnotary.core import principals
from runnotary.core.chain import ENGINE_ACTOR, NONCE_SIZE, RUN, Recorded, actor_id, ledger_stream, stream_name
from runnotary.core.errors import Conflict, Damaged, Held, InvalidInput, NotEnded
from runnotary.core.events import By, EngineNoted, Event
from runnotary.core.forgetting import Forgotten, Person, forget, salts, tombstones
from runnotary.core.ids import to_text
from runnotary.core.ledger import SALT, Ledger, fold
from runnotary.core.rows import FlowRow, RunRow
from runnotary.engine.access import Access
from runnotary.engine.parts import Parts
from runnotary.engine.retention import Retention
from runnotary.engine.submission import checked
from runnotary.ports import Append, Refusal

Json = Any
TRIES: Final = 5
SALT_SIZE: Final = 32
HOME: Final = "default"


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What a home says about a person."""

    person: Person
    tokens: tuple[str, ...]
    roles: dict[str, tuple[str, ...]]
    groups: tuple[str, ...]
    ledgers: dict[str, Forgotten]
    owned: tuple[RunRow, ...]
    naming: tuple[RunRow, ...]
    mentions: tuple[str, ...]
    """Runs in which only the bare name stands, whoever it means."""

    @property
    def runs(self) -> tuple[RunRow, ...]:
        return self.owned + self.naming

    @property
    def document(self) -> Json:
        """The plan as people and programs read it."""
        return {
            "principal": self.person.principal,
            "tokens": list(self.tokens),
            "roles": {name: list(roles) for name, roles in self.roles.items()},
            "groups": list(self.groups),
            "ledgers": {
                name: {"erased": len(one.seqs), "said_again": len(one.again), "kept": list(one.kept)}
                for name, one in self.ledgers.items()
            },
            "owned": [to_text(row.id) for row in self.owned],
            "naming": [to_text(row.id) for row in self.naming],
            "mentions": list(self.mentions),
            "held": [to_text(row.id) for row in self.runs if row.held],
        }


class Forgetting:
    """Erases people from one home."""

    def __init__(self, parts: Parts, access: Access, retention: Retention) -> None:
        self._parts: Final = parts
        self._access: Final = access
        self._retention: Final = retention

    def plan(self, principal: str, by: By) -> Plan:
        """Return what would go and what would be said again. Reads the whole log.

        Raises:
            InvalidInput: it is nobody who could act, or whoever asks.
            Conflict: something cannot be said again without the name.
        """
        principals.actor(principal)
        if by.principal == principal:
            hint = "the tombstones say who erased"
            raise InvalidInput(f"{principal} cannot erase themselves: somebody else has to", hint=hint)
        person, now = Person(principal), self._parts.clock.now()
        state = self._access.refresh()
        ledgers = {
            name: forgotten
            for name in self._parts.store.ledgers()
            if (forgotten := forget(name, self._recorded(name), person, by, now)) != Forgotten((), ())
        }
        found, mentions = self._runs(person)
        return Plan(
            person=person,
            tokens=tuple(
                one.id
                for one in state.tokens.values()
                if one.principal == principal and one.status(now) == "live"
            ),
            roles={name: tuple(sorted(held)) for name, held in state.roles.get(principal, {}).items()},
            groups=tuple(sorted(state.groups_of(principal))),
            ledgers=ledgers,
            owned=tuple(row for row in found if row.owner == principal),
            naming=tuple(row for row in found if row.owner != principal),
            mentions=mentions,
        )

    async def erase(self, principal: str, by: By, reason: str, *, runs: bool) -> Plan:
        """Erase a person, with the runs that name them if `runs`; return what was done.

        Raises:
            InvalidInput: nobody who could act, whoever asks, or a reason that names them or cannot be one.
            NotEnded, Held: of a run that would have to go. Nothing was erased.
            Conflict: somebody else writes into the home.
        """
        plan = await asyncio.to_thread(self.plan, principal, by)
        if not checked(reason).strip() or plan.person.is_in(reason, "reason"):
            raise InvalidInput("give a reason, and do not name the person in it: the reason stays")
        if runs:
            _may_go(plan.runs)
            gone = set(await self._retention.erase_many(plan.runs, by, reason))
            if left := [row for row in plan.runs if row.id not in gone]:
                raise Conflict(f"run {to_text(left[0].id)} changed meanwhile; ask again")
        for _ in range(TRIES):
            if await self._ledgers(plan.person, by, reason):
                break
        else:
            raise Conflict("the ledgers keep changing; try again")
        self._access.begin_anew()
        await self._parts.store.prune()
        await self._parts.store.scrub()
        return plan

    def _recorded(self, namespace: str) -> list[Recorded]:
        return list(self._parts.store.read(ledger_stream(namespace)))

    def _runs(self, person: Person) -> tuple[list[RunRow], tuple[str, ...]]:
        """Return the runs that name the person, and those where only the bare name stands."""
        store, bare = self._parts.store, person.principal.partition(":")[2]
        written: dict[bytes, bool] = {}
        for stream, bodies in store.saying(bare.encode()):
            if stream[:1] == RUN:
                values = [_said(stream, body) for body in bodies]
                if any(map(person.is_written_in, values)):
                    written[stream[1:]] = True
                elif any(map(person.is_mentioned_in, values)):
                    written.setdefault(stream[1:], False)
        named = [store.run(run) for run, whole in written.items() if whole]
        mentions = tuple(to_text(run) for run, whole in written.items() if not whole)
        return [row for row in named if row is not None], mentions

    async def _ledgers(self, person: Person, by: By, reason: str) -> bool:
        """Change all ledgers in one commit; False if somebody else wrote into one."""
        now, chance = self._parts.clock.now(), self._parts.chance
        salt = chance.token(SALT_SIZE)
        batch = []
        for name in self._parts.store.ledgers():
            recorded = self._recorded(name)
            forgotten = forget(name, recorded, person, by, now)
            again, seqs = forgotten.again, forgotten.seqs
            if name == HOME:
                seqs = tuple(sorted({*seqs, *salts(recorded)}))
                again = (*again, EngineNoted(SALT, {"salt": salt.hex()}))
            if seqs:
                said = (*again, *tombstones(stream_name(ledger_stream(name)), seqs, by, reason))
                actor = actor_id(salt, by.principal)
                batch.append(self._append(name, recorded, seqs, said, now, actor))
        results = await self._parts.store.append(batch)
        refused = [result for result in results if isinstance(result, Refusal)]
        for result in refused:
            if result.code != "conflict":
                raise result.error("the ledgers refuse what is said again")
        return not refused

    def _append(
        self,
        name: str,
        recorded: list[Recorded],
        seqs: tuple[int, ...],
        said: tuple[Event, ...],
        now: int,
        actor: bytes,
    ) -> Append:
        last = recorded[-1]  # a ledger ends in what was said, never in what was erased
        at = max(now, last.at)
        rows = tuple(_changed_flows(name, recorded, frozenset(seqs), said, at))
        return Append(ledger_stream(name), last.seq, said, at, actor, rows, (), seqs)


def _said(stream: bytes, body: bytes) -> Json:
    try:
        return msgspec.json.decode(memoryview(body)[NONCE_SIZE:])
    except msgspec.DecodeError:
        raise Damaged([f"{stream_name(stream)}: what an event says cannot be read"]) from None


def _may_go(rows: tuple[RunRow, ...]) -> None:
    for row in rows:
        if row.ended_at is None:
            raise NotEnded(
                f"run {to_text(row.id)} goes on: {row.status}", hint="cancel it, or wait for its end"
            )
        if row.held:
            raise Held(f"run {to_text(row.id)} is held: {row.held}", hint="release the hold first")


def _changed_flows(
    name: str, recorded: list[Recorded], gone: frozenset[int], said: tuple[Event, ...], at: int
) -> Iterator[FlowRow]:
    """Yield the rows of flows of which something was said again."""
    before, after = Ledger(name), Ledger(name)
    for record in recorded:
        fold(before, record)
        if record.seq not in gone:
            fold(after, record)
    for seq, event in enumerate(said, recorded[-1].seq + 1):
        fold(after, Recorded(seq, at, ENGINE_ACTOR, event))
    for flow, row in after.flows.items():
        if row != before.flows.get(flow):
            yield row
