"""The schema of a database: made at the first opening, moved forward at a later one, never back."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
from psycopg import sql

from runnotary.core.errors import Conflict, HomeVersion
from runnotary.store.connection import transaction
from runnotary.store.postgresql.connections import POSTGRESQL, PostgresConnection
from runnotary.store.release import refuse_newer, refuse_other


def prepare(connection: PostgresConnection, founding: Callable[[PostgresConnection], None]) -> None:
    """Bring the database to this release's schema; `founding` writes what a new record begins with.

    Making or moving a schema is one transaction, and one server does it, whoever else begins just then.

    Raises:
        HomeVersion: a newer release, or another program, wrote this database.
        Conflict: somebody is at work on the whole of it.
    """
    steps = POSTGRESQL.migrations()
    make_place(connection)
    with transaction(connection):
        with not_waiting():
            connection.ask("begin_schema")
        version = _version(connection)
        refuse_newer("database", version, len(steps))
        if version == len(steps):
            return
        if version == 0:
            make(connection)
            founding(connection)
            return
        for step in steps[version:]:
            connection.raw.execute(step.encode(), prepare=False)
        connection.raw.execute(b"DELETE FROM release")
        connection.ask("set_release", (len(steps),))


@contextmanager
def not_waiting() -> Iterator[None]:
    """Say in plain words that somebody has the locks that are needed, as whoever fills or moves a record.

    Raises:
        Conflict: it is so.
    """
    try:
        yield
    except psycopg.errors.LockNotAvailable:
        raise Conflict(
            "somebody else makes or moves the record of this database", hint="try again later"
        ) from None


def make(connection: PostgresConnection) -> None:
    """Make this release's schema where there is none, in the transaction that the caller has begun."""
    connection.raw.execute(POSTGRESQL.schema().encode(), prepare=False)
    connection.ask("set_release", (len(POSTGRESQL.migrations()),))


def require_empty(connection: PostgresConnection) -> None:
    """Refuse a database that holds anything.

    Raises:
        Conflict: there is a record. HomeVersion: there are tables of another program.
    """
    if _version(connection):
        hint = "name an empty one, or another schema: …?options=-csearch_path%3DNAME"
        raise Conflict("the database holds a record", hint=hint)


def make_place(connection: PostgresConnection) -> None:
    """Make the schema that the address names (`search_path`), if it is not there yet."""
    if connection.run("SELECT current_schema()").fetchone()[0] is None:
        name = sql.Identifier(named_place(connection))
        connection.raw.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(name))


def named_place(connection: PostgresConnection) -> str:
    """Return the name of the schema that the address names, whether or not it is there yet."""
    name, path = connection.run("SELECT current_schema(), current_setting('search_path')").fetchone()
    return str(name or path.split(",")[0].strip().strip('"'))


def require_current(connection: PostgresConnection) -> None:
    """Refuse to read a database of another release.

    Raises:
        HomeVersion: the schema is newer or older than this release's, or there is none.
    """
    refuse_other("database", _version(connection), len(POSTGRESQL.migrations()))


def is_empty(connection: PostgresConnection) -> bool:
    """Tell whether nothing was ever recorded here.

    Raises:
        HomeVersion: there are tables of another program.
    """
    return _version(connection) == 0


def _version(connection: PostgresConnection) -> int:
    tables = {name for _, name, *_ in connection.ask("schema")}
    if "release" not in tables:
        if tables:
            raise HomeVersion(
                "the database holds tables of another program",
                hint="name another one, or another schema: …?options=-csearch_path%3DNAME",
            )
        return 0
    version: int = connection.ask("release").fetchone()[0]
    return version
