"""The store of a home: the port `Store` on SQLite.

    append  →  writer.py      one thread, sealing and group commit
    read    →  here           the streams, as they were written
    lists   →  listing.py     the read tables
    bytes   →  blobs.py

Rules of this file:

1. Reading never waits for writing: every thread reads through a connection of its own.
2. A stream is read in pieces. No read stays open between them, so a slow reader never keeps the write-ahead
   log from being reset.
3. A home opened for reading is not touched: no schema, no folder, no lock.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Final

from runnotary.core import chain, merkle
from runnotary.core.chain import Recorded
from runnotary.core.errors import Conflict, Damaged
from runnotary.core.events import By, EngineNoted
from runnotary.core.ledger import HOME, Ledger, fold, salt_of
from runnotary.core.notes import PublicKey
from runnotary.core.queries import ContentQuery, RunQuery
from runnotary.core.rows import FlowRow, KeyRow, RunRow, TaskRow
from runnotary.ports import Append, Appended, Beside, Chance, Change, Clock, KeyEnd, Meter, Refusal, Signer
from runnotary.store import migrate, tree, uses
from runnotary.store.blobs import LocalBlobs
from runnotary.store.clearing import Clearing
from runnotary.store.erased import Erased
from runnotary.store.listing import count_runs, list_runs, runs_with, tally_runs, teach
from runnotary.store.noting import note_profile
from runnotary.store.outside import Outside, fuller, refuse_rollback
from runnotary.store.sealing import LEDGER as HOME_LEDGER
from runnotary.store.small_blobs import SmallBlobs
from runnotary.store.sqlite import Durability, connect_reader, connect_writer, database, whole
from runnotary.store.statements import SQL
from runnotary.store.tree import Nodes
from runnotary.store.unused import Unnamed
from runnotary.store.waiting import list_waiting
from runnotary.store.writer import Watcher, Writer

_PIECE: Final = 512
_FIRST_PIECE: Final = 32
_SALT_SIZE: Final = 32


class SqliteStore(Clearing):
    """One home: its log, its read tables, and in `blobs` its bytes."""

    def __init__(
        self,
        home: Path,
        writer: Writer | None,
        arriving: SmallBlobs | None,
    ) -> None:
        self.home = home
        self._writer = writer
        self._here = threading.local()
        self._readers: list[sqlite3.Connection] = []
        self.blobs = LocalBlobs(home, self._reader, arriving, writer)

    @classmethod
    def open(  # noqa: PLR0913 - all that a home is opened with
        cls,
        home: Path,
        *,
        clock: Clock,
        chance: Chance,
        signer: Signer,
        durability: Durability = "full",
        copies: Sequence[Path] = (),
        witness: Sequence[str] = (),
        profile: str = "standard",
    ) -> SqliteStore:
        """Open a home for writing; make it if it is new. At most one per home: the caller holds its lock.

        Raises:
            HomeVersion: a newer release, or another program, wrote what is there.
            RolledBack: the record is not the one that the checkpoint beside it was made of.
            Damaged: what is there is not a database any more.
        """
        home.mkdir(parents=True, exist_ok=True)
        with whole(home):
            if not database(home).is_file():
                refuse_rollback(home, None, copies)
            connection = connect_writer(home, durability)
            try:
                refuse_rollback(home, connection, copies)
                moved = uses.fill(home)
                migrate.prepare(connection, lambda new: _found(new, clock.now(), chance), moved=moved)
                tree.complete_now(connection)
                note_profile(connection, profile, clock, chance)
            except BaseException:
                connection.close()
                raise
        arriving = SmallBlobs()
        outside = Outside(home, copies=copies, witness=witness, witnessed=lambda note: writer.cosigned(note))
        writer = Writer(
            connection, chance, clock, arriving, signer=signer, outside=outside, durability=durability
        )
        store = cls(home, writer, arriving)
        store.blobs.prepare()
        writer.start()
        return store

    @classmethod
    def open_read_only(cls, home: Path, copies: Sequence[Path] = ()) -> SqliteStore:
        """Open a home for reading, whether or not an engine writes to it now.

        Raises:
            FileMissing: there is no record here.
            HomeVersion: its schema is not this release's.
            Damaged: what is there is not a database any more.
        """
        store = cls(home, None, None)
        try:
            with whole(home):
                refuse_rollback(home, store._reader(), copies)
                migrate.require_current(store._reader())
        except BaseException:
            store.close()
            raise
        return store

    def close(self) -> None:
        """Write what is queued and let go of the home."""
        # Readers first: only a connection that may write can clear the write-ahead log away as the last one.
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
        return await writer.ask(batch, beside) if batch else []

    def read(self, stream: bytes, after: int = 0) -> Iterator[Recorded]:
        """Read a stream in order, from `after` + 1 on.

        What was erased is left out.

        Raises:
            Damaged: a body is gone though nothing says that it was erased, or is not what its envelope says.
        """
        connection, limit = self._reader(), _FIRST_PIECE
        erased: Erased | None = None
        while True:
            piece = connection.execute(SQL["read_stream"], (stream, after, limit)).fetchall()
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
        row = self._reader().execute(SQL["head"], (stream,)).fetchone()
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
        first = self._reader().execute(SQL["first_event"], (HOME_LEDGER,)).fetchone()
        if first is None:
            return iter(())
        return self.noted() if first[1] is None else iter((_opened(HOME_LEDGER, 1, *first),))

    def feed(self, after: int, limit: int = 1000) -> list[Change]:
        """Return what was committed after the position `after`, in the order of the log."""
        return [Change(*row) for row in self._reader().execute(SQL["feed"], (after, limit))]

    def position(self) -> int:
        """Return the last position of the log."""
        pos: int = self._reader().execute(SQL["last_pos"]).fetchone()[0]
        return pos

    def sealed(self) -> int:
        """Return how many entries of the log the newest checkpoint covers."""
        if self._writer is not None:
            return self._writer.sealing.covered
        row = self._reader().execute(SQL["newest_checkpoint"]).fetchone()
        return 0 if row is None else int(row[0])

    def placed(self, stream: bytes, seq: int) -> int:
        """Return the position in the log of the commit that brought an event; 0 if there is none."""
        row = self._reader().execute(SQL["pos_of"], (stream, seq)).fetchone()
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
        row = self._reader().execute(SQL["checkpoint_of"], (size, size)).fetchone()
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
        row = self._reader().execute(SQL["leaves"], (pos - 1, pos)).fetchone()
        return row

    def stored(self, stream: bytes) -> Iterator[tuple[int, bytes, bytes | None]]:
        """Read a stream as it lies: seq, envelope and body, which is None if it was erased."""
        yield from self._reader().execute(SQL["read_stream"], (stream, 0, -1)).fetchall()

    def rows(self, stream: bytes) -> list[tuple[int, int, int, bytes]]:
        """Return the entries of a stream in the log, oldest first: pos, first and last event, head."""
        found = self._reader().execute(SQL["stream_log"], (stream,))
        return [(pos, from_seq, seq, head) for _, from_seq, seq, head, pos in found]

    async def signed(self, text: str) -> str:
        """Return the manifest of a bundle as a note, signed by the key in use.

        Raises:
            Conflict: the home is open for reading only.
            Damaged: nothing may be signed any more.
        """
        writer = self._own_writer()
        return await writer.do(lambda: writer.sealing.signed(text))

    def noted(self) -> Iterator[Recorded]:
        """Read what the home says about itself and its keys, oldest first."""
        for seq, envelope, body in self._reader().execute(SQL["noted"], (HOME_LEDGER,)).fetchall():
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
        return [row[0] for row in self._reader().execute(SQL["open_runs"])]

    def run(self, run_id: bytes) -> RunRow | None:
        row = self._reader().execute(SQL["run"], (run_id,)).fetchone()
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
        row = self._reader().execute(SQL["key"], (principal, key)).fetchone()
        return None if row is None else KeyRow(*row)

    def tasks(self, run_id: bytes) -> list[TaskRow]:
        """Return a run's tasks, by step and visit."""
        return [TaskRow(*row) for row in self._reader().execute(SQL["tasks"], (run_id,))]

    def waiting(
        self, query: RunQuery, after: tuple[bytes, str] | None = None, limit: int = 50
    ) -> list[TaskRow]:
        """Return tasks that wait for somebody, of open runs that the filters leave, by run and key."""
        return list_waiting(self._reader(), query, after, limit)

    def flow(self, namespace: str, name: str) -> FlowRow | None:
        row = self._reader().execute(SQL["flow"], (namespace, name)).fetchone()
        return None if row is None else FlowRow(*row)

    def flows(self, namespace: str) -> list[FlowRow]:
        """Return a namespace's flows, by name."""
        return [FlowRow(*row) for row in self._reader().execute(SQL["flows"], (namespace,))]

    def _own_writer(self) -> Writer:
        if self._writer is None:
            raise Conflict("this home is open for reading only")
        return self._writer

    def _reader(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._here, "connection", None)
        if connection is None:
            connection = connect_reader(self.home)
            teach(connection)
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


def _found(connection: sqlite3.Connection, now: int, chance: Chance) -> None:
    """Write what a home begins with: the salt of its actor ids, as the first event of its ledger."""
    event = EngineNoted(kind=HOME, data={"salt": chance.token(_SALT_SIZE).hex()})
    nonce = chance.token(chain.NONCE_SIZE)
    sealed = chain.seal(HOME_LEDGER, 1, chain.GENESIS, now, chain.ENGINE_ACTOR, event, nonce)
    connection.execute(SQL["append_event"], (HOME_LEDGER, 1, sealed.envelope, sealed.body))
    connection.execute(SQL["append_log"], (1, HOME_LEDGER, 1, 1, sealed.hash))
