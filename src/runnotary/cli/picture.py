"""A run as its log tells it so far, read on at every change and never again from the start."""

from __future__ import annotations

from typing import Any, Final

from runnotary.app.records import Reader
from runnotary.core.chain import Recorded
from runnotary.core.documents import TaskRecord
from runnotary.core.flow import Flow

Json = Any


class Picture:
    """What views draw from."""

    def __init__(self, reader: Reader, run: str) -> None:
        self.reader: Final = reader
        self.row = reader.resolve(run)
        self.run: Final = run
        self.flow: Final[Flow] = reader.flow_of(self.row.definition)
        self._record: Final = TaskRecord(self.row.id, self.flow, reader.value)
        self._seq = 0

    def read_on(self) -> list[Recorded]:
        """Take in what was recorded since the last time, and return it."""
        fresh = list(self.reader.history(self.row, after=self._seq))
        for entry in fresh:
            self._record.add(entry)
            self._seq = entry.seq
        return fresh

    def tasks(self) -> list[Json]:
        """Return the task documents."""
        return self._record.documents()

    def document(self) -> Json:
        """Return the run document as of now."""
        self.row = self.reader.resolve(self.run)
        return self.reader.document(self.row)
