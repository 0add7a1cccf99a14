"""The store of a home: a record in SQLite.

A home opened for reading is not touched: no schema, no folder, no lock.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from runnotary.ports import Chance, Clock, Sharing, Signer
from runnotary.store import migrate, tree, uses
from runnotary.store.blobs import LocalBlobs
from runnotary.store.moved import refuse_moved, refuse_older
from runnotary.store.noting import found, note_profile
from runnotary.store.outside import Outside, refuse_rollback
from runnotary.store.records import Records
from runnotary.store.small_blobs import SmallBlobs
from runnotary.store.sqlite import (
    Durability,
    SqliteConnection,
    connect_reader,
    connect_writer,
    database,
    whole,
)
from runnotary.store.sqlite_writer import SqliteWriter
from runnotary.store.writer import Writer


class SqliteStore(Records):
    """One home: its log, its read tables, and in `blobs` its bytes."""

    def __init__(
        self,
        home: Path,
        writer: Writer | None,
        arriving: SmallBlobs | None,
    ) -> None:
        super().__init__(writer)
        self.home = home
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
            Conflict: the record was moved elsewhere.
            Damaged: what is there is not a database any more.
        """
        home.mkdir(parents=True, exist_ok=True)
        with whole(home):
            if not database(home).is_file():
                refuse_rollback(home, None, copies)
            connection = connect_writer(home, durability)
            try:
                refuse_older(home, connection, copies)
                moved = uses.fill(home)
                migrate.prepare(connection, lambda new: found(new, clock.now(), chance), moved=moved)
                refuse_moved(connection)
                tree.complete_now(connection)
                note_profile(connection, profile, clock, chance)
            except BaseException:
                connection.close()
                raise
        arriving = SmallBlobs()
        outside = Outside(home, copies=copies, witness=witness, witnessed=lambda note: writer.cosigned(note))
        writer = SqliteWriter(
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
                connection = store._reader()
                assert isinstance(connection, SqliteConnection)
                refuse_older(home, connection, copies)
                migrate.require_current(connection)
        except BaseException:
            store.close()
            raise
        return store

    def size(self) -> int:
        """Return how many bytes the database has, with what is not moved into it yet."""
        path = database(self.home)
        parts = (path, path.with_name(f"{path.name}-wal"))
        return sum(part.stat().st_size for part in parts if part.exists())

    def share(self, engine: Sharing) -> None:
        """Nobody else writes to a home."""

    async def hand_over(self, run_id: bytes, place: str) -> bool:
        """There is no other place."""
        del run_id, place
        return False

    def is_ours(self, run_id: bytes) -> bool:
        """Every run of a home is its engine's."""
        del run_id
        return True

    async def claim(self, run_id: bytes) -> bool:
        """Every run of a home is its engine's."""
        del run_id
        return True

    def _connect(self) -> SqliteConnection:
        return connect_reader(self.home)
