"""The schema: made at once or moved step by step, the same in the end; never half, never backwards."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from runnotary.core.errors import HomeVersion
from runnotary.core.queries import RunQuery
from runnotary.store import migrate
from runnotary.store.log import SqliteStore
from runnotary.store.sqlite import SqliteConnection, database, migrations, schema
from runnotary.store.verify import verify
from tests.store.history import flow_of, open_store, small_home


def nothing(connection: SqliteConnection) -> None:
    pass


def described(connection: SqliteConnection) -> list[Any]:
    """Return the schema as words, without the comments and spaces that differ between the two ways."""
    rows = connection.ask("schema").fetchall()
    return [(kind, name, table, " ".join(sql.split())) for kind, name, table, sql in rows]


@pytest.fixture
def memory() -> Iterator[Callable[[], SqliteConnection]]:
    """Return a function that opens a database in memory; all are closed afterwards."""
    with ExitStack() as opened:
        yield lambda: opened.enter_context(
            closing(sqlite3.connect(":memory:", isolation_level=None, factory=SqliteConnection))
        )


def test_a_fresh_schema_is_a_migrated_one(memory: Callable[[], SqliteConnection]) -> None:
    fresh, migrated = memory(), memory()
    fresh.executescript(schema())
    for step in migrations():
        migrated.executescript(step)
    assert described(fresh) == described(migrated)


def test_a_new_home_has_the_version_and_the_mark(tmp_path: Path) -> None:
    open_store(tmp_path).close()
    with closing(sqlite3.connect(database(tmp_path))) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (len(migrations()),)
        assert connection.execute("PRAGMA application_id").fetchone() == (migrate.APPLICATION,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_the_salt_of_a_home_stays(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    salt = store.home_salt()
    store.close()
    again = open_store(tmp_path)
    assert again.home_salt() == salt and len(salt) == 32
    assert again.ledger("default").seq == 2, "the home and its key"
    again.close()


STEPS = [
    "CREATE TABLE a (x);",
    "-- a comment; with a semicolon\nCREATE TABLE b (y TEXT DEFAULT ';');\nINSERT INTO a VALUES (1);",
    "ALTER TABLE a ADD COLUMN z;",
]


def test_an_older_home_is_moved_forward(memory: Callable[[], SqliteConnection]) -> None:
    connection = memory()
    migrate.prepare(connection, nothing, STEPS[:1])
    migrate.prepare(connection, nothing, STEPS)
    assert connection.execute("PRAGMA user_version").fetchone() == (3,)
    assert connection.execute("SELECT * FROM a").fetchall() == [(1, None)]
    migrate.prepare(connection, nothing, STEPS)
    assert connection.execute("SELECT count(*) FROM a").fetchone() == (1,)


def test_a_migration_that_fails_leaves_the_old_home(memory: Callable[[], SqliteConnection]) -> None:
    connection = memory()
    migrate.prepare(connection, nothing, STEPS[:1])
    with pytest.raises(sqlite3.OperationalError):
        migrate.prepare(connection, nothing, [STEPS[0], "CREATE TABLE c (x);\nCREATE TABLE a (x);"])
    assert connection.execute("PRAGMA user_version").fetchone() == (1,)
    assert [row[1] for row in described(connection)] == ["a"]


def test_a_founding_that_fails_leaves_nothing(memory: Callable[[], SqliteConnection]) -> None:
    def fails(connection: SqliteConnection) -> None:
        raise OSError("no more")

    connection = memory()
    with pytest.raises(OSError, match="no more"):
        migrate.prepare(connection, fails)
    assert described(connection) == []


@pytest.mark.parametrize("opened", [open_store, SqliteStore.open_read_only])
def test_a_newer_home_is_refused_untouched(tmp_path: Path, opened: Callable[[Path], SqliteStore]) -> None:
    open_store(tmp_path).close()
    connection = sqlite3.connect(database(tmp_path))
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = database(tmp_path).read_bytes()
    with pytest.raises(HomeVersion, match="schema 99"):
        opened(tmp_path)
    assert database(tmp_path).read_bytes() == before


def test_the_database_of_another_program_is_refused(tmp_path: Path) -> None:
    connection = sqlite3.connect(database(tmp_path))
    connection.execute("CREATE TABLE theirs (x)")
    connection.commit()
    connection.close()
    with pytest.raises(HomeVersion, match="another program"):
        open_store(tmp_path)


def test_an_old_sqlite_gets_a_schema_it_can_read(
    monkeypatch: pytest.MonkeyPatch, memory: Callable[[], SqliteConnection]
) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 34, 0))
    assert "STRICT;" not in schema()
    memory().executescript(schema())
    tables = schema().count("CREATE TABLE")
    monkeypatch.undo()
    assert schema().count("STRICT;") == tables


def test_a_home_that_was_moved_forward_verifies(tmp_path: Path) -> None:
    """Its schema says the same as a new one, in other spaces; its rows have the columns that came."""
    new, old = small_home(tmp_path / "new"), tmp_path / "old"
    old.mkdir()
    with closing(sqlite3.connect(database(old), isolation_level=None)) as connection:
        connection.executescript(migrations()[0])
        connection.execute(f"ATTACH '{database(new)}' AS new")
        for table in ("events", "log", "tasks", "flows", "blobs"):
            connection.execute(f"INSERT INTO {table} SELECT * FROM new.{table}")
        columns = ", ".join(row[1] for row in connection.execute("PRAGMA main.table_info(runs)"))
        connection.execute(f"INSERT INTO runs SELECT {columns} FROM new.runs")
        connection.execute(f"PRAGMA application_id = {migrate.APPLICATION}")
        connection.execute("PRAGMA user_version = 1")
    shutil.copytree(new / "blobs", old / "blobs")
    with pytest.raises(HomeVersion, match="schema 1"):
        SqliteStore.open_read_only(old)
    store = open_store(old)
    assert [(row.archived_at, row.held) for row in store.runs(RunQuery())] == [(None, "")] * 4
    store.close()
    assert verify(old, deep=True, flow_of=flow_of).findings == ()
