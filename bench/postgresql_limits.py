"""What a PostgreSQL can do at all, asked over one connection, into a table with one index."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg

SECONDS: Final = 0.4
_ROW: Final = ("r" * 26, "step", "completed", 1.0, '{"a":1,"b":"' + "x" * 180 + '"}')
_COLUMNS: Final = "run text, kind text, st text, ts double precision, doc text"
_TYPES: Final = ("text", "text", "text", "float8", "text")
_NEWEST: Final = "SELECT id, st, ts, doc FROM r WHERE st = %s ORDER BY ts DESC LIMIT 50"
_BATCH: Final = 100
_ASKED: Final = 50


class Probe:
    """A connection that does nothing else; rows have about 260 bytes, and every commit is durable."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection: Final = connection

    def copied(self) -> float:
        """Rows per second through COPY, in commits of a hundred."""
        return self._commits_per_second(self._copy) * _BATCH

    def single(self) -> float:
        """Commits of one row per second."""
        return self._commits_per_second(self._insert)

    def listing(self, runs: int) -> Callable[[], float]:
        """Fill a table with this many rows; what is returned asks for the newest 50, in milliseconds."""
        self._connection.execute("CREATE TABLE r (id bigint PRIMARY KEY, st int, ts bigint, doc text)")
        self._connection.execute("CREATE INDEX r_st ON r (st, ts)")
        with self._connection.cursor() as cursor, cursor.copy("COPY r FROM STDIN") as copying:
            for number in range(runs):
                copying.write_row((number, number % 5, number, _ROW[4]))
        self._connection.execute("ANALYZE r")

        def ask() -> float:
            started = time.perf_counter()
            for _ in range(_ASKED):
                self._connection.execute(_NEWEST, (3,), prepare=True).fetchall()
            return (time.perf_counter() - started) / _ASKED * 1e3

        return ask

    def _commits_per_second(self, write: Callable[[], None]) -> float:
        self._connection.execute("DROP TABLE IF EXISTS e")
        self._connection.execute(
            f"CREATE TABLE e (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, {_COLUMNS})".encode()
        )
        self._connection.execute("CREATE INDEX e_run ON e (run)")
        number = 0
        started = time.perf_counter()
        while time.perf_counter() - started < SECONDS:
            write()
            number += 1
        return number / (time.perf_counter() - started)

    def _copy(self) -> None:
        into = "COPY e (run, kind, st, ts, doc) FROM STDIN (FORMAT BINARY)"
        with self._connection.cursor() as cursor, cursor.copy(into) as copying:
            copying.set_types(_TYPES)
            for _ in range(_BATCH):
                copying.write_row(_ROW)

    def _insert(self) -> None:
        self._connection.execute(
            "INSERT INTO e (run, kind, st, ts, doc) VALUES (%s, %s, %s, %s, %s)", _ROW, prepare=True
        )


@contextmanager
def probing(url: str) -> Iterator[Probe]:
    """Connect a probe."""
    with psycopg.connect(url, autocommit=True) as connection:
        yield Probe(connection)
