"""How runs leave: out of the lists, out of the record, and what keeps them from it.

Rules of this file:

1. Nothing is taken away without a word: the tombstone of a run (`stream.erased`) and its end are one commit,
   so `verify` holds before and after, and a body that is missing without one is damage.
2. A run that goes on, or is held, is not purged. Both are looked at where they cannot change any more: the
   tombstone is written only if the run's stream still ends where it was looked at.
3. Blobs go last, and only those that no event left names. A crash before leaves some that nobody names, which
   is no damage; what somebody is about to name stays (`Blobs.discard`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, Final, Literal, NamedTuple

import msgspec

from runnotary.core import events as ev
from runnotary.core.chain import run_stream, stream_name
from runnotary.core.decide import Archive, Hold
from runnotary.core.errors import (
    BlobNotFound,
    Changed,
    Conflict,
    Damaged,
    Held,
    NotEnded,
    NotFound,
    RunnotaryError,
)
from runnotary.core.evidence import Named, blobs_in, blobs_in_value
from runnotary.core.ids import to_text
from runnotary.core.permissions import Action
from runnotary.core.rows import RunRow
from runnotary.core.trees import BadManifest, entries
from runnotary.engine.delivery import Delivery
from runnotary.engine.ledger import LedgerWriter
from runnotary.engine.loop import Engine
from runnotary.engine.parts import Parts
from runnotary.ports import Erasure, RunQuery

log = logging.getLogger("runnotary.engine")

Json = Any
Sweep = Literal["archive", "purge"]
Permit = Callable[[bytes, ev.By, Action], tuple[RunRow, ev.By]]
May = Callable[[RunRow, ev.By, Action], ev.By | None]

PAGE: Final = 500
TOGETHER: Final = 64
"""Runs that one commit archives or purges at most."""

FORMS: Final = ("value", "tree", "bytes")

_ACTIONS: Final[dict[Sweep, Action]] = {"archive": Action.ARCHIVE, "purge": Action.PURGE}


class Burial(NamedTuple):
    """A run about to be purged: its row, tombstone and erasure, the position in the log where it ended, and
    the blobs that it names, those first that name others.
    """

    row: RunRow
    tombstone: ev.StreamErased
    erasure: Erasure
    ended: int
    blobs: tuple[str, ...]


class Retention:
    """Archive, hold, purge, and the sweeps that do it by filter."""

    def __init__(
        self,
        engine: Engine,
        parts: Parts,
        delivery: Delivery,
        *,
        actor_of: Callable[[ev.By], bytes],
        permit: Permit,
        may: May,
    ) -> None:
        self._engine: Final = engine
        self._parts: Final = parts
        self._delivery: Final = delivery
        self._ledger: Final = LedgerWriter(parts)
        self._actor_of: Final = actor_of
        self._permit: Final = permit
        self._may: Final = may
        self.discarded: Final[set[str]] = set()
        """Blobs that went while this process lives: whoever names one must look whether it is back."""

    async def archive(self, run_id: bytes, by: ev.By, reason: str, *, on: bool) -> None:
        """Take a run that is over out of the lists, or put it back.

        Raises:
            RunNotFound, PermissionDenied: the caller may not.
            NotEnded: it goes on.
        """
        _, by = self._permit(run_id, by, Action.ARCHIVE)
        await self._delivery.deliver(run_id, Archive(by, reason, on), self._actor_of(by))

    async def hold(self, run_id: bytes, by: ev.By, reason: str, *, on: bool) -> None:
        """Protect a run from being purged, or end that.

        Raises:
            RunNotFound, PermissionDenied: the caller may not.
        """
        _, by = self._permit(run_id, by, Action.HOLD)
        await self._delivery.deliver(run_id, Hold(by, reason, on), self._actor_of(by))

    async def purge(self, run_id: bytes, by: ev.By, reason: str) -> None:
        """Take a run out of the record and leave its tombstone; durable on return.

        Raises:
            RunNotFound, PermissionDenied: the caller may not.
            NotEnded: it goes on. Held: it is protected. Changed: something was added to it meanwhile.
        """
        row, by = self._permit(run_id, by, Action.PURGE)
        burial = await asyncio.to_thread(self._burial, row, by, reason)
        unused = await self._unused([burial])
        await self._bury([burial], by)
        await self._discard([burial], unused)

    async def sweep(
        self, query: RunQuery, by: ev.By, *, action: Sweep, older_than: int, reason: str, dry_run: bool
    ) -> list[bytes]:
        """Archive or purge every run that the filters leave, that is over, and that the caller may; held ones
        are not purged. Returns the ids of those that went or, if `dry_run`, would go, oldest first.
        """
        rows = list(self._chosen(query, by, action, older_than))
        if dry_run:
            return [row.id for row in rows]
        gone: list[bytes] = []
        for start in range(0, len(rows), TOGETHER):
            some = rows[start : start + TOGETHER]
            gone += await (self._archive_some if action == "archive" else self._purge_some)(some, by, reason)
        return gone

    def _chosen(self, query: RunQuery, by: ev.By, action: Sweep, older_than: int) -> Iterator[RunRow]:
        before = self._parts.clock.now() - older_than
        query = msgspec.structs.replace(
            query,
            ended_to=before if query.ended_to is None else min(before, query.ended_to),
            include_archived=action == "purge",
            order_by="created_at",
            descending=False,
            after=None,
            offset=0,
            limit=PAGE,
        )
        while page := self._parts.store.runs(query):
            for row in page:
                if self._may(row, by, _ACTIONS[action]) and not (row.held and action == "purge"):
                    yield row
            query = msgspec.structs.replace(query, after=(page[-1].created_at, page[-1].id))

    async def _archive_some(self, rows: Sequence[RunRow], by: ev.By, reason: str) -> list[bytes]:
        async def one(row: RunRow) -> bool:
            acting = self._may(row, by, Action.ARCHIVE)
            if acting is None:
                return False
            try:
                await self._delivery.deliver(row.id, Archive(acting, reason), self._actor_of(by))
            except (NotFound, Conflict):  # purged meanwhile, or changing all the time: the next sweep
                return False
            return True

        done = await asyncio.gather(*map(one, rows))
        return [row.id for row, well in zip(rows, done, strict=True) if well]

    async def _purge_some(self, rows: Sequence[RunRow], by: ev.By, reason: str) -> list[bytes]:
        chosen = [(row, acting) for row in rows if (acting := self._may(row, by, Action.PURGE)) is not None]
        burials = await asyncio.to_thread(lambda: list(self._burials(chosen, reason)))
        unused = await self._unused(burials)
        buried: list[Burial] = []
        for _, group in groupby(sorted(burials, key=_namespace), _namespace):
            buried += await self._buried(list(group), by)
        gone = {burial.row.id for burial in buried}
        for burial in burials:
            if burial.row.id not in gone:
                unused.difference_update(burial.blobs)
        await self._discard(buried, unused)
        return [row.id for row in rows if row.id in gone]

    def _burials(self, chosen: Iterable[tuple[RunRow, ev.By]], reason: str) -> Iterator[Burial]:
        for row, acting in chosen:
            try:
                yield self._burial(row, acting, reason)
            except RunnotaryError as refusal:  # the others go
                log.warning("run %s was not purged: %s", to_text(row.id), refusal.message)

    async def _buried(self, burials: list[Burial], by: ev.By) -> list[Burial]:
        """Bury all of them at once or, if one changed meanwhile, each on its own."""
        try:
            await self._bury(burials, by)
        except Changed:
            if len(burials) == 1:
                return []
            return [each for one in burials for each in await self._buried([one], by)]
        return burials

    # --- one purge -------------------------------------------------------------------------------

    def _burial(self, row: RunRow, by: ev.By, reason: str) -> Burial:
        name, stream = to_text(row.id), run_stream(row.id)
        if row.ended_at is None:
            raise NotEnded(f"run {name} goes on: {row.status}", hint="cancel it, or wait for its end")
        if row.held:
            raise Held(f"run {name} is held: {row.held}", hint="release the hold first")
        seq, head = self._parts.store.head(stream)
        if seq != row.seq:
            raise Changed(f"run {name} changed while it was about to be purged; look again")
        key: tuple[str, str] | None = None
        blobs: set[Named] = set()
        definitions: list[str] = []
        last = seq
        for record in self._parts.store.read(stream):
            event = record.event
            self._gather(blobs_in(event), blobs)
            if isinstance(event, ev.RunCreated):
                key = (event.by.principal, event.key) if event.key else None
                definitions.append(event.definition)
                blobs.update(self._code(event.definition))
            elif isinstance(event, ev.RunFinished):
                last = record.seq
        tombstone = ev.StreamErased(stream_name(stream), by, reason, seq, head.hex())
        named = sorted(blobs, key=lambda one: FORMS.index(one.form))  # what names others stands before them
        digests = tuple(dict.fromkeys([*definitions, *(one.digest for one in named)]))
        ended = self._parts.store.placed(stream, last)
        return Burial(row, tombstone, Erasure(row.id, seq, head, key), ended, digests)

    def _gather(self, named: Iterable[Named], found: set[Named]) -> None:
        """Add blobs, and what those name in turn."""
        left = list(named)
        while left:
            one = left.pop()
            if one not in found:
                found.add(one)
                left += self._inside(one)

    def _code(self, definition: str) -> list[Named]:
        try:
            return [Named(code.blob, "bytes") for code in self._parts.flow_of(definition).code.values()]
        except RunnotaryError:
            return []  # as in `_inside`

    def _inside(self, named: Named) -> Iterable[Named]:
        if named.form == "bytes":
            return ()
        # What cannot be read names nothing that could be let go of.
        try:
            data = self._parts.blobs.get(named.digest)
            if named.form == "tree":
                return [Named(entry.blob, "bytes") for entry in entries(data)]
            return list(blobs_in_value(msgspec.json.decode(data)))
        except (BlobNotFound, Damaged, BadManifest, msgspec.DecodeError):
            return ()

    async def _unused(self, burials: Sequence[Burial]) -> set[str]:
        named = {digest for burial in burials for digest in burial.blobs}
        streams = [run_stream(burial.row.id) for burial in burials]
        return await asyncio.to_thread(self._parts.store.unused, named, streams)

    async def _bury(self, burials: Sequence[Burial], by: ev.By) -> None:
        tasks = {burial.row.id: self._parts.store.tasks(burial.row.id) for burial in burials}
        erased = [(burial.tombstone, burial.erasure) for burial in burials]
        await self._ledger.bury(_namespace(burials[0]), self._actor_of(by), erased)
        for run_id, rows in tasks.items():
            self._engine.clear(run_id, rows)

    async def _discard(self, burials: Sequence[Burial], unused: set[str]) -> None:
        named: dict[str, int] = {}
        for burial in burials:
            for blob in burial.blobs:
                named[blob] = max(burial.ended, named.get(blob, 0))
        self.discarded.update(unused & named.keys())
        await self._parts.blobs.discard(list(named.items()), unused)


def _namespace(burial: Burial) -> str:
    return burial.row.namespace
