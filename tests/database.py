"""Which database the homes of the tests have: each its own file, or a schema of a PostgreSQL that is named.

    make test                                      every home has its own database
    make test-postgresql                           RUNNOTARY_DATABASE_URL is set: a schema there
    python -m tests.database COMMAND…              run a command so, on a PostgreSQL that is started for it

`{home}` in the address is the product's: a name made of the path of a home. Schemas are dropped when the
test is over whose home they were for.
"""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, Final, Protocol

import psycopg
import pytest

from runnotary import config
from runnotary.app.stores import record_of
from runnotary.store.opening import Record
from runnotary.store.postgresql import schema
from runnotary.store.postgresql.connections import PostgresConnection, placed
from runnotary.store.sqlite import database as database_file
from tests.postgres import running
from tests.store.forging import forged

VARIABLE: Final = "RUNNOTARY_DATABASE_URL"
ENVIRON: Final = {VARIABLE: os.environ[VARIABLE]} if os.environ.get(VARIABLE) else {}
"""What a test gives `config.load` for an environment: nothing, but the database if one is named."""
OWN_DATABASE: Final = "own_database"
"""The marker of tests that are about the database which a home has for itself."""
_BYTES: Final = re.compile(r"\bx'([0-9a-f]*)'")
_ZEROS: Final = re.compile(r"\bzeroblob\(([0-9]+)\)")
_TABLES: Final = (
    b"SELECT table_name::text FROM information_schema.tables WHERE table_schema = current_schema()"
)
DEEP: Final = 3
"""Homes lie that deep in the folder of a test, or less."""


class Rows(Protocol):
    """What somebody who has the database of a home can do with it, past the store."""

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> Any:
        """Run a statement, at once and for good; `?` stands for a value."""


class _Psycopg:
    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self._connection = connection

    def execute(self, sql: str, values: Sequence[Any] = (), /) -> Any:
        return self._connection.execute(placed(_translated(sql)), values)


class _Forged(PostgresConnection):
    def execute(self, sql: str, values: Sequence[Any] = (), /) -> Any:
        return self.run(_translated(sql), values)


def _translated(sql: str) -> str:
    return _BYTES.sub(r"'\\x\1'::bytea", _ZEROS.sub(r"decode(repeat('00', \1), 'hex')", sql))


def outer() -> dict[str, str]:
    """Return the environment of a process that tests start: no setting of ours but the database."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("RUNNOTARY_")}
    return own | ENVIRON


def settings_of(home: Path) -> config.Settings:
    """Return the settings of a home, and nothing else set."""
    return config.load({"home": str(home)}, environ=ENVIRON, cwd=home.parent)


@contextmanager
def rows_of(home: Path) -> Iterator[Rows]:
    """Open the database of a home, past the store."""
    settings = settings_of(home)
    if settings.shared:
        with psycopg.connect(settings.database_url, autocommit=True) as connection:
            yield _Psycopg(connection)
        return
    with closing(sqlite3.connect(database_file(home), isolation_level=None)) as connection:
        yield connection


@contextmanager
def all_of(home: Path) -> Iterator[Any]:
    """Open the database of a home for forgeries, as `rows_of` and as the store does: all of them at once."""
    settings = settings_of(home)
    if not settings.shared:
        with forged(home) as own:
            yield own
        return
    with closing(_Forged(settings.database_url)) as connection:
        connection.ask("begin")
        yield connection
        connection.ask("commit")


def record_in(home: Path) -> Path | Record:
    """Return what a verification reads of a home."""
    return record_of(settings_of(home))


def attempts_in(home: Path) -> Path:
    """Return where the one engine that works in a home has its attempts."""
    return next(home.glob("servers/*/attempts"), home / "attempts")


def places_of(home: Path, text: str) -> list[str]:
    """Return the files of a home that hold a text anywhere, free space included, and shared tables."""
    files = [
        str(path.relative_to(home))
        for path in sorted(home.rglob("*"))
        if path.is_file() and text.encode() in path.read_bytes()
    ]
    return files + _tables_with(home, text)


def _tables_with(home: Path, text: str) -> list[str]:
    settings, found = settings_of(home), []
    if settings.shared:
        with psycopg.connect(settings.database_url) as connection:
            for (table,) in connection.execute(_TABLES).fetchall():
                rows = connection.execute(f"SELECT * FROM {table}".encode()).fetchall()
                cells = [one.encode() if isinstance(one, str) else one for row in rows for one in row]
                if any(text.encode() in one for one in cells if isinstance(one, bytes)):
                    found.append(table)
    return found


# --- a whole record, taken elsewhere and back ----------------------------------------------------


def copy_home(source: Path, target: Path) -> None:
    """Copy a home in which nobody works, with its record."""
    shutil.copytree(source, target)
    if settings_of(source).shared:
        _copy_schema(source, target)


def remove_home(home: Path) -> None:
    """Take a home away, with its record."""
    shutil.rmtree(home)
    remove_record(home)


def remove_record(home: Path) -> None:
    """Take the database of a home away, and leave its files."""
    if settings_of(home).shared:
        with psycopg.connect(ENVIRON[VARIABLE].partition("?")[0], autocommit=True) as connection:
            connection.execute(f"DROP SCHEMA IF EXISTS {config.schema_of(home)} CASCADE".encode())
        return
    for path in home.glob("runnotary.db*"):
        path.unlink()


@contextmanager
def record_kept(home: Path, beside: Path) -> Iterator[None]:
    """Let the database of a home be afterwards what it is now; `beside` is a folder that is not there."""
    beside.mkdir()
    if settings_of(home).shared:
        _copy_schema(home, beside)
        yield
        remove_record(home)
        _copy_schema(beside, home)
        return
    for path in home.glob("runnotary.db*"):
        shutil.copy(path, beside)
    yield
    remove_record(home)
    for path in beside.iterdir():
        shutil.copy(path, home)


def _copy_schema(source: Path, target: Path) -> None:
    here, there = config.schema_of(source), config.schema_of(target)
    with closing(PostgresConnection(settings_of(target).database_url)) as connection:
        schema.prepare(connection, lambda _: None)
        connection.run("SET session_replication_role = replica")  # no trigger adds anything
        query = "SELECT table_name::text FROM information_schema.tables WHERE table_schema = ?"
        for (table,) in connection.run(query, (here,)).fetchall():
            connection.run(f"DELETE FROM {there}.{table}")
            connection.run(
                f"INSERT INTO {there}.{table} OVERRIDING SYSTEM VALUE SELECT * FROM {here}.{table}"
            )
        query = "SELECT sequencename::text FROM pg_sequences WHERE schemaname = ? AND last_value IS NOT NULL"
        for (name,) in connection.run(query, (here,)).fetchall():
            connection.run(f"SELECT setval('{there}.{name}', (SELECT last_value FROM {here}.{name}))")


# --- schemas come and go with the homes of tests -------------------------------------------------


class Schemas:
    """Those of the homes of one worker. It holds no connection while a test runs."""

    def __init__(self, url: str) -> None:
        self._url: Final = url.partition("?")[0]

    def drop(self, folder: Path) -> None:
        """Drop the schemas of all homes in a folder; one that somebody still works in stays."""
        names = [config.schema_of(path) for path in _folders(folder, DEEP)]
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute("SET lock_timeout = '2s'")
            query = "SELECT nspname::text FROM pg_namespace WHERE nspname = ANY(%s)"
            for (name,) in connection.execute(query, (names,)).fetchall():
                try:
                    connection.execute(f"DROP SCHEMA {name} CASCADE".encode())
                except psycopg.errors.LockNotAvailable:
                    continue


def _folders(folder: Path, deep: int) -> Iterator[Path]:
    yield folder
    if deep and folder.name not in ("blobs", "attempts", "servers"):
        for path in folder.iterdir():
            if path.is_dir() and not path.is_symlink():
                yield from _folders(path, deep - 1)


@pytest.fixture(autouse=bool(ENVIRON))
def _schemas_end(request: pytest.FixtureRequest) -> Iterator[None]:
    folder = request.getfixturevalue("tmp_path") if "tmp_path" in request.fixturenames else None
    yield
    if folder is not None:
        Schemas(ENVIRON[VARIABLE]).drop(folder)


@pytest.fixture(scope="session", autouse=bool(ENVIRON))
def _all_schemas_end(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    yield
    Schemas(ENVIRON[VARIABLE]).drop(tmp_path_factory.getbasetemp())


# --- what is left out, and said ------------------------------------------------------------------


class LeftOut:
    """Leaves out the tests with the marker, and says how many these are and why."""

    def __init__(self) -> None:
        self._reasons: dict[str, str] = {}

    @pytest.hookimpl
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        left = [(item, marker.args[0]) for item in items for marker in item.iter_markers(OWN_DATABASE)]
        items[:] = [item for item in items if item.get_closest_marker(OWN_DATABASE) is None]
        self._reasons |= {item.nodeid: reason for item, reason in left}
        config.hook.pytest_deselected(items=[item for item, _ in left])
        if hasattr(config, "workeroutput"):
            config.workeroutput[OWN_DATABASE] = self._reasons

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any) -> None:
        self._reasons |= getattr(node, "workeroutput", {}).get(OWN_DATABASE, {})

    @pytest.hookimpl
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        terminalreporter.section("on PostgreSQL these are left out: they are about a home's own database")
        tests: dict[tuple[str, str], int] = {}
        for nodeid, reason in self._reasons.items():
            key = nodeid.partition("[")[0], reason
            tests[key] = tests.get(key, 0) + 1
        for (test, reason), count in sorted(tests.items()):
            terminalreporter.line(f"{test}{f' ({count})' if count > 1 else ''}: {reason}")
        terminalreporter.line(f"{len(self._reasons)} left out")


def main(command: Sequence[str]) -> int:
    """Run a command with a PostgreSQL: the one that is named, else one that is started for it."""
    if named := os.environ.get(VARIABLE):
        return _run(command, named)
    with running() as postgres:
        return _run(command, postgres.url(config.OF_HOME))


def _run(command: Sequence[str], url: str) -> int:
    if config.OF_HOME not in url:
        url += ("&" if "?" in url else "?") + f"options=-csearch_path%3D{config.OF_HOME}"
    return subprocess.run(command, env=os.environ | {VARIABLE: url}, check=False).returncode


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
