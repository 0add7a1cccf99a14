"""The database of a PostgreSQL store: how it is opened and refused, what it says then, its schema."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import psycopg
import pytest

from runnotary.core.errors import (
    FileMissing,
    HomeVersion,
    InvalidInput,
    RolledBack,
    RunnotaryError,
    Unreachable,
)
from runnotary.core.queries import RunQuery
from runnotary.core.rows import RunRow, TaskRow
from runnotary.core.states import OPEN, State
from runnotary.store.connection import transaction
from runnotary.store.postgresql.connections import COPIED_FROM, POSTGRESQL, PostgresConnection, said_of
from runnotary.store.postgresql.store import PostgresStore
from runnotary.store.verify import verify
from tests.postgres import PASSWORD, USER, Postgres
from tests.store.history import (
    START,
    Tale,
    Ticks,
    append,
    codes,
    fill_small,
    flow_of,
    note,
    run_id,
    tell_small,
)
from tests.store.load import check_words
from tests.store.places import PostgresPlace


@pytest.fixture
def place(postgres: Postgres, tmp_path: Path) -> PostgresPlace:
    return PostgresPlace(postgres.fresh(), tmp_path / "home", postgres)


def refused(place: PostgresPlace, url: str) -> list[RunnotaryError]:
    """Return what everybody who opens an address is told."""
    other = PostgresPlace(url, place.home, place.postgres)
    told = []
    for use in (other.open, other.read, lambda: verify(other.record)):
        with pytest.raises(RunnotaryError) as found:
            use()
        told.append(found.value)
    return told


# --- opening -----------------------------------------------------------------------------------------


def test_a_text_with_a_nul_is_in_no_row(place: PostgresPlace) -> None:
    store = place.open()
    asyncio.run(tell_small(store))
    assert store.count(RunQuery()) > 0
    texts = ("label", "parent", "q", "prefix")
    for word in (*texts, "namespace", "flow", "kind", "tag", "created_by", "owner", "asset"):
        for many in ((), ("other",)):
            query = RunQuery(**{word: "a\0" if word in texts else ("a\0", *many)})  # type: ignore[arg-type]
            assert (store.runs(query), store.count(query)) == ([], 0), word
    assert store.keyed("user:a", "\0") is None and store.flow("default", "\0") is None
    store.close()


def test_who_asks_a_store_that_is_closed_is_refused_and_connects_no_more(place: PostgresPlace) -> None:
    store = place.open()
    assert store.feed(0)
    store.close()
    with pytest.raises(Unreachable, match="closed"):
        store.feed(0)


def test_many_servers_begin_on_an_empty_database_at_once(place: PostgresPlace) -> None:
    with ThreadPoolExecutor(6) as threads:
        stores = list(threads.map(place.open, "abcdef"))
    for number, store in enumerate(stores):
        assert codes(append(store, note(f"n{number}"))) == ["ok"]
    assert len({store.home_salt() for store in stores}) == 1
    for store in stores:
        store.close()
    check_words(place, set())


def test_a_closed_record_opens_again_where_it_was(place: PostgresPlace) -> None:
    store = place.open()
    append(store, note("x"))
    position, salt = store.position(), store.home_salt()
    store.close()
    store = place.open("another")
    assert (store.position() >= position, store.home_salt()) == (True, salt)
    assert codes(append(store, note("x"))) == ["conflict"]
    assert codes(append(store, note("x", 1))) == ["ok"]
    store.close()


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("CREATE TABLE theirs (id integer)", "another program"),
        ("CREATE TABLE events (id integer)", "another program"),
        ("CREATE TABLE release (version bigint); INSERT INTO release VALUES (99)", "this release knows"),
    ],
)
def test_a_database_of_others_is_left_alone(place: PostgresPlace, statement: str, said: str) -> None:
    with place.connection() as connection:
        connection.execute(statement.encode())
    tables = place.tell("SELECT count(*) FROM pg_class WHERE relnamespace = current_schema()::regnamespace")
    for error in refused(place, place.url):
        assert isinstance(error, HomeVersion) and said in str(error)
    assert tables == place.tell(
        "SELECT count(*) FROM pg_class WHERE relnamespace = current_schema()::regnamespace"
    )


def test_an_empty_database_is_no_record_and_its_loss_is_seen(place: PostgresPlace) -> None:
    with pytest.raises(FileMissing):
        place.read()
    fill_small(place.open())
    with place.connection() as connection:
        connection.execute(f"DROP SCHEMA {place.schema} CASCADE; CREATE SCHEMA {place.schema}".encode())
    assert all(isinstance(error, RolledBack) for error in refused(place, place.url))


def test_an_older_copy_of_the_database_is_seen(place: PostgresPlace) -> None:
    fill_small(place.open())
    place.tell("DELETE FROM log WHERE pos = (SELECT max(pos) FROM log)")
    place.tell("DELETE FROM checkpoints")
    for use in (place.open, place.read):
        with pytest.raises(RolledBack):
            use()


# --- addresses and passwords -------------------------------------------------------------------------

SECRETS = ("s3cr3t", "%zzs3cr3t", *(f"s3cr3t{sign}home" for sign in "@/: [#"))


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "address",
    [
        "postgresql://{user}:{secret}@127.0.0.1:{port}/postgres",
        "postgresql://{user}:{secret}@127.0.0.1:1/postgres",
        "postgresql://{user}:{secret}@no.such.host.invalid/postgres",
        "postgresql://{user}:{secret}@127.0.0.1:{port}/nothing",
        "postgresql://{user}:{secret}@127.0.0.1:{port}:5/nothing",
        "postgresql://{user}:{secret}@[127.0.0.1/nothing",
        "postgresql://{user}@127.0.0.1:{port}/postgres?password={secret}",
        "postgresql://{user}@127.0.0.1:{port}/postgres?password={secret}&colour=blue",
    ],
)
def test_no_password_is_in_what_is_said(place: PostgresPlace, address: str, secret: str) -> None:
    url = address.format(user=USER, secret=secret, port=place.postgres.port)
    for error in refused(place, url):
        assert isinstance(error, Unreachable | InvalidInput)
        assert "s3cr3t" not in f"{error} {error.hint} {error!r}" and "home" not in str(error)
        assert error.__cause__ is None and error.__suppress_context__


def test_an_error_says_what_is_wrong(place: PostgresPlace) -> None:
    server = place.postgres
    for url, said in (
        (server.url("x", password="wrong"), f'password authentication failed for user "{USER}"'),
        (server.url("x", port=1), "refused"),
        (server.url("x").replace("/postgres?", "/nothing?"), 'database "nothing" does not exist'),
        ("mysql://somewhere", "database_url"),
    ):
        for error in refused(place, url):
            assert said in str(error) and error.hint


def test_a_password_is_found_wherever_it_stands() -> None:
    for url in (f"postgresql://u:{PASSWORD}@h/d", f"postgresql://h/d?password={PASSWORD}"):
        said = said_of(ValueError(f"could not use {url}\nat all"), url)
        assert "correct" not in said and said.startswith("could not use") and said.endswith("at all")


# --- the schema --------------------------------------------------------------------------------------


@pytest.fixture
def connection(place: PostgresPlace) -> Iterator[PostgresConnection]:
    place.open().close()
    opened = PostgresConnection(place.url)
    yield opened
    opened.close()


def test_a_migrated_schema_is_the_fresh_one(connection: PostgresConnection, postgres: Postgres) -> None:
    migrated = PostgresConnection(postgres.fresh())
    for step in POSTGRESQL.migrations():
        migrated.raw.execute(step.encode(), prepare=False)
    there = sorted(map(repr, connection.ask("structure").fetchall()))
    assert len(there) > 100
    assert sorted(map(repr, migrated.ask("structure").fetchall())) == there
    migrated.close()


def test_every_named_statement_is_one_that_the_database_understands(connection: PostgresConnection) -> None:
    connection.ask("begin")
    for name, sql in POSTGRESQL.sql.items():
        words = sql.replace(":runs", "SELECT id FROM runs")
        words += " GROUP BY definition" * (name == "tally_runs")
        parts = words.split("?")
        numbered = "".join(f"{part}${number}" for number, part in enumerate(parts[:-1], 1)) + parts[-1]
        if not sql.startswith(("BEGIN", "COMMIT", "ROLLBACK")):
            connection.raw.execute(f"PREPARE try_{name} AS {numbered}".encode(), prepare=False)


@pytest.mark.parametrize("number", [1, COPIED_FROM - 1, COPIED_FROM])
def test_however_many_rows_are_written_at_once_they_read_the_same(
    connection: PostgresConnection, number: int
) -> None:
    connection.act_as(1)
    ended: list[None] = [None] * 4
    first = [
        TaskRow(run_id(n), "é'\\", "a", None, "pending", "", "", n, *ended, 7, "") for n in range(number)
    ]
    again = [msgspec.structs.replace(row, visit=n, signal=9) for n, row in enumerate(first)]
    leaves = [(b"\x00\\" + run_id(n), 1, bytes(32)) for n in range(number)]
    for rows in (first, again):
        with transaction(connection):
            connection.ask_many("put_task", [msgspec.structs.astuple(row) for row in reversed(rows)])
        assert [TaskRow(*row) for row in connection.ask("all_tasks")] == sorted(rows, key=lambda row: row.run)
    last = connection.ask("last_pos").fetchone()[0]
    with transaction(connection):
        logged = [(pos, stream, 1, seq, head) for pos, (stream, seq, head) in enumerate(leaves, last + 1)]
        connection.ask_many("append_log", logged)
    assert connection.ask("all_leaves").fetchall()[last:] == leaves


@pytest.mark.parametrize("table", ["runs", "tasks"])
def test_the_tables_know_the_states(connection: PostgresConnection, table: str) -> None:
    row: RunRow | TaskRow = Tale(1, Ticks()).turn(Tale(1, Ticks()).created()).rows[0]  # type: ignore[assignment]
    if table == "tasks":
        row = TaskRow(run_id(1), "a", "a", None, "", "", "", 0, None, None, None, None, None, "")
    for state in (*State, "unheard-of"):
        for over in (False, True):
            tried = msgspec.structs.replace(row, status=str(state), ended_at=START if over else None)
            values = [msgspec.structs.astuple(tried)]
            if state in list(State) and over == (State(state) not in OPEN):
                connection.ask_many(f"put_{table[:-1]}", values)
            else:
                with pytest.raises(psycopg.errors.CheckViolation):
                    connection.ask_many(f"put_{table[:-1]}", values)


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("DROP INDEX runs_open", "index runs_open"),
        ("CREATE TABLE mine (x integer)", "column mine.x"),
        ("ALTER TABLE events DROP CONSTRAINT events_seq_check", "events"),
        ("ALTER TABLE runs ADD COLUMN more text", "column runs.more"),
        (
            "CREATE OR REPLACE FUNCTION be_held(held bigint) RETURNS void LANGUAGE sql AS 'SELECT'",
            "function be_held",
        ),
        (
            "CREATE FUNCTION eat() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
            "CREATE TRIGGER eaten BEFORE INSERT ON events EXECUTE FUNCTION eat()",
            "trigger eaten",
        ),
        ("CREATE VIEW theirs AS SELECT 1 AS one", "theirs"),
        ("CREATE RULE lost AS ON INSERT TO events DO INSTEAD NOTHING", "lost"),
    ],
)
def test_a_schema_that_was_changed_is_found(place: PostgresPlace, statement: str, what: str) -> None:
    fill_small(place.open())
    assert verify(place.record, deep=True, flow_of=flow_of).ok
    with place.connection() as connection:
        connection.execute(statement.encode())
    found = verify(place.record, flow_of=flow_of).findings
    assert any(finding.code == "schema" and what in finding.where for finding in found), found


def test_whoever_reads_cannot_write(place: PostgresPlace) -> None:
    fill_small(place.open())
    reader = PostgresStore.open_read_only(place.url, place.home)
    with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        reader._reader().run("DELETE FROM events")
    reader.close()
