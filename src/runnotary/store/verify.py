"""Verification: recompute everything that the record of a home says about itself, and compare.

Rules of this file:

1. It believes nothing that is stored: digests, chains, log rows and read tables are all made again, from the
   bodies up. Damage of any kind becomes a finding that says where, never a traceback.
2. It reads one snapshot, beside whoever writes, and changes nothing.
3. What it cannot prove it says in words. A check that is silent about its limits invites more trust than it
   has earned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import msgspec

from runnotary.core import chain, definition
from runnotary.core.errors import RunNotFound
from runnotary.core.events import RunCreated
from runnotary.core.flow import Flow
from runnotary.core.ids import to_text
from runnotary.store.connection import Connection
from runnotary.store.opening import Record
from runnotary.store.outside import FILE
from runnotary.store.report import Finding, Notebook, Proven, Report
from runnotary.store.sqlite_record import SqliteRecord
from runnotary.store.verify_blobs import BlobCheck
from runnotary.store.verify_log import LogCheck, Outside, Trust
from runnotary.store.verify_record import suspects
from runnotary.store.verify_sources import Sources
from runnotary.store.verify_streams import StreamCheck

ERASURES_SHOWN = 20
__all__ = ["Finding", "Report", "verify"]


def verify(
    home: Path | Record,
    *,
    run: bytes | None = None,
    flow: tuple[str, str] | None = None,
    deep: bool = False,
    flow_of: Callable[[str], Flow] | None = None,
    trust: Trust | None = None,
    copies: Sequence[Path] = (),
) -> Report:
    """Check a whole record (of a home: that in its own database), one run in it, or the runs of one flow
    (namespace, name). `deep` also reads every blob there (of the runs) and looks for each that is named.
    `copies` are files with its newest checkpoint.

    Raises:
        FileMissing: there is no record here.
        HomeVersion: another release wrote it.
        RunNotFound: no event of this run, or no run of this flow, is here.
        RolledBack: the record is gone.
    """
    record = _record(home)
    notes, proven, chosen = Notebook(), None, None
    outside = _outside(record.home, copies)  # before the record: what is in it by then is in the record too
    with notes.reading("database"), record.snapshot(copies) as connection:
        chosen = _chosen(connection, run, flow)
        blobs = BlobCheck(record.home, notes, lambda: connection, deep=deep, one_run=chosen is not None)
        streams = StreamCheck(notes, blobs, flow_of or (lambda digest: _compiled(blobs, digest)))
        check = _Check(connection, streams, blobs, notes, trust or Trust(), outside)
        if chosen is None:
            with notes.reading("database structure"):
                record.structure(connection, notes)
        proven = check.whole() if chosen is None else check.runs(chosen)
    unread = () if deep else (_unread(notes, chosen),)
    return _report(notes, proven, _not_proven(notes, proven, _stands(outside, trust), unread))


def verify_record(home: Path | Record, *, trust: Trust | None = None, copies: Sequence[Path] = ()) -> Report:
    """Check the record of a home alone: events, chains, log, tree and checkpoints, nothing made from them.

    Raises:
        FileMissing, HomeVersion, RolledBack: as for `verify`.
    """
    notes, proven, record = Notebook(), None, _record(home)
    outside = _outside(record.home, copies)
    with notes.reading("database"), record.snapshot(copies) as connection:
        blobs = BlobCheck(record.home, notes, lambda: connection, deep=False, one_run=False)
        streams = StreamCheck(notes, blobs, lambda digest: _compiled(blobs, digest))
        proven = _Check(connection, streams, blobs, notes, trust or Trust(), outside).record()
    left = "the record alone was checked, not the tables made from it, nor the blobs that it names"
    return _report(notes, proven, [*_not_proven(notes, proven, _stands(outside, trust)), left])


def _record(home: Path | Record) -> Record:
    return SqliteRecord(home) if isinstance(home, Path) else home


def _report(notes: Notebook, proven: Proven | None, not_proven: Sequence[str]) -> Report:
    return Report(
        checked=dict(notes.counts),
        findings=tuple(notes.findings),
        more=notes.more,
        not_proven=tuple(not_proven),
        checkpoint=proven,
        restores=tuple(notes.restores),
        erasures=tuple(notes.erasures),
    )


def _chosen(connection: Connection, run: bytes | None, flow: tuple[str, str] | None) -> list[bytes] | None:
    """Return the runs that are meant; None is everything. Those of a flow are found by their first events.

    Raises:
        RunNotFound: the flow has none.
    """
    if flow is None:
        return None if run is None else [run]
    found = []
    for stream, seq, envelope, body in connection.ask("first_of_runs"):
        with suppress(ValueError, TypeError):  # the walk over the whole store reports it
            created = chain.opened(seq, envelope, body).event
            if isinstance(created, RunCreated) and (created.namespace, created.flow) == flow:
                found.append(stream[1:])
    if not found:
        raise RunNotFound(f"no run of flow {flow[1]} in namespace {flow[0]}")
    return found


class _Check(NamedTuple):
    """The checks of one snapshot."""

    connection: Connection
    streams: StreamCheck
    blobs: BlobCheck
    notes: Notebook
    trust: Trust
    outside: list[Outside]

    def runs(self, chosen: list[bytes]) -> Proven | None:
        proven = None
        with self.notes.reading("events, log, runs, tasks"):
            names = {chain.stream_name(chain.run_stream(run)) for run in chosen}
            self.streams.erased.learn(self.connection, names)
            for run in chosen:
                self.streams.walk(Sources(self.connection, run))
        if not self.notes.counts["streams"] and not self.notes.findings:
            raise RunNotFound(f"no run {to_text(chosen[0])} in this home")
        with self.notes.reading("checkpoints"):
            check = LogCheck(self.connection, self.notes, self.trust)
            proven = check.covers([chain.run_stream(run) for run in chosen], self.outside)
        return proven  # noqa: RET504 - nothing, if the check could not go on

    def record(self) -> Proven | None:
        connection, notes, streams, proven = self.connection, self.notes, self.streams, None
        with notes.reading("log"):
            _positions(connection, notes)
        with notes.reading("checkpoints"):
            proven = LogCheck(connection, notes, self.trust).whole(self.outside)
        with notes.reading("events, log"):
            streams.erased.learn(connection)
            for stream in suspects(connection, notes, streams.erased.streams):
                streams.examine(connection, stream)
            streams.erased.compare(connection)
        notes.counts["log"] = connection.ask("last_pos").fetchone()[0]
        return proven

    def whole(self) -> Proven | None:
        connection, notes, streams, proven = self.connection, self.notes, self.streams, None
        with notes.reading("log"):
            _positions(connection, notes)
        with notes.reading("checkpoints"):
            proven = LogCheck(connection, notes, self.trust).whole(self.outside)
        with notes.reading("events, log, runs, tasks"):
            streams.erased.learn(connection)
            streams.walk(Sources(connection, None))
            streams.compare_flows(connection.ask("all_flows"))
            streams.compare_keys(connection)
            streams.erased.compare(connection)
        with notes.reading("blobs"):
            self.blobs.small(connection.ask("all_blobs"))
        self.blobs.files()
        return proven


def _positions(connection: Connection, notes: Notebook) -> None:
    count, first, last = connection.ask("positions").fetchone()
    if (first, last) != (1, count):
        notes.found("log", "log", f"{count} rows stand at the positions {first} to {last}: some are missing")
    if not count:
        name = chain.stream_name(chain.ledger_stream("default"))
        notes.found("log", name, "the event that founds the home is missing")


def _compiled(blobs: BlobCheck, digest: str) -> Flow:
    return definition.compile(msgspec.json.decode(blobs.blobs.get(digest)))


def _outside(home: Path, copies: Sequence[Path]) -> list[Outside]:
    """Read what went out; a copy on a disk that is away says nothing."""
    found = []
    for path in (home / FILE, *copies):
        with suppress(OSError):
            where = f"{FILE} (the file)" if path == home / FILE else str(path)
            found.append((where, path.read_text("utf-8", "replace")))
    return found


def _stands(outside: list[Outside], trust: Trust | None) -> bool:
    """Tell whether a checkpoint stands outside the database, or was brought along."""
    return bool(outside) or (trust is not None and trust.checkpoint is not None)


def _unwitnessed(proven: Proven | None, stands: bool) -> Iterator[str]:
    """Say what the newest checkpoint leaves open."""
    if proven is None:
        yield (
            "no checkpoint covers this: a tail that was removed, the order of commits in different streams,"
            " or a home rewritten as a whole cannot be told from the original"
        )
        return
    if proven.uncovered:
        yield (
            f"no checkpoint covers the last {proven.uncovered} log entries:"
            " they could be cut off unseen, or be forged"
        )
    if not proven.pinned:
        yield f"key {proven.key}: from the home itself, unproven; bring the one you know (--key)"
    if not stands:
        yield "checkpoint outside none: an older copy of this record could not be told from it"
    if not proven.witnesses:
        yield "witness none: the key holder could have rewritten everything"


def _unread(notes: Notebook, chosen: list[bytes] | None) -> str:
    """Say which blobs were not looked at."""
    if chosen is not None:  # how many those runs name is not known then
        return "the blobs that it names were not all read, nor was it looked whether they are here"
    unread = notes.counts["blobs"] - notes.counts["blobs_read"]
    return f"{unread} blobs in files were not read, nor was it looked whether all that are named are here"


def _not_proven(
    notes: Notebook, proven: Proven | None, stands: bool, unread: Sequence[str] = ()
) -> list[str]:
    counts = notes.counts
    said = [
        *map(str, notes.restores),
        *_unwitnessed(proven, stands),
        "times are those of this host's clock, and names those its operating system gave",
        *unread,
    ]
    if counts["erased"]:
        said.append(f"{counts['erased']} bodies were erased: what they said is gone")
    if purged := counts["purged"]:
        runs, they = ("1 run was", "it") if purged == 1 else (f"{purged} runs were", "they")
        said.append(f"{runs} purged: what {they} said is gone")
    said += notes.erasures[:ERASURES_SHOWN]
    if len(notes.erasures) > ERASURES_SHOWN:
        said.append(f"… and {len(notes.erasures) - ERASURES_SHOWN} more erasures")
    if counts["unfolded"]:
        said.append(f"rows not made again, for want of whole events: runs {counts['unfolded']}")
    return said
