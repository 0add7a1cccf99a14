"""What was committed, told to watchers in the order of the log, whichever server committed it.

The writer of a server that gives positions tells of its own commits at once. What others placed is read from
the log when they notify, and every second in case a notice got lost.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

import psycopg

from runnotary.core.errors import Unreachable
from runnotary.ports import Change
from runnotary.store.postgresql.connections import PAUSE_SECONDS, PostgresConnection

Watcher = Callable[[Sequence[Change]], None]
LOOK_SECONDS: Final = 1.0
PIECE: Final = 1_000

log = logging.getLogger("runnotary.store")


def channel_of(connection: PostgresConnection) -> str:
    """Return where the servers of one record notify each other: a database may hold several records."""
    schema: str = connection.run("SELECT current_schema()").fetchone()[0]
    return "runnotary_" + hashlib.sha256(schema.encode()).hexdigest()[:16]


class Listener:
    """Owns a connection and a thread from `start` to `close`."""

    def __init__(self, url: str, position: int) -> None:
        self._connection: Final = PostgresConnection(url, read_only=True, patience=LOOK_SECONDS)
        self.channel: Final = channel_of(self._connection)
        self._told = position
        self._guard: Final = threading.Lock()
        self._watchers: list[tuple[asyncio.AbstractEventLoop, Watcher]] = []
        self._on: Callable[[str], None] = lambda word: None
        self._closed = threading.Event()
        self._thread: Final = threading.Thread(target=self._run, name="runnotary-listener", daemon=True)

    def start(self, on: Callable[[str], None]) -> None:
        """Begin; `on` is told each word that another server sends, in the thread of the listener."""
        self._on = on
        self._thread.start()

    def watch(self, called: Watcher) -> None:
        """Call `called` with what is committed from now on, in the loop that is running now."""
        self._watchers.append((asyncio.get_running_loop(), called))

    def tell(self, changes: Sequence[Change]) -> None:
        """Tell of commits at once, if nothing before them is still to be told; from any thread."""
        with self._guard:
            if changes[0].pos == self._told + 1:
                self._hand_on(changes)

    def leave(self) -> None:
        """Tell nobody anything any more; the next word that comes ends the thread, and `close` follows."""
        self._closed.set()

    def close(self) -> None:
        self.leave()
        if self._thread.is_alive():
            self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        listening = None
        while not self._closed.is_set():
            try:
                if listening is not self._connection.raw:  # or it was cut, and made anew by whoever asked
                    self._connection.run(f'LISTEN "{self.channel}"')
                    listening = self._connection.raw
                self._catch_up()
                for notice in listening.notifies(timeout=LOOK_SECONDS, stop_after=1):
                    self._on(notice.payload)
            except (psycopg.Error, Unreachable) as error:
                listening = None
                log.warning("the database is away: %s", error)
                self._closed.wait(PAUSE_SECONDS)

    def _catch_up(self) -> None:
        """Tell what the log has more. Nobody holds the guard while the database is asked."""
        while not self._closed.is_set():
            told = self._told
            rows = self._connection.ask("feed", (told, PIECE)).fetchall()
            with self._guard:
                if rows and self._told == told:
                    self._hand_on([Change(*row) for row in rows])
            if len(rows) < PIECE:
                return

    def _hand_on(self, changes: Sequence[Change]) -> None:
        self._told = changes[-1].pos
        for loop, called in self._watchers:
            with suppress(RuntimeError):  # the loop is closed: nobody watches any more
                loop.call_soon_threadsafe(called, changes)
