"""How a verification comes to a record, whatever database it is in."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from runnotary.store.connection import Connection
from runnotary.store.report import Notebook


class Record(Protocol):
    """A record that can be read as it is at one moment."""

    @property
    def home(self) -> Path:
        """Where its files are: blobs, and the checkpoint outside the database."""

    def snapshot(self, copies: Sequence[Path]) -> AbstractContextManager[Connection]:
        """Read it as it is now, beside whoever writes. `copies` are files with its newest checkpoint.

        Raises:
            FileMissing: there is no record. HomeVersion: another release wrote it.
            RolledBack: it is not the one that the checkpoints outside were made of.
        """

    def structure(self, connection: Connection, notes: Notebook) -> None:
        """See that the database itself is whole, and made as this release makes it."""
