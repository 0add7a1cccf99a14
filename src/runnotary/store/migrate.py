"""The schema of a home: made at the first opening, moved forward at a later one, never back.

Rules of this file:

1. `user_version` is the number of migrations that the database has seen. The first opening runs the whole
   schema at once; the result is the same as running every migration, and a test holds that.
2. Making or moving a schema is one transaction, together with the first event of a new home: after a crash
   there is the old home or the new one, nothing between.
3. A home of a newer release is refused, untouched. Reading does not migrate.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Final

from runnotary.core.errors import HomeVersion
from runnotary.store import sqlite
from runnotary.store.connection import transaction
from runnotary.store.release import refuse_newer, refuse_other
from runnotary.store.sqlite import SqliteConnection

APPLICATION: Final = 0x52_4E_54_59
"""`application_id` in the file's header: "RNTY"."""


def prepare(
    connection: SqliteConnection,
    founding: Callable[[SqliteConnection], None],
    migrations: list[str] | None = None,
    moved: Callable[[SqliteConnection, int], None] | None = None,
) -> None:
    """Bring the database to this release's schema; `founding` writes what a new home begins with, `moved`
    what SQL cannot say about an older one, whose version it is told.

    Raises:
        HomeVersion: a newer release, or another program, wrote this database.
    """
    steps = sqlite.migrations() if migrations is None else migrations
    with transaction(connection):
        version = _version(connection)
        refuse_newer("home", version, len(steps))
        if version == 0:
            _refuse_foreign(connection)
            _run(connection, sqlite.schema() if migrations is None else "".join(steps))
            founding(connection)
        else:
            for step in steps[version:]:
                _run(connection, step)
            if moved is not None and version < len(steps):
                moved(connection, version)
        if version != len(steps):
            connection.execute(f"PRAGMA user_version = {len(steps)}")
            connection.execute(f"PRAGMA application_id = {APPLICATION}")


def require_current(connection: SqliteConnection) -> None:
    """Refuse to read a home of another release.

    Raises:
        HomeVersion: the schema is newer or older than this release's.
    """
    refuse_other("home", _version(connection), len(sqlite.migrations()))


def _version(connection: SqliteConnection) -> int:
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def _refuse_foreign(connection: SqliteConnection) -> None:
    if connection.ask("schema").fetchone() is not None:
        raise HomeVersion("the database holds tables of another program", hint="name another home")


def _run(connection: SqliteConnection, script: str) -> None:
    # Not executescript: it would commit the transaction that this runs in.
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""
