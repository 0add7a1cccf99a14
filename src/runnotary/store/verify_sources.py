"""What a check of the streams reads: cursors in the order of their keys, walked side by side."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

from runnotary.core import chain
from runnotary.core.rows import KeyRow, UseRow
from runnotary.store.connection import Connection

Fields = tuple[Any, ...]


class Side:
    """A second cursor in key order, walked beside the streams: hands out what belongs to a key."""

    def __init__(self, rows: Iterable[Fields], surplus: Callable[[Fields], None]) -> None:
        self._groups = groupby(rows, itemgetter(0))
        self._surplus = surplus
        self._key: Any = None
        self._group: Iterator[Fields] | None = None
        self._advance()

    def take(self, wanted: bytes) -> list[Fields]:
        """Return the rows of this key; those before it belong to nobody."""
        while self._group is not None:
            if self._key == wanted:
                taken = list(self._group)
                self._advance()
                return taken
            if _sortable(self._key) > _sortable(wanted):
                break
            self._drop()
        return []

    def finish(self) -> None:
        """Report what is left: it belongs to nobody."""
        while self._group is not None:
            self._drop()

    def _drop(self) -> None:
        for row in self._group or ():
            self._surplus(row)
        self._advance()

    def _advance(self) -> None:
        self._key, self._group = next(self._groups, (None, None))


class Sources:
    """The cursors of one walk: of the whole store, or of one run."""

    def __init__(self, connection: Connection, run: bytes | None) -> None:
        if run is None:
            self.events: Iterable[Fields] = connection.ask("all_events")
            self.log: Iterable[Fields] = connection.ask("all_log")
            self.runs: Iterable[Fields] = connection.ask("all_runs")
            self.tasks: Iterable[Fields] = connection.ask("all_tasks")
            self.uses: Iterable[Fields] | None = connection.ask("all_uses")
        else:
            stream = chain.run_stream(run)
            self.events = connection.ask("stream_events", (stream,))
            self.log = connection.ask("stream_log", (stream,))
            self.runs = connection.ask("run", (run,))
            self.tasks = connection.ask("run_tasks", (run,))
            self.uses = None
        self._connection = connection

    def keys(self, row: KeyRow) -> list[Fields]:
        """Return what stands in the place of a row of `keys`."""
        return self._connection.ask("key", (row.principal, row.key)).fetchall()

    def used(self, rows: Iterable[UseRow]) -> list[Fields]:
        """Return what stands in the places of rows of `uses`: for one run, whose own ones have no order."""
        found = (self._connection.ask("use", (row.blob, row.run)) for row in rows)
        return [row for some in found for row in some]


class Made(NamedTuple):
    """The rows that stand for a run; of `uses` None if they are to be looked up."""

    run: list[Fields]
    tasks: list[Fields]
    uses: list[Fields] | None


def by_blob(row: Fields) -> Fields:
    """Return a row of `uses` in the order of its columns; it is read in the order of runs."""
    return row[1], row[0], row[2]


def _sortable(key: Any) -> tuple[int, Any]:
    """Order keys as SQLite does, text before blobs, so that one of the wrong type cannot stop the walk."""
    rank = 2 if isinstance(key, bytes) else 1 if isinstance(key, str) else 0
    return rank, key if rank else (key or 0)
