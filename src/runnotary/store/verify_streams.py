"""Checking the log: every event, every chain, every log row, every row made from them.

Rules of this file:

1. One walk, side by side, over events, log, runs and tasks in the order of their keys. Nothing is kept but
   the stream at hand, so a store of any size takes the memory of its largest run.
2. A stream with a finding is still checked to its end, but not folded: what follows from damaged facts says
   nothing. Its rows are then not compared, and that is counted.
3. Types count: TEXT where a BLOB belongs is damage even if the letters are right.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from hashlib import sha256
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

import msgspec

from runnotary.core import chain, documents
from runnotary.core.chain import Recorded
from runnotary.core.events import RunCreated, UnknownEvent
from runnotary.core.flow import Flow
from runnotary.core.fold import replay
from runnotary.core.ids import to_text
from runnotary.core.ledger import replay as replay_ledger
from runnotary.core.rows import FlowRow, KeyRow, Row, RunRow, TaskRow, UseRow
from runnotary.store.connection import Connection
from runnotary.store.projections import key_of
from runnotary.store.report import Notebook
from runnotary.store.verify_blobs import DEFINING, BlobCheck
from runnotary.store.verify_erased import Erasures
from runnotary.store.verify_sources import Fields, Made, Side, Sources, by_blob

_DIGEST_AT: Final = chain.ENVELOPE_SIZE - 32
_TABLES: Final = {RunRow: "runs", TaskRow: "tasks", FlowRow: "flows", KeyRow: "keys", UseRow: "uses"}


class StreamCheck:
    """One walk over the streams."""

    def __init__(self, notes: Notebook, blobs: BlobCheck, flow_of: Callable[[str], Flow]) -> None:
        self._notes = notes
        self._blobs = blobs
        self._flow_of = flow_of
        self._flows: dict[str, Flow | None] = {}
        self._expected: dict[tuple[str, str], FlowRow] = {}
        self.erased: Final = Erasures(notes)
        self._stream = b""
        self._sound = True
        self._gone: Collection[int] = ()

    def walk(self, sources: Sources) -> None:
        """Check every stream of the sources."""
        log = Side(sources.log, self._log_without_events)
        runs = Side(sources.runs, lambda row: self._surplus(RunRow, row))
        tasks = Side(sources.tasks, lambda row: self._surplus(TaskRow, row))
        uses = Side(sources.uses or (), lambda row: self._surplus(UseRow, by_blob(row)))
        for stream, events in groupby(sources.events, itemgetter(0)):
            self._notes.counts["streams"] += 1
            if not isinstance(stream, bytes):
                self._notes.found("type", f"events {stream!r}", "the stream's key is not a blob")
                continue
            records = self._records(stream, events, log.take(stream))
            if stream[:1] == chain.RUN:
                run = stream[1:]
                used = list(map(by_blob, uses.take(run))) if sources.uses is not None else None
                self._run(run, records, Made(runs.take(run), tasks.take(run), used), sources)
            elif stream[:1] == chain.LEDGER:
                self._ledger(stream, records)
            for _ in records:
                continue  # Whoever folds may give up; the chain is checked to its end.
        for side in (log, runs, tasks, uses):
            side.finish()

    def examine(self, connection: Connection, stream: bytes) -> None:
        """Check the events and log rows of one stream, and nothing that follows from them."""
        log = connection.ask("stream_log", (stream,)).fetchall()
        events = connection.ask("stream_events", (stream,)).fetchall()
        for _ in self._records(stream, events, log) if events else ():
            continue
        for row in () if events else log:
            self._log_without_events(row)

    # --- one stream ------------------------------------------------------------------------------

    def _records(self, stream: bytes, events: Iterable[Fields], log: list[Fields]) -> Iterator[Recorded]:
        """Check a stream's chain and log rows; yield its events as long as nothing is wrong."""
        self._sound, self._stream, self._gone = True, stream, self.erased.gone(chain.stream_name(stream))
        heads = self._log_shape(log)
        prefix = b"".join((chain.DOMAIN, bytes((len(stream) & 0xFF,)), stream))
        prev, last, last_at, count = chain.GENESIS, 0, 0, 0
        for _, seq, envelope, body in events:
            count += 1
            last += 1
            if seq != last or envelope.__class__ is not bytes or len(envelope) != chain.ENVELOPE_SIZE:
                self._unsound("chain", seq, f"event {last} is missing or has no envelope")
                last = seq if isinstance(seq, int) and seq > last else last
                continue
            prev = sha256(b"".join((prefix, seq.to_bytes(8, "big"), prev, envelope))).digest()
            if seq in heads and heads.pop(seq) != prev:
                self._unsound("chain", seq, "the chain up to here does not end in the head in `log`")
            record = self._opened(seq, envelope, body, log)
            if record is None:
                last_at = max(last_at, chain.unpack(envelope).at)
                continue
            if record.at < last_at:
                self._unsound("time", seq, "the event is older than the one before it")
            last_at = record.at
            if self._blobs.deep or record.event.__class__ in DEFINING:
                self._blobs.vouched(record.event, stream, seq)
            if self._sound:
                yield record
        self._notes.counts["events"] += count
        self._covered(heads, log, last)

    def _log_shape(self, log: list[Fields]) -> dict[int, bytes]:
        """Check that a stream's log rows follow each other; return the heads to be met."""
        self._notes.counts["log"] += len(log)
        heads: dict[int, bytes] = {}
        seq = last_pos = 0
        for _, from_seq, to_seq, head, pos in log:
            if not (isinstance(from_seq, int) and isinstance(to_seq, int) and head.__class__ is bytes):
                self._unsound("type", to_seq, f"row {pos} of `log` holds a value of the wrong type")
                continue
            if from_seq != seq + 1 or to_seq < from_seq or pos <= last_pos:
                message = f"row {pos} of `log` covers {from_seq} to {to_seq}, the one before it ends at {seq}"
                self._unsound("log", to_seq, message)
            heads[to_seq] = head
            seq, last_pos = to_seq, pos
        return heads

    def _covered(self, left: dict[int, bytes], log: list[Fields], last: int) -> None:
        """Check that the log ends where the stream does."""
        for seq in sorted(left):
            self._unsound("log", seq, "`log` names a head where there is no event")
        covered = max((row[2] for row in log if isinstance(row[2], int)), default=0)
        if not left and covered != last:
            self._unsound("log", last, f"`log` covers {covered} of {last} events")

    def _opened(self, seq: int, envelope: bytes, body: Any, log: list[Fields]) -> Recorded | None:
        """Check a body against its envelope and decode it."""
        if body is None:
            self._missing_body(seq, log)
        elif seq in self._gone:
            self._unsound("body", seq, "its tombstone says that the body is gone, but it is here")
        elif body.__class__ is not bytes or sha256(body).digest() != envelope[_DIGEST_AT:]:
            self._unsound("body", seq, "the body is not the one its envelope was sealed with")
        else:
            try:
                return chain.opened(seq, envelope, body)
            except UnknownEvent as wrong:
                self._unsound("event", seq, str(wrong))
        return None

    def _missing_body(self, seq: int, log: list[Fields]) -> None:
        pos = max((row[4] for row in log if isinstance(row[1], int) and row[1] <= seq), default=0)
        if self.erased.license(chain.stream_name(self._stream), seq, pos):
            self._notes.counts["erased"] += 1
            # A ledger is folded without what was erased: what was still in force in it was said again.
            self._sound = self._sound and self._stream[:1] == chain.LEDGER
            return
        self._unsound("missing_body", seq, "the body is gone and no later event says that it was erased")

    def _unsound(self, code: str, seq: Any, message: str) -> None:
        self._sound = False
        self._notes.found(code, f"{chain.stream_name(self._stream)} #{seq}", message)

    # --- what follows from a stream --------------------------------------------------------------

    def _run(
        self,
        run_id: bytes,
        records: Iterator[Recorded],
        stored: Made,
        sources: Sources,
    ) -> None:
        name = chain.stream_name(chain.run_stream(run_id))
        if self.erased.have_emptied(name):
            self._emptied(stored)
            return
        self._notes.counts["runs"] += 1
        keyed: tuple[KeyRow, ...] = ()
        used: tuple[UseRow, ...] = ()
        try:
            state = replay(run_id, records, self._known_flow)
            expected = documents.rows(state) if self._sound else ()
            keyed = documents.key_rows(state)
            used = documents.use_rows(state, self._blobs.value) if self._sound else ()
        except _NoFlow:
            expected = ()
        except Exception as wrong:  # noqa: BLE001 - facts that no code foresaw are what is looked for here
            if self._sound:
                self._notes.found("fold", f"run/{to_text(run_id)}", f"the events do not fold: {wrong!r}")
            expected = ()
        # What the fold did not read is still to be checked, and may be the damage.
        for _ in records:
            continue
        if not expected or not self._sound:
            self._notes.counts["unfolded"] += 1
            return
        self._compare(RunRow, expected[:1], stored.run)
        self._compare(TaskRow, expected[1:], stored.tasks)
        self._compare(UseRow, used, sources.used(used) if stored.uses is None else stored.uses)
        self._notes.counts["tasks"] += len(stored.tasks)
        for row in keyed:
            self._compare(KeyRow, (row,), sources.keys(row))

    def _emptied(self, stored: Made) -> None:
        """Check that no row is left of a run that was erased."""
        left: tuple[tuple[type[Row], list[Fields]], ...]
        left = ((RunRow, stored.run), (TaskRow, stored.tasks), (UseRow, stored.uses or []))
        for kind, rows in left:
            for row in rows:
                self._surplus(kind, row)

    def _known_flow(self, definition: str) -> Flow:
        if definition not in self._flows:
            try:
                self._flows[definition] = self._flow_of(definition)
            except Exception as wrong:  # noqa: BLE001 - whatever a damaged definition does to its reader
                self._flows[definition] = None
                self._notes.found("definition", definition, f"cannot be compiled: {wrong}")
        flow = self._flows[definition]
        if flow is None:
            raise _NoFlow
        self._blobs.code(flow)
        return flow

    def _ledger(self, stream: bytes, records: Iterator[Recorded]) -> None:
        name = chain.stream_name(stream)
        try:
            ledger = replay_ledger(stream[1:].decode(), records)
        except (ValueError, KeyError) as wrong:
            if self._sound:
                self._notes.found("fold", name, f"the events do not fold: {wrong}")
            return
        for row in ledger.flows.values():
            self._expected[row.namespace, row.name] = row

    def compare_flows(self, rows: Iterable[Fields]) -> None:
        """Compare the table of flows with what the ledgers say."""
        stored = list(rows)
        self._notes.counts["flows"] += len(stored)
        self._compare(FlowRow, tuple(self._expected.values()), stored)

    def compare_keys(self, connection: Connection) -> None:
        """Find rows of `keys` that no run accounts for; a run whose row is missing was found with it."""
        for row in connection.ask("all_keys"):
            self._notes.counts["keys"] += 1
            run = row[2]
            stream = chain.run_stream(run) if isinstance(run, bytes) else b""
            first = connection.ask("first_event", (stream,)).fetchone()
            try:
                event = chain.opened(1, *first).event if first and first[1] is not None else None
            except (ValueError, TypeError):
                continue  # The walk reported it.
            said = isinstance(event, RunCreated) and (event.by.principal, event.key) == row[:2]
            if not said and (first is None or first[1] is not None):
                self._surplus(KeyRow, row)

    def _compare(self, kind: type[Row], expected: Iterable[Row], stored: list[Fields]) -> None:
        """Compare rows by key, every column and its type."""
        wanted = {key_of(row): msgspec.structs.astuple(row) for row in expected}
        if len(stored) == len(wanted):
            # Nearly always they are the same in the same order; then nothing needs to be looked at closely.
            ordered = [wanted[key] for key in sorted(wanted)]
            if ordered == stored and _types(ordered) == _types(stored):
                return
        for have in stored:
            key = key_of(kind(*have))
            want = wanted.pop(key, None)
            if want is None:
                self._surplus(kind, have)
            elif have != want or not all(map(_same_type, have, want)):
                self._differs(kind, key, have, want)
        for key in wanted:
            self._notes.found("row", f"{_TABLES[kind]} {_shown(key)}", "the row is missing")

    def _differs(self, kind: type[Row], key: Any, have: Fields, want: Fields) -> None:
        for column, stored, meant in zip(kind.__struct_fields__, have, want, strict=True):
            if stored != meant or not _same_type(stored, meant):
                where = f"{_TABLES[kind]} {_shown(key)} {column}"
                self._notes.found("row", where, f"holds {stored!r}, the events say {meant!r}")

    def _surplus(self, kind: type[Row], row: Fields) -> None:
        key = key_of(kind(*row))
        self._notes.found("row", f"{_TABLES[kind]} {_shown(key)}", "no event accounts for this row")

    def _log_without_events(self, row: Fields) -> None:
        stream, _, seq, head, pos = row
        self._notes.counts["log"] += 1
        name = chain.stream_name(stream) if isinstance(stream, bytes) else repr(stream)
        if self.erased.account_for(name, seq, head):
            return
        self._notes.found("log", f"log {pos}", f"{name} has no events, and none says that they were erased")


class _NoFlow(Exception):
    """The definition cannot be used; that is reported once, where it was found."""


def _types(rows: list[Fields]) -> list[list[type]]:
    return [[value.__class__ for value in row] for row in rows]


def _same_type(stored: Any, meant: Any) -> bool:
    return isinstance(meant, stored.__class__)


def _shown(key: Any) -> str:
    if isinstance(key, tuple):
        return " ".join(_shown(part) for part in key)
    if isinstance(key, bytes):
        return to_text(key) if len(key) == 16 else key.hex()
    return str(key)
