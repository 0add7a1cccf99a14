"""The rows of `uses` for the runs of an older home: made again from their events, as `verify` does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import msgspec

from runnotary.core import chain, definition
from runnotary.core.chain import Recorded
from runnotary.core.documents import use_rows
from runnotary.core.fold import replay
from runnotary.store.blobs import LocalBlobs
from runnotary.store.sqlite import SqliteConnection

SINCE: Final = 3
"""The schema that brought the table."""

FLOWS_HELD: Final = 256


def fill(home: Path) -> Callable[[SqliteConnection, int], None]:
    """Return what fills the table when a home is moved forward, in the transaction that moves it.

    A run whose record is damaged has no rows: `verify` names the damage.
    """

    def moved(connection: SqliteConnection, version: int) -> None:
        if version >= SINCE:
            return
        blobs = LocalBlobs(home, lambda: connection, None)
        load = lru_cache(FLOWS_HELD)(lambda digest: msgspec.json.decode(blobs.get(digest)))
        compiled = lru_cache(FLOWS_HELD)(lambda digest: definition.compile(load(digest)))
        for (run,) in connection.ask("run_ids").fetchall():
            try:
                rows = use_rows(replay(run, _events(connection, run), compiled), load)
            except (OSError, connection.Error):
                raise
            except Exception:  # noqa: BLE001 - a home that does not open cannot be verified either
                continue
            connection.ask_many("put_use", list(map(msgspec.structs.astuple, rows)))

    return moved


def _events(connection: SqliteConnection, run: bytes) -> Iterator[Recorded]:
    events: Iterable[Any] = connection.ask("stream_events", (chain.run_stream(run),))
    for _, seq, envelope, body in events:
        yield chain.opened(seq, envelope, body)
