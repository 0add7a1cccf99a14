"""What was erased and stays as envelopes, as a reader needs to know it; `verify` has its own way to be sure.

A tombstone (`stream.erased`) of events in a ledger stands later in that ledger; that of a run stands in the
ledger of its namespace. One that was itself erased says nothing any more: whoever did that said it again.
"""

from __future__ import annotations

from collections.abc import Iterable

from runnotary.core import chain
from runnotary.core.events import StreamErased
from runnotary.store.connection import Connection


class Erased:
    """The events of one stream whose bodies were erased on purpose.

    A run that was erased has no row; that its tombstone is there is for `verify` to see.
    """

    def __init__(self, connection: Connection, stream: bytes) -> None:
        self._every = False
        self._seqs: set[int] = set()
        if stream[:1] == chain.RUN:
            self._every = connection.ask("run", (stream[1:],)).fetchone() is None
        elif stream[:1] == chain.LEDGER:
            name = chain.stream_name(stream)
            for seq, envelope, body in connection.ask("tombstones", (stream, 0)):
                event = None if body is None else chain.opened(seq, envelope, body).event
                if isinstance(event, StreamErased) and event.stream == name:
                    self._seqs.update(event.seqs)

    def __contains__(self, seq: int) -> bool:
        return self._every or seq in self._seqs


def ledgers_of(connection: Connection) -> list[str]:
    """Return the namespaces that have a ledger."""
    return [row[0][1:].decode() for row in connection.ask("ledgers")]


def tombstone_of(
    connection: Connection, stream: str, namespaces: Iterable[str]
) -> tuple[str, int, StreamErased] | None:
    """Return the tombstone of a run whose bodies were erased, in whose ledger it stands, and its time."""
    for namespace in namespaces:
        for seq, envelope, body in connection.ask("tombstones", (chain.ledger_stream(namespace), 0)):
            record = None if body is None else chain.opened(seq, envelope, body)
            if record and isinstance(record.event, StreamErased) and record.event.stream == stream:
                return namespace, record.at, record.event
    return None
