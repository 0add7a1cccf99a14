"""Checking what is gone: every tombstone in the ledgers, and that nothing else is missing.

of events       their bodies are gone, and may be only if the tombstone stands later in the log
of a run        emptied: its envelopes are there, and no body; purged: its log rows are there, and no event
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import msgspec

from runnotary.core import chain
from runnotary.core.events import StreamErased
from runnotary.core.times import to_text as time_text
from runnotary.store.connection import Connection
from runnotary.store.report import Notebook

Placed = tuple[int, StreamErased]
"""A tombstone with its position in the log."""


class Erasing(msgspec.Struct, frozen=True):
    """What the ledger says of an erasure or a purge: of which stream, what is gone, when, by whom and why."""

    stream: str
    gone: str
    time: str
    by: str
    reason: str

    def __str__(self) -> str:
        said = f"{self.stream}: {self.gone} {self.time} by {self.by}"
        return f"{said}: {self.reason}" if self.reason else said


class Erasures:
    """Every tombstone of a home, by the stream that it is of."""

    def __init__(self, notes: Notebook) -> None:
        self._notes: Final = notes
        self._purged: Final[dict[str, list[Placed]]] = {}
        self._emptied: Final[dict[str, Placed]] = {}
        self._single: Final[dict[str, dict[int, int]]] = {}

    def learn(self, connection: Connection, told: Collection[str] | None = None) -> None:
        """Read from the ledgers what was taken away on purpose, and from which position on.

        The report tells of the streams `told`, of all if None: who asks for one run may see no other.
        """
        for stream, seq, envelope, body in connection.ask("ledger_events"):
            try:
                record = chain.opened(seq, envelope, body)
            except (ValueError, TypeError):
                continue  # The walk over the streams reports it, if it is no erasure.
            if isinstance(record.event, StreamErased):
                row = connection.ask("pos_of", (stream, seq)).fetchone()
                self._take(record.event, row[0] if row else 0)
                if told is None or record.event.stream in told:
                    self._tell(record.event, record.at)

    def _take(self, event: StreamErased, pos: int) -> None:
        if event.seqs:
            single = self._single.setdefault(event.stream, {})
            single.update((seq, max(pos, single.get(seq, 0))) for seq in event.seqs)
        elif event.bodies:
            self._emptied[event.stream] = pos, event
        else:
            self._purged.setdefault(event.stream, []).append((pos, event))

    def _tell(self, event: StreamErased, at: int) -> None:
        if event.seqs or event.bodies:
            count = len(event.seqs) or event.length
            gone = "1 body erased" if count == 1 else f"{count} bodies erased"
        else:
            gone = f"all {event.length} events purged"
        said = Erasing(event.stream, gone, time_text(at), event.by.principal, event.reason)
        self._notes.erasures.append(str(said))

    def license(self, stream: str, seq: int, pos: int) -> bool:
        """Tell whether a tombstone after this position says that the body of an event was erased."""
        if (emptied := self._emptied.get(stream)) is not None and emptied[0] > pos:
            return seq <= emptied[1].length
        return self._single.get(stream, {}).get(seq, 0) > pos

    def gone(self, stream: str) -> Collection[int]:
        """Return the events of a stream whose bodies were erased, as tombstones say."""
        if (emptied := self._emptied.get(stream)) is not None:
            return range(1, emptied[1].length + 1)
        return self._single.get(stream, ())

    @property
    def streams(self) -> frozenset[bytes]:
        """The streams of which bodies were erased."""
        return frozenset(map(chain.named_stream, self._emptied.keys() | self._single.keys()))

    def have_emptied(self, stream: str) -> bool:
        """Tell whether all bodies of a run were erased."""
        return stream in self._emptied

    def account_for(self, stream: str, seq: int, head: Any) -> bool:
        """Tell whether a log row without events belongs to a run that was purged."""
        gone = [event for _, event in self._purged.get(stream, ()) if seq <= event.length]
        return bool(gone) and all(
            isinstance(head, bytes) and event.head == head.hex() for event in gone if event.length == seq
        )

    def compare(self, connection: Connection) -> None:
        """Check that each run that is gone ends in the log where its tombstone says."""
        for name, found in self._purged.items():
            for pos, event in found:
                self._notes.counts["purged"] += 1
                if self._ends_there(connection, name, pos, event) and _is_here(connection, name):
                    self._notes.found("log", name, "its tombstone says that it is gone, but it is here")
        for name, (pos, event) in self._emptied.items():
            self._notes.counts["emptied"] += 1
            if self._ends_there(connection, name, pos, event) and not _is_here(connection, name):
                self._notes.found("log", name, "its envelopes should be here, and are not")

    def _ends_there(self, connection: Connection, name: str, pos: int, event: StreamErased) -> bool:
        last = connection.ask("log_end", (chain.named_stream(name),)).fetchone()
        end = None if last is None else (last[0], bytes(last[1]).hex())
        if end == (event.length, event.head) and last[2] < pos:
            return True
        self._notes.found("log", name, "the log does not end where its tombstone says")
        return False


def _is_here(connection: Connection, name: str) -> bool:
    return connection.ask("first_event", (chain.named_stream(name),)).fetchone() is not None
