"""Reading a record, and asking its writer: the ports `Store` and `Log`, whatever database it is in.

    append  →  writer.py      one thread, sealing and group commit
    read    →  here           the streams, as they were written
    lists   →  listing.py     the read tables
    bytes   →  blobs.py

Rules of this file:

1. Reading never waits for writing: every thread reads through a connection of its own.
2. A stream is read in pieces. No read stays open between them, so a slow reader keeps nothing from being
   cleared away.
"""

from __future__ import annotations

import threading
from abc import abstractmethod
from collections.abc import Collection, Iterator, Sequence
from typing import Final

from runnotary.core import chain, merkle
from runnotary.core.chain import Recorded
from runnotary.core.errors import Conflict, Damaged
from runnotary.core.events import By
from runnotary.core.ledger import Ledger, fold, salt_of
from runnotary.core.notes import PublicKey
from runnotary.core.queries import ContentQuery, RunQuery
from runnotary.core.rows import FlowRow, KeyRow, RunRow, TaskRow
from runnotary.ports import Append, Appended, Beside, Change, KeyEnd, Meter, Refusal, Sharing
from runnotary.store.blobs import LocalBlobs
from runnotary.store.clearing import Clearing
from runnotary.store.connection import Connection
from runnotary.store.erased import Erased
from runnotary.store.listing import count_runs, list_runs, runs_with, tally_runs
from runnotary.store.outside import fuller
from runnotary.store.sealing import LEDGER as HOME_LEDGER
from runnotary.store.tree import Nodes
from runnotary.store.unused import Unnamed
from runnotary.store.waiting import list_waiting
from runnotary.store.writer import Watcher, Writer

_PIECE: Final = 512
_FIRST_PIECE: Final = 32


class Records(Clearing):
    """The record in one database, and in `blobs` its bytes. Without a writer it is open for reading only."""

    blobs: LocalBlobs

    def __init__(self, writer: Writer | None) -> None:
        self._writer = writer
        self._here = threading.local()
        self._readers: list[Connection] = []

    @abstractmethod
    def size(self) -> int:
        """Return how many bytes the database has."""

    @abstractmethod
    def share(self, engine: Sharing) -> None:
        """See the port `Store`."""

    @abstractmethod
    async def hand_over(self, run_id: bytes, place: str) -> bool:
        """See the port `Store`."""

    @abstractmethod
    def is_ours(self, run_id: bytes) -> bool:
        """See the port `Store`."""

    @abstractmethod
    async def claim(self, run_id: bytes) -> bool:
        """See the port `Store`."""

    @abstractmethod
    def _connect(self) -> Connection:
        """Return a new connection for reading."""

    def close(self) -> None:
        """Write what is queued and let go of the record."""
        # Readers first: only a connection that may write can clear SQLite's log away as the last one.
        for connection in self._readers:
            connection.close()
        self._readers.clear()
        if self._writer is not None:
            self._writer.close()

    def measure(self, meter: Meter) -> None:
        """Tell `meter` of every commit and every blob from now on; it is called in several threads."""
        self.blobs.meter = meter
        if self._writer is not None:
            self._writer.meter = meter

    # --- the log -----------------------------------------------------------------------------------

    async def append(self, batch: Sequence[Append], beside: Beside | None = None) -> list[Appended | Refusal]:
        """Write the batch in one commit, shared with whoever asks meanwhile; durable on return.

        Raises:
            Conflict: the home is open for reading only.
        """
        writer = self._own_writer()
        return await writer.ask(batch, beside)

    def read(self, stream: bytes, after: int = 0) -> Iterator[Recorded]:
        """Read a stream in order, from `after` + 1 on.

        What was erased is left out.

        Raises:
            Damaged: a body is gone though nothing says that it was erased, or is not what its envelope says.
        """
        connection, limit = self._reader(), _FIRST_PIECE
        erased: Erased | None = None
        while True:
            piece = connection.ask("read_stream", (stream, after, limit)).fetchall()
            for seq, envelope, body in piece:
                if body is None:
                    erased = erased or Erased(connection, stream)
                    if seq in erased:
                        continue
                yield _opened(stream, seq, envelope, body)
            if len(piece) < limit:
                return
            after, limit = piece[-1][0], _PIECE

    def head(self, stream: bytes) -> tuple[int, bytes]:
        """Return length and head of a stream; (0, 32 zero bytes) if it does not exist."""
        row = self._reader().ask("head", (stream,)).fetchone()
        return (0, chain.GENESIS) if row is None else (row[0], row[1])

    def ledger(self, namespace: str) -> Ledger:
        """Return a namespace's ledger, folded."""
        ledger = Ledger(namespace)
        for record in self.read(chain.ledger_stream(namespace)):
            fold(ledger, record)
        return ledger

    def home_salt(self) -> bytes:
        """Return the salt of this home's actor ids.

        Raises:
            Damaged: the home's first ledger event is not there.
        """
        salt = salt_of(self._founding())
        if salt:
            return salt
        raise Damaged(["ledger/default #1: the event that founds the home is missing"])

    def _founding(self) -> Iterator[Recorded]:
        """Read the event that founded the home or, if that was erased, what the home says about itself."""
        for record in self.read(HOME_LEDGER):
            return iter((record,)) if record.seq == 1 else self.noted()
        return iter(())

    def feed(self, after: int, limit: int = 1000) -> list[Change]:
        """Return what was committed after the position `after`, in the order of the log."""
        return [Change(*row) for row in self._reader().ask("feed", (after, limit))]

    def position(self) -> int:
        """Return the last position of the log."""
        pos: int = self._reader().ask("last_pos").fetchone()[0]
        return pos

    def sealed(self) -> int:
        """Return how many entries of the log the newest checkpoint covers."""
        if self._writer is not None:
            return self._writer.sealing.covered
        row = self._reader().ask("newest_checkpoint").fetchone()
        return 0 if row is None else int(row[0])

    def placed(self, stream: bytes, seq: int) -> int:
        """Return the position in the log of the commit that brought an event; 0 if there is none."""
        row = self._reader().ask("pos_of", (stream, seq)).fetchone()
        return 0 if row is None else int(row[0])

    async def checkpoint(self) -> str:
        """Return a signed note that covers all that is committed; durable on return.

        Raises:
            Conflict: the home is open for reading only.
            Damaged: nothing may be signed any more.
        """
        writer = self._own_writer()
        return await writer.do(writer.checkpoint)

    async def change_key(self, name: str, state: KeyEnd, by: By, reason: str) -> PublicKey:
        """Put a new key in the place of the one in use, which is then `state`; returns the new one.

        Raises:
            Conflict: the home is open for reading only.
            Damaged: nothing may be signed any more.
        """
        writer = self._own_writer()
        return await writer.do(lambda: writer.change_key(name, state, by, reason))

    def note(self, size: int = 0) -> str:
        """Return the newest checkpoint, or that of a size; nothing if there is none."""
        row = self._reader().ask("checkpoint_of", (size, size)).fetchone()
        return "" if row is None else fuller(self.home, row[0])

    def inclusion(self, pos: int, size: int) -> list[bytes]:
        """Return the path from an entry of the log, counted from 1, to the root of its first `size` entries.

        Raises:
            ValueError: there is no such entry among them. Damaged: entries are missing.
        """
        return merkle.inclusion(pos - 1, size, Nodes(self._reader()))

    def consistency(self, old: int, new: int) -> list[bytes]:
        """Return the proof that the log of `new` entries continues that of `old` ones.

        Raises:
            ValueError: it is the smaller one, or the old one is empty. Damaged: entries are missing.
        """
        return merkle.consistency(old, new, Nodes(self._reader()))

    def entry(self, pos: int) -> tuple[bytes, int, bytes] | None:
        """Return an entry of the log, counted from 1: the stream, its length then and its head."""
        row: tuple[bytes, int, bytes] | None
        row = self._reader().ask("leaves", (pos - 1, pos)).fetchone()
        return row

    def stored(self, stream: bytes) -> Iterator[tuple[int, bytes, bytes | None]]:
        """Read a stream as it lies: seq, envelope and body, which is None if it was erased."""
        yield from self._reader().ask("read_stream", (stream, 0, -1)).fetchall()

    def rows(self, stream: bytes) -> list[tuple[int, int, int, bytes]]:
        """Return the entries of a stream in the log, oldest first: pos, first and last event, head."""
        found = self._reader().ask("stream_log", (stream,))
        return [(pos, from_seq, seq, head) for _, from_seq, seq, head, pos in found]

    async def signed(self, text: str) -> str:
        """Return the manifest of a bundle as a note, signed by the key in use.

        Raises:
            Conflict: the home is open for reading only.
            Damaged: nothing may be signed any more.
        """
        writer = self._own_writer()
        return await writer.do(lambda: writer.signed(text))

    def noted(self) -> Iterator[Recorded]:
        """Read what the home says about itself and its keys, oldest first."""
        for seq, envelope, body in self._reader().ask("noted", (HOME_LEDGER,)).fetchall():
            if body is not None:
                yield _opened(HOME_LEDGER, seq, envelope, body)

    def watch(self, called: Watcher) -> None:
        """Call `called` after each commit from now on, in the loop that is running now.

        Raises:
            Conflict: the home is open for reading only; others commit, if anybody does.
        """
        self._own_writer().watch(called)

    def unnamed(self, digests: Collection[str], without: Collection[bytes]) -> Unnamed:
        """Return those of these blobs that nothing in the record names, the streams `without` left aside."""
        return Unnamed(self._reader, self.blobs, digests, without)

    # --- the read tables ---------------------------------------------------------------------------

    def open_runs(self) -> list[bytes]:
        """Return the ids of runs that are not over, oldest first."""
        return [row[0] for row in self._reader().ask("open_runs")]

    def run(self, run_id: bytes) -> RunRow | None:
        row = self._reader().ask("run", (run_id,)).fetchone()
        return None if row is None else RunRow(*row)

    def runs(self, query: RunQuery) -> list[RunRow]:
        """Return one page of runs, in the order asked for."""
        return list_runs(self._reader(), query)

    def runs_with(self, query: ContentQuery) -> list[RunRow]:
        """Return runs that made a content, or were given it."""
        return runs_with(self._reader(), query)

    def count(self, query: RunQuery) -> int:
        """Return how many runs there are, whatever page was asked for."""
        return count_runs(self._reader(), query)

    def tally(self, query: RunQuery) -> dict[str, int]:
        """Return how many runs there are of each definition."""
        return tally_runs(self._reader(), query)

    def keyed(self, principal: str, key: str) -> KeyRow | None:
        """Return the run that a client's own key stands for."""
        row = self._reader().ask("key", (principal, key)).fetchone()
        return None if row is None else KeyRow(*row)

    def tasks(self, run_id: bytes) -> list[TaskRow]:
        """Return a run's tasks, by step and visit."""
        return [TaskRow(*row) for row in self._reader().ask("tasks", (run_id,))]

    def waiting(
        self, query: RunQuery, after: tuple[bytes, str] | None = None, limit: int = 50
    ) -> list[TaskRow]:
        """Return tasks that wait for somebody, of open runs that the filters leave, by run and key."""
        return list_waiting(self._reader(), query, after, limit)

    def flow(self, namespace: str, name: str) -> FlowRow | None:
        row = self._reader().ask("flow", (namespace, name)).fetchone()
        return None if row is None else FlowRow(*row)

    def flows(self, namespace: str) -> list[FlowRow]:
        """Return a namespace's flows, by name."""
        return [FlowRow(*row) for row in self._reader().ask("flows", (namespace,))]

    def _own_writer(self) -> Writer:
        if self._writer is None:
            raise Conflict("this home is open for reading only")
        return self._writer

    def _reader(self) -> Connection:
        connection: Connection | None = getattr(self._here, "connection", None)
        if connection is None:
            connection = self._connect()
            self._here.connection = connection
            self._readers.append(connection)
        return connection


def _opened(stream: bytes, seq: int, envelope: bytes, body: bytes | None) -> Recorded:
    if body is None:
        raise Damaged([f"{chain.stream_name(stream)} #{seq}: the body was erased"])
    try:
        return chain.opened(seq, envelope, body)
    except ValueError as wrong:
        raise Damaged([f"{chain.stream_name(stream)} #{seq}: {wrong}"]) from None
