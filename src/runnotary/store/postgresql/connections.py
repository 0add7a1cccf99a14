"""Connections to PostgreSQL: how each kind is opened, and what it may do.

Rules of this file:

1. One connection of a server writes, and it is the writer thread's. Every other one is read-only.
2. A reader whose connection was cut connects anew and asks again: what it asked changed nothing. Whoever
   writes has to find out first what became of the commit (`writer.py`).
3. What is written for many rows is one statement: the rows go as one array for each column.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final

import psycopg
from psycopg import pq

from runnotary.core.errors import InvalidInput, Unreachable
from runnotary.store.connection import Rows, Values, dialect

POSTGRESQL: Final = dialect(
    "postgresql",
    elements="SELECT json_array_elements_text(({})::json) AS value",
    waiting="(counts::json ->> 'waiting')::bigint",
)
CONNECT_SECONDS: Final = 5
LOCK_SECONDS: Final = 5
"""How long a statement waits for a lock; longer than any commit takes."""
PATIENCE_SECONDS: Final = 30
"""How long a database may be away that was here before."""
PAUSE_SECONDS: Final = 0.2

_FETCHED: Final = 2_000
_ORDERED: Final = frozenset(
    {"append_event", "put_blob", "put_run", "put_task", "put_flow", "put_key", "put_use"}
)
"""Written in the order of their keys: two servers would else wait for each other's rows."""

_first_two: Final = itemgetter(0, 1)


@lru_cache(1024)
def placed(sql: str) -> bytes:
    """Return a statement with the placeholders that the driver knows."""
    return sql.replace("%", "%%").replace("?", "%s").encode()


_SQL: Final = {name: placed(sql) for name, sql in POSTGRESQL.sql.items()}


class PostgresConnection:
    """See `connection.Connection`."""

    Error = psycopg.Error
    dialect = POSTGRESQL

    def __init__(self, url: str, *, read_only: bool = False) -> None:
        """Connect.

        Raises:
            Unreachable: nobody answers there. InvalidInput: that is no address of a database.
        """
        self._url: Final = url
        self._read_only: Final = read_only
        self.raw = connect(url, read_only=read_only)
        self._walks: list[psycopg.ServerCursor[Any]] = []

    def ask(self, name: str, values: Values = (), /) -> Rows:
        if name.startswith("all_") and self.in_transaction:
            return self._walked(_SQL[name])
        return self._execute(_SQL[name], values)

    def ask_many(self, name: str, rows: Sequence[Values], /) -> None:
        if rows:
            ordered = sorted(rows, key=_first_two) if name in _ORDERED else rows
            self.raw.execute(_SQL[name], [list(column) for column in zip(*ordered, strict=True)])

    def run(self, sql: str, values: Values = (), /) -> Rows:
        return self._execute(placed(sql), values)

    def overwrite(self, on: bool, /) -> None:
        """PostgreSQL overwrites nothing: what was deleted is gone once the table was vacuumed."""

    @property
    def in_transaction(self) -> bool:
        status = self.raw.info.transaction_status
        return status not in (pq.TransactionStatus.IDLE, pq.TransactionStatus.UNKNOWN)

    def again(self) -> None:
        """Connect anew, as often as it takes for a while.

        Raises:
            Unreachable: it took too long.
        """
        self.raw.close()
        until = time.monotonic() + PATIENCE_SECONDS
        while True:
            try:
                self.raw = connect(self._url, read_only=self._read_only)
                return
            except Unreachable:
                if time.monotonic() > until:
                    raise
                time.sleep(PAUSE_SECONDS)

    def close(self) -> None:
        for walk in self._walks:
            with suppress(psycopg.Error):
                walk.close()
        self.raw.close()

    def _execute(self, sql: bytes, values: Values) -> Rows:
        try:
            return self.raw.execute(sql, values, binary=True)
        except psycopg.OperationalError:
            if not (self._read_only and self.raw.closed):
                raise
        self.again()
        return self.raw.execute(sql, values, binary=True)

    def _walked(self, sql: bytes) -> Rows:
        """Read a table of any size: a cursor of the server, a piece at a time."""
        cursor = self.raw.cursor(f"walk_{len(self._walks)}", scrollable=False)
        cursor.itersize = _FETCHED
        self._walks.append(cursor)
        return cursor.execute(sql, binary=True)


def connect(url: str, *, read_only: bool = False) -> psycopg.Connection[Any]:
    """Return a connection on which every statement is a transaction of its own, until one is begun.

    Raises:
        Unreachable: nobody answers there. InvalidInput: that is no address of a database.
    """
    try:
        raw = psycopg.connect(
            url,
            autocommit=True,
            connect_timeout=CONNECT_SECONDS,
            application_name="runnotary",
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
        )
    except psycopg.ProgrammingError as wrong:
        raise InvalidInput(
            f"database_url: {_line(wrong)}", hint="postgresql://USER@HOST:PORT/DATABASE"
        ) from None
    except psycopg.OperationalError as wrong:
        raise Unreachable(
            f"the database does not answer: {_line(wrong)}",
            hint="see that it runs, and that database_url is right",
        ) from None
    raw.execute(f"SET lock_timeout = '{LOCK_SECONDS}s'")
    raw.execute(
        f"SET idle_in_transaction_session_timeout = '{PATIENCE_SECONDS}s'"
        if not read_only
        else "SET default_transaction_read_only = on"
    )
    return raw


@contextmanager
def sent_together(connection: PostgresConnection) -> Iterator[None]:
    """Send what is asked inside without waiting for answers; whatever went wrong is raised at the end."""
    with connection.raw.pipeline():
        yield


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
