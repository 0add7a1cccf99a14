"""The writer of a home: what SQLite and its files need besides.

A full disk makes the ballast give way; room ahead in the write-ahead log keeps a commit from waiting for the
file system; in a quiet moment the log is moved into the database.
"""

from __future__ import annotations

import sqlite3

from runnotary.ports import Append, Chance, Clock, Refusal, Signer
from runnotary.store.ballast import Ballast, is_full
from runnotary.store.commit import Commit
from runnotary.store.outside import Outside
from runnotary.store.room import Room
from runnotary.store.small_blobs import SmallBlobs
from runnotary.store.sqlite import Durability, SqliteConnection, checkpoint, rewritten
from runnotary.store.streams import failed, unwritten
from runnotary.store.writer import Writer


class SqliteWriter(Writer):
    """The writer of the one database of a home."""

    def __init__(
        self,
        connection: SqliteConnection,
        chance: Chance,
        clock: Clock,
        blobs: SmallBlobs,
        *,
        signer: Signer,
        outside: Outside,
        durability: Durability,
    ) -> None:
        super().__init__(connection, chance, clock, blobs, signer=signer, outside=outside)
        self._sqlite = connection
        self._ballast = Ballast(outside.home)
        self._room = Room(outside.home)
        self._durability = durability

    def start(self) -> None:
        self._ballast.fill()
        super().start()

    def scrub(self, at_most: int) -> bool:
        return rewritten(self._sqlite, at_most)

    def _again(self, error: Exception) -> bool:
        return is_full(error) and self._ballast.drop()

    def _refusal(self, append: Append, error: Exception) -> Refusal:
        refusal = failed if isinstance(error, sqlite3.IntegrityError) else unwritten
        return refusal(append, str(error) or type(error).__name__)

    def _durably(self, on: bool) -> None:
        if self._durability != "full":
            self._sqlite.execute(f"PRAGMA synchronous = {'full' if on else self._durability}")

    def _committed(self) -> None:
        self._room.keep()

    def _idle(self) -> bool:
        checkpoint(self._sqlite)
        self._ballast.fill()
        return True

    def _end(self) -> None:
        checkpoint(self._sqlite)
        self._sqlite.close()
        self._ballast.drop()

    def _write(self, commit: Commit, blobs: list[tuple[bytes, bytes]], leaving: list[bytes]) -> None:
        self._sqlite.ask("begin")
        commit.write(self._sqlite, blobs, leaving)
        rides = self.sealing.pending and self._durability == "full"
        if rides:
            self.sealing.keep()
        self._tell_meanwhile()
        self._sqlite.ask("commit")
        if rides:
            self.sealing.kept()
