"""How runs leave: out of the lists, out of the record, and what keeps them from it.

Rules of this file:

1. Nothing is taken away without a word: the tombstone of a run (`stream.erased`) and its end are one commit,
   so `verify` holds before and after, and a body that is missing without one is damage.
2. A run that goes on, or is held, is not purged. Both are looked at where they cannot change any more: the
   tombstone is written only if the run's stream still ends where it was looked at.
3. Blobs go last, and only those that no event left names. A crash before leaves some that nobody names, which
   is no damage; what somebody is about to name stays (`Blobs.discard`).
4. To know what names a blob the whole log must be read. That is done once for thousands of runs (`Leaving`);
   they still go a few at a time, each blob right after the last run that named it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from itertools import groupby, islice
from typing import Final, Literal, NamedTuple, TypeVar

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
    NotRecorded,
    RunnotaryError,
)
from runnotary.core.evidence import Named, blobs_in, blobs_in_value
from runnotary.core.hashing import digest_bytes
from runnotary.core.ids import to_text
from runnotary.core.permissions import Action
from runnotary.core.profile import Change
from runnotary.core.queries import RunQuery
from runnotary.core.rows import RunRow
from runnotary.core.trees import BadManifest, entries
from runnotary.engine.delivery import Delivery
from runnotary.engine.ledger import LedgerWriter
from runnotary.engine.loop import Engine
from runnotary.engine.parts import Parts
from runnotary.ports import Erasure, Store

log = logging.getLogger("runnotary.engine")

T = TypeVar("T")
Sweep = Literal["archive", "purge"]
Permit = Callable[[bytes, ev.By, Action], tuple[RunRow, ev.By]]
May = Callable[[RunRow, ev.By, Action], ev.By | None]

PAGE: Final = 500
TOGETHER: Final = 64
"""Runs that one commit archives or purges at most."""

GATHERED: Final = 8192
"""Runs for which the log is read once at most: what is known of each takes a few kilobytes meanwhile."""

REMEMBERED: Final = 50_000
"""Blobs that went, of which it is known that they did."""

SCRUBBED_AT_ONCE: Final = 64 * 1024 * 1024
"""Bytes of a database that is written anew right after an erasure: that takes well under a second."""

RANKS: Final = {"value": 1, "tree": 2, "bytes": 3}
"""Whatever names others comes before them; a definition has the rank 0."""

_ACTIONS: Final[dict[Sweep, Action]] = {"archive": Action.ARCHIVE, "purge": Action.PURGE}


class Burial(NamedTuple):
    """A run about to be purged: its row and erasure, the position in the log where it ended, and the blobs
    that it names with their ranks.
    """

    row: RunRow
    erasure: Erasure
    ended: int
    blobs: dict[str, int]


class Leaving:
    """The blobs of runs that are about to be purged: which of them go with which run."""

    def __init__(self, burials: Sequence[Burial], store: Store) -> None:
        """Read the log."""
        self._holders: Final = Counter(blob for burial in burials for blob in burial.blobs)
        streams = [run_stream(burial.row.id) for burial in burials]
        self._unnamed: Final = store.unnamed(self._holders.keys(), streams)
        self._unnamed.among(())

    def after(self, buried: Sequence[Burial]) -> tuple[dict[str, int], set[str]]:
        """Return the blobs of runs that were just purged, by rank, each with the position where the last of
        these runs ended; and which of them nothing names any more. Reads what was committed since.
        """
        ended: dict[str, int] = {}
        ranks: dict[str, int] = {}
        for burial in buried:
            self._holders.subtract(burial.blobs.keys())
            for blob, rank in burial.blobs.items():
                ended[blob] = max(burial.ended, ended.get(blob, 0))
                ranks[blob] = min(rank, ranks.get(blob, rank))
        named = {blob: ended[blob] for blob in sorted(ended, key=ranks.__getitem__)}
        return named, self._unnamed.among(blob for blob in named if not self._holders[blob])

    def stayed(self, buried: Sequence[Burial], blobs: Set[str]) -> None:
        """Keep whatever a purged run named, if one of these was among it that somebody may name again."""
        for burial in buried:
            if not blobs.isdisjoint(burial.blobs):
                self._holders.update(burial.blobs.keys())


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
        self._discarded: set[str] | None = set()
        """Blobs that went while this process lives; None if they are too many to remember."""

    def may_be_gone(self, blob: str) -> bool:
        """Tell whether a blob may have gone since it was read: whoever names it has to look."""
        return self._discarded is None or blob in self._discarded

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
        self._parts.profile.require_reason(Change.HOLD, reason)
        await self._delivery.deliver(run_id, Hold(by, reason, on), self._actor_of(by))

    async def purge(self, run_id: bytes, by: ev.By, reason: str) -> None:
        """Take a run out of the record and leave its tombstone; durable on return.

        Raises:
            RunNotFound, PermissionDenied: the caller may not.
            NotEnded: it goes on. Held: it is protected. Changed: something was added to it meanwhile.
        """
        await self._take(run_id, by, reason, bodies=False)

    async def erase(self, run_id: bytes, by: ev.By, reason: str) -> None:
        """Take away what the events of a run say, its rows and its blobs; durable on return.

        Unlike after `purge` the envelopes stay, so that the chain of the run can still be checked: how many
        events of which type there were, when, and which of them are one actor's.

        Raises:
            RunNotFound, PermissionDenied, NotEnded, Held, Changed: as for `purge`.
        """
        await self._take(run_id, by, reason, bodies=True)
        try:
            await self._parts.store.scrub(SCRUBBED_AT_ONCE)
        except NotRecorded as full:  # what is promised is done; this takes as much room as the database has
            log.warning("free space may still hold what run %s said: %s", to_text(run_id), full.message)

    async def erase_many(self, rows: Sequence[RunRow], by: ev.By, reason: str) -> list[bytes]:
        """Erase runs as `erase` does; return the ids of those that went."""
        gone: list[bytes] = []
        for many in _pieces(rows, GATHERED):
            gone += await self._purge_many(many, by, reason, bodies=True)
        return gone

    async def _take(self, run_id: bytes, by: ev.By, reason: str, *, bodies: bool) -> None:
        row, by = self._permit(run_id, by, Action.PURGE)
        self._parts.profile.require_reason(Change.ERASE if bodies else Change.PURGE, reason)
        burial = await asyncio.to_thread(lambda: self._burial(row, bodies=bodies))
        leaving = await asyncio.to_thread(Leaving, [burial], self._parts.store)
        _, by = self._permit(run_id, by, Action.PURGE)  # the log was read meanwhile, which may take long
        await self._bury([(burial, by)], by, reason)
        await self._discard([burial], leaving)

    async def sweep(
        self, query: RunQuery, by: ev.By, *, action: Sweep, older_than: int, reason: str, dry_run: bool
    ) -> list[bytes]:
        """Archive or purge every run that the filters leave, that is over, and that the caller may; held ones
        are not purged. Returns the ids of those that went or, if `dry_run`, would go, oldest first.
        """
        if action == "purge" and not dry_run:
            self._parts.profile.require_reason(Change.PURGE, reason)
        rows = self._chosen(query, by, action, older_than)
        if dry_run:
            return [row.id for row in rows]
        gone: list[bytes] = []
        if action == "archive":
            for some in _pieces(rows, TOGETHER):
                gone += await self._archive_some(some, by, reason)
        else:
            for many in _pieces(rows, GATHERED):
                gone += await self._purge_many(many, by, reason)
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

    async def _purge_many(
        self, rows: Sequence[RunRow], by: ev.By, reason: str, *, bodies: bool = False
    ) -> list[bytes]:
        burials = await asyncio.to_thread(lambda: list(self._burials(rows, bodies=bodies)))
        leaving = await asyncio.to_thread(Leaving, burials, self._parts.store)
        gone: list[bytes] = []
        for some in _pieces(burials, TOGETHER):
            buried: list[Burial] = []
            for _, group in groupby(sorted(some, key=_namespace), _namespace):
                buried += await self._buried(list(group), by, reason)
            if buried:
                await self._discard(buried, leaving)
            gone += sorted(burial.row.id for burial in buried)
        return gone

    def _burials(self, rows: Iterable[RunRow], *, bodies: bool) -> Iterator[Burial]:
        for row in rows:
            try:
                yield self._burial(row, bodies=bodies)
            except RunnotaryError as refusal:  # the others go
                log.warning("run %s was not purged: %s", to_text(row.id), refusal.message)

    async def _buried(self, burials: list[Burial], by: ev.By, reason: str) -> list[Burial]:
        """Bury all of them at once or, if one changed meanwhile, each on its own."""
        may = [(one, acting) for one in burials if (acting := self._may(one.row, by, Action.PURGE))]
        if not may:
            return []
        try:
            await self._bury(may, by, reason)
        except Changed:
            if len(may) == 1:
                return []
            return [each for one, _ in may for each in await self._buried([one], by, reason)]
        return [one for one, _ in may]

    # --- one purge -------------------------------------------------------------------------------

    def _burial(self, row: RunRow, *, bodies: bool = False) -> Burial:
        name, stream = to_text(row.id), run_stream(row.id)
        if row.ended_at is None:
            raise NotEnded(f"run {name} goes on: {row.status}", hint="cancel it, or wait for its end")
        if row.held:
            raise Held(f"run {name} is held: {row.held}", hint="release the hold first")
        seq, head = self._parts.store.head(stream)
        if seq != row.seq:
            raise Changed(f"run {name} changed while it was about to be purged; look again")
        key: tuple[str, str] | None = None
        found: set[Named] = set()
        blobs: dict[str, int] = {}
        last = seq
        for record in self._parts.store.read(stream):
            event = record.event
            self._gather(blobs_in(event), found)
            if isinstance(event, ev.RunCreated):
                key = (event.by.principal, event.key) if event.key else None
                blobs[event.definition] = 0
                found.update(self._code(event.definition))
            elif isinstance(event, ev.RunFinished):
                last = record.seq
        for one in found:
            blobs[one.digest] = min(RANKS[one.form], blobs.get(one.digest, RANKS[one.form]))
        ended = self._parts.store.placed(stream, last)
        erasure = Erasure(row.id, seq, head, key, tuple(map(digest_bytes, blobs)), bodies)
        return Burial(row, erasure, ended, blobs)

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

    async def _bury(self, chosen: Sequence[tuple[Burial, ev.By]], by: ev.By, reason: str) -> None:
        """Take runs of one namespace away, and leave their tombstones."""
        tasks = {burial.row.id: self._parts.store.tasks(burial.row.id) for burial, _ in chosen}
        erased = [(_tombstone(burial.erasure, acting, reason), burial.erasure) for burial, acting in chosen]
        await self._ledger.bury(_namespace(chosen[0][0]), self._actor_of(by), erased)
        for run_id, rows in tasks.items():
            self._engine.clear(run_id, rows)

    async def _discard(self, buried: Sequence[Burial], leaving: Leaving) -> None:
        named, unused = await asyncio.to_thread(leaving.after, buried)
        if self._discarded is not None:
            self._discarded |= unused
            if len(self._discarded) > REMEMBERED:
                self._discarded = None
        gone = await self._parts.blobs.discard(list(named.items()), unused)
        leaving.stayed(buried, unused.difference(gone))


def _tombstone(erasure: Erasure, by: ev.By, reason: str) -> ev.StreamErased:
    return ev.StreamErased(
        stream_name(run_stream(erasure.run)),
        by,
        reason,
        erasure.seq,
        erasure.head.hex(),
        bodies=erasure.bodies,
    )


def _pieces(many: Iterable[T], size: int) -> Iterator[list[T]]:
    each = iter(many)
    while piece := list(islice(each, size)):
        yield piece


def _namespace(burial: Burial) -> str:
    return burial.row.namespace
