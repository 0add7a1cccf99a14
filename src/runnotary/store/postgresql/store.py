"""The store of one server: a record in PostgreSQL that it shares with others.

writer.py      commits, and positions if it is the integrator
listener.py    what anybody committed, in the order of the log
servers.py     who works on which run
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from runnotary.core.errors import Conflict, FileMissing
from runnotary.ports import Chance, Clock, Sharing, Signer
from runnotary.store.blobs import LocalBlobs
from runnotary.store.moved import refuse_moved, refuse_older
from runnotary.store.noting import found
from runnotary.store.outside import Outside, refuse_rollback
from runnotary.store.postgresql import schema
from runnotary.store.postgresql.connections import PATIENCE_SECONDS, PostgresConnection
from runnotary.store.postgresql.listener import Listener
from runnotary.store.postgresql.servers import Server
from runnotary.store.postgresql.writer import PostgresWriter
from runnotary.store.records import Records
from runnotary.store.small_blobs import SmallBlobs
from runnotary.store.writer import Watcher


class PostgresStore(Records):
    """One database: its log, its read tables; and in `blobs` its bytes, the large ones in the shared home."""

    def __init__(
        self, url: str, home: Path, writer: PostgresWriter | None = None, arriving: SmallBlobs | None = None
    ) -> None:
        super().__init__(writer)
        self.home = home
        self._url: Final = url
        self._own: Final = writer
        self._listener: Listener | None = None
        own = home / "servers" / writer.registration.server.name / "new" if writer is not None else None
        self.blobs = LocalBlobs(home, self._reader, arriving, writer, own)

    @classmethod
    def open(  # noqa: PLR0913 - all that a record is opened with
        cls,
        url: str,
        home: Path,
        *,
        server: Server,
        clock: Clock,
        chance: Chance,
        signer: Signer,
        copies: Sequence[Path] = (),
        witness: Sequence[str] = (),
        profile: str = "standard",
    ) -> PostgresStore:
        """Open a database for writing, as one server; make the record if there is none.

        Raises:
            Unreachable: the database does not answer.
            HomeVersion: a newer release, or another program, wrote what is there.
            RolledBack: the record is not the one that the checkpoint in `home` was made of.
            Conflict: the record was moved elsewhere.
        """
        home.mkdir(parents=True, exist_ok=True)
        connection = PostgresConnection(url)
        try:
            _refuse_older(home, connection, copies)
            schema.prepare(connection, lambda new: found(new, clock.now(), chance))
            refuse_moved(connection)
            _refuse_strange(home, connection)
            listener = Listener(url, connection.ask("last_pos").fetchone()[0])
        except BaseException:
            connection.close()
            raise
        arriving = SmallBlobs()
        outside = Outside(home, copies=copies, witness=witness, witnessed=lambda note: writer.cosigned(note))
        writer = PostgresWriter(
            connection,
            chance,
            clock,
            arriving,
            signer=signer,
            outside=outside,
            server=server,
            channel=listener.channel,
            told=listener.tell,
        )
        store = cls(url, home, writer, arriving)
        store._listener = listener
        store.blobs.prepare()
        try:
            writer.enter(profile)
        except BaseException:
            connection.close()
            listener.close()
            raise
        writer.start()
        listener.start(store._heard)
        return store

    @classmethod
    def open_read_only(cls, url: str, home: Path, copies: Sequence[Path] = ()) -> PostgresStore:
        """Open a database for reading, whoever writes to it now.

        Raises:
            Unreachable: the database does not answer.
            FileMissing: there is no record. HomeVersion: its schema is not this release's.
            RolledBack: the record is not the one that the checkpoint in `home` was made of.
        """
        store = cls(url, home)
        try:
            connection = store._reader()
            assert isinstance(connection, PostgresConnection)
            if _refuse_older(home, connection, copies):
                raise FileMissing("the database holds no record", hint="start a flow with it first")
            schema.require_current(connection)
        except BaseException:
            store.close()
            raise
        return store

    def close(self) -> None:
        if self._own is not None:
            self._own.shared = None
        if self._listener is not None:
            self._listener.leave()
        super().close()  # the writer says that it leaves, which wakes the listener too
        if self._listener is not None:
            self._listener.close()

    def watch(self, called: Watcher) -> None:
        """Call `called` after each commit from now on, whoever's it is, in the loop that is running now.

        Raises:
            Conflict: the record is open for reading only.
        """
        self._own_writer()
        if self._listener is not None:
            self._listener.watch(called)

    def share(self, engine: Sharing) -> None:
        """Tell an engine, in the loop that is running now, what other servers do."""
        loop = asyncio.get_running_loop()

        def shared(tell: Callable[[Sharing], None]) -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(tell, engine)

        if self._own is not None:
            self._own.shared = shared
            self.watch(engine.grown)

    async def hand_over(self, run_id: bytes, place: str) -> bool:
        """Let an open run of ours be the server's of that name; False if it is not alive."""
        writer = self._own_writer()
        assert isinstance(writer, PostgresWriter)
        return await writer.do(lambda: writer.registration.hand_over(run_id, place))

    def is_ours(self, run_id: bytes) -> bool:
        """Tell whether this server is the last that worked on a run."""
        if self._own is None:
            return False
        return self._reader().ask("is_ours", (run_id, self._own.registration.number)).fetchone() is not None

    async def claim(self, run_id: bytes) -> bool:
        """Take a run on which no server works, or that is ours; False if another one works on it.

        Raises:
            Conflict: the record is open for reading only.
        """
        writer = self._own_writer()
        assert isinstance(writer, PostgresWriter)
        return await writer.do(lambda: writer.registration.claim(run_id))

    def size(self) -> int:
        """Return how many bytes the tables have, with their indexes."""
        return int(self._reader().ask("size").fetchone()[0])

    def sealed(self) -> int:
        row = self._reader().ask("newest_checkpoint").fetchone()
        return 0 if row is None else int(row[0])

    def _connect(self) -> PostgresConnection:
        # Where others are served, who reads may be the loop that answers all of them: it does not wait.
        serves = self._own is not None and self._own.registration.server.takes_over
        patience = 0 if serves else PATIENCE_SECONDS
        return PostgresConnection(self._url, read_only=True, patience=patience)

    def _heard(self, word: str) -> None:
        """Another server said something."""
        if self._own is None:
            return
        if word == "pending":
            self._own.integrate()
        elif word == "left":
            self._own.look_now()
        elif word == "handed":
            self._own.take_handed()


def _refuse_older(home: Path, connection: PostgresConnection, copies: Sequence[Path]) -> bool:
    """Refuse a record that is older than a checkpoint of it; return whether there is none."""
    empty = schema.is_empty(connection)
    if empty:
        refuse_rollback(home, None, copies)
    else:
        refuse_older(home, connection, copies)
    return empty


def _refuse_strange(home: Path, connection: PostgresConnection) -> None:
    """Refuse a home that none of the record's files can be in: another one, or a disk that is away.

    Raises:
        Conflict: it is one.
    """
    entries = connection.ask("last_pos").fetchone()[0]
    if entries > 1 and not (home / "blobs").is_dir():
        raise Conflict(
            f"{home} is not the home of the record in this database, which has {entries} log entries: "
            "the files that belong to it are elsewhere",
            hint="name the home that all its servers share: --home DIR, or RUNNOTARY_HOME",
        )


def is_new(url: str) -> bool:
    """Tell whether nothing was ever recorded in a database."""
    with closing(PostgresConnection(url, read_only=True)) as connection:
        return schema.is_empty(connection)


def has_servers(url: str, is_dead: Callable[[str, str], bool]) -> bool:
    """Tell whether a server works on a record; `is_dead` knows more of a name and its host."""
    with closing(PostgresConnection(url, read_only=True)) as connection:
        if schema.is_empty(connection):
            return False
        servers = connection.ask("servers").fetchall()
    return any(not (expired or is_dead(name, host)) for _, name, host, expired in servers)
