"""Connections to PostgreSQL: how each kind is opened, and what it may do.

Rules of this file:

1. One connection of a server writes, and it is the writer thread's. Every other one is read-only by its
   session.
2. A connection that was cut is made anew, and a statement outside a transaction is asked again: each of them
   may run twice. Inside a transaction whoever began it has to find out what became of it (`writer.py`).
3. What is written for many rows is one statement: the rows go as one array for each column, or by COPY.
4. A text with a NUL character is in no row: PostgreSQL takes none. Whoever looks for one looks for NULL,
   which nothing is equal to.
5. Named statements are prepared when they are first used. Prepared after some uses, one that is prepared in a
   pipeline that fails is believed by the driver to be there.
6. No message holds a password.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache
from operator import itemgetter
from typing import Any, Final
from urllib.parse import unquote

import psycopg
from psycopg import pq

from runnotary.core.errors import InvalidInput, Unreachable
from runnotary.store.connection import Rows, Values, dialect
from runnotary.store.postgresql.copying import bulks, copy

POSTGRESQL: Final = dialect(
    "postgresql",
    elements="SELECT json_array_elements_text(({})::json) AS value",
    waiting="(counts::json ->> 'waiting')::bigint",
)
CONNECT_SECONDS: Final = 5
LOCK_SECONDS: Final = 5
"""How long a statement waits for a lock; longer than any commit takes."""
PATIENCE_SECONDS: Final = 10
"""How long a database may be away that was here before."""
IDLE_SECONDS: Final = 10
"""How long a server that stands still may hold the locks of a commit that it has begun."""
PAUSE_SECONDS: Final = 0.2

COPIED_FROM: Final = 8
"""From so many rows on they are copied; for fewer it is quicker to send all statements together."""

_FETCHED: Final = 2_000
_TRIES: Final = 3
_SESSION: Final = (
    b"SELECT set_config('lock_timeout', %s, false), set_config(%s, %s, false),"
    b" set_config('runnotary.server', %s, false)"
)
_READS: Final = ("default_transaction_read_only", "on")
_WRITES: Final = ("idle_in_transaction_session_timeout", f"{IDLE_SECONDS}s")
_CUT: Final = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03"})
"""What a server says before it hangs up: it, or the connection, ends."""
_SECRET: Final = re.compile(r"//[^/]*?:(.*)@|password\s*=\s*'?([^&']+)")
_SPLITS: Final = re.compile(r"[@:/?#\[\]&=\s]")
_PIECE_MIN: Final = 3
_ORDERED: Final = frozenset(
    {"append_event", "put_blob", "put_run", "put_task", "put_flow", "put_key", "put_use"}
)
"""Written in the order of their keys: two servers would else wait for each other's rows."""

_first_two: Final = itemgetter(0, 1)


@lru_cache(1024)
def placed(sql: str) -> bytes:
    """Return a statement with the placeholders that the driver knows."""
    return sql.replace("%", "%%").replace("?", "%s").encode()


_BULKS: Final = bulks(POSTGRESQL.sql)
_ONE: Final = {name: placed(bulk.one) for name, bulk in _BULKS.items()}
_SQL: Final = {name: placed(sql) for name, sql in POSTGRESQL.sql.items()}


class PostgresConnection:
    """See `connection.Connection`."""

    Error = psycopg.Error
    dialect = POSTGRESQL

    def __init__(
        self,
        url: str,
        *,
        read_only: bool = False,
        patience: float = PATIENCE_SECONDS,
    ) -> None:
        """Connect; `patience` is for how many seconds a database may be away later.

        Raises:
            Unreachable: nobody answers there. InvalidInput: that is no address of a database.
        """
        self._url: Final = url
        self._read_only: Final = read_only
        self.patience = patience
        self._server = ""
        self._walks: list[psycopg.ServerCursor[Any]] = []
        self._copies = False
        """The temporary tables are there that many rows need."""
        self.together = False
        """What is asked is only sent, see `sent_together`."""
        self._closed = False
        self.raw = connect(url, read_only=read_only)

    def ask(self, name: str, values: Values = (), /) -> Rows:
        if name.startswith("all_") and self.in_transaction:
            return self._walked(_SQL[name])
        return self._execute(_SQL[name], values)

    def ask_many(self, name: str, rows: Sequence[Values], /) -> None:
        if len(rows) == 1 and name in _ONE:
            self.raw.execute(_ONE[name], rows[0])
            return
        if rows:
            ordered = sorted(rows, key=_first_two) if name in _ORDERED else rows
            if len(rows) >= COPIED_FROM and self._copies and not self.together and name in _BULKS:
                copy(self.raw, _BULKS[name], ordered)
                return
            self.raw.execute(_SQL[name], [list(column) for column in zip(*ordered, strict=True)])

    def run(self, sql: str, values: Values = (), /) -> Rows:
        return self._execute(placed(sql), values, prepare=False)

    def survives(self, error: Exception, /) -> bool:
        """No transaction does: what was sent behind the statement fails too."""
        return False

    def overwrite(self, on: bool, /) -> None:
        """PostgreSQL overwrites nothing: what was deleted is gone once the table was vacuumed."""

    def act_as(self, server: int) -> None:
        """Let the runs that are written here be this server's; see `runs.server`."""
        self._server = str(server)
        self.ask("work_as", (self._server,))
        if not self._copies:
            self._prepare_copies()

    def _prepare_copies(self) -> None:
        for bulk in _BULKS.values():
            if bulk.before:
                self.raw.execute(bulk.before.encode(), prepare=False)
        self._copies = True

    @property
    def in_transaction(self) -> bool:
        status = self.raw.info.transaction_status
        return status not in (pq.TransactionStatus.IDLE, pq.TransactionStatus.UNKNOWN)

    def was_cut(self, error: psycopg.Error) -> bool:
        """Tell whether an error means that there is no connection any more; then it is closed."""
        state = error.sqlstate
        lost = state is None or state.startswith("08") or state in _CUT
        if isinstance(error, psycopg.OperationalError) and lost:
            self.raw.close()
        return self.raw.closed

    def again(self) -> None:
        """Connect anew, as often as it takes for a while.

        Raises:
            Unreachable: it took too long, or this was closed.
        """
        if self._closed:
            raise Unreachable("the record was closed")
        self._walks.clear()
        until = time.monotonic() + self.patience
        while True:
            try:
                self.raw = connect(self._url, read_only=self._read_only, server=self._server)
                if self._copies:
                    self._prepare_copies()
                return
            except Unreachable:
                if time.monotonic() > until:
                    raise
                time.sleep(PAUSE_SECONDS)

    def rewritten(self, at_most: int) -> bool:
        """Write anew what an erasure takes from; False if all tables have more than `at_most` bytes."""
        if at_most and self.ask("size").fetchone()[0] > at_most:
            return False
        for table in ("events", "runs", "tasks", "keys", "uses", "blobs"):
            self.raw.execute(f"VACUUM (FULL) {table}".encode())
        return True

    def close(self) -> None:
        """Hang up for good: whoever asks later is refused, and makes no connection anew."""
        self._closed = True
        for walk in self._walks:
            with suppress(psycopg.Error):
                walk.close()
        self.raw.close()

    def _execute(self, sql: bytes, values: Values, *, prepare: bool | None = None) -> Rows:
        if self._read_only:
            values = [None if isinstance(value, str) and "\0" in value else value for value in values]
        if self.together or self.in_transaction:
            return self.raw.execute(sql, values, binary=True, prepare=prepare)
        for _ in range(_TRIES - 1):
            try:
                return self.raw.execute(sql, values, binary=True, prepare=prepare)
            except psycopg.OperationalError as error:
                if not self.was_cut(error):
                    raise
            self.again()
        return self.raw.execute(sql, values, binary=True, prepare=prepare)

    def _walked(self, sql: bytes) -> Rows:
        """Read a table of any size: a cursor of the server, a piece at a time."""
        cursor = self.raw.cursor(f"walk_{len(self._walks)}", scrollable=False)
        cursor.itersize = _FETCHED
        self._walks.append(cursor)
        return cursor.execute(sql, binary=True)


def connect(url: str, *, read_only: bool = False, server: str = "") -> psycopg.Connection[Any]:
    """Return a connection on which every statement is a transaction of its own, until one is begun.

    Raises:
        Unreachable: nobody answers there. InvalidInput: that is no address of a database.
    """
    try:
        raw = psycopg.connect(
            url,
            autocommit=True,
            prepare_threshold=0,
            connect_timeout=CONNECT_SECONDS,
            application_name="runnotary",
            keepalives_idle=10,
            keepalives_interval=5,
            keepalives_count=3,
        )
        raw.prepared_max = 2 * (len(_SQL) + len(_ONE))
        said = _READS if read_only else _WRITES
        raw.execute(_SESSION, (f"{LOCK_SECONDS}s", *said, server), prepare=False)
    except psycopg.ProgrammingError as wrong:
        raise InvalidInput(
            f"database_url: {said_of(wrong, url)}", hint="postgresql://USER@HOST:PORT/DATABASE"
        ) from None
    except psycopg.OperationalError as wrong:
        raise Unreachable(
            f"the database does not answer: {said_of(wrong, url)}",
            hint="see that it runs, and that database_url is right",
        ) from None
    return raw


def said_of(error: Exception, url: str) -> str:
    """Return what an error says, in one line and without the password in an address, or parts of it."""
    said = " ".join(str(error).split())
    secrets = {piece for found in _SECRET.findall(url) for secret in found for piece in _pieces(secret)}
    for secret in sorted(secrets, key=len, reverse=True):
        said = said.replace(secret, "…")
    return said


def _pieces(secret: str) -> list[str]:
    """Return all that the driver might take for a part of an address in a password that is not encoded."""
    pieces = [secret, *_SPLITS.split(secret)]
    return [piece for one in pieces for piece in (one, unquote(one)) if len(piece) >= _PIECE_MIN]


@contextmanager
def sent_together(connection: PostgresConnection) -> Iterator[None]:
    """Send what is asked inside without waiting for answers; whatever went wrong is raised at the end."""
    connection.together = True
    try:
        with connection.raw.pipeline():
            yield
    finally:
        connection.together = False
