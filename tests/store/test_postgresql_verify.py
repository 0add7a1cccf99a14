"""Verification of a record in PostgreSQL: a changed value, a missing row, whichever table it is in."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from runnotary.store.verify import verify
from tests.postgres import Postgres
from tests.store.history import fill_small, flow_of
from tests.store.places import PostgresPlace

TABLES = ("events", "log", "runs", "tasks", "flows", "blobs", "checkpoints", "uses")
KEPT = {"server"}
"""Columns that are no evidence: which server works on a run now."""


@pytest.fixture(scope="module")
def place(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> PostgresPlace:
    made = PostgresPlace(postgres.fresh(), tmp_path_factory.mktemp("tampered") / "home", postgres)
    fill_small(made.open())
    return made


def whole(place: PostgresPlace) -> bool:
    return verify(place.record, deep=True, flow_of=flow_of).ok


def changed(value: Any, number: int) -> Any:
    """Return another value of the same type and length."""
    if value is None:
        return number
    if isinstance(value, int):
        return value ^ (1 << number % 20)
    raw = bytearray(value.encode() if isinstance(value, str) else value) or bytearray(b"x")
    raw[number % len(raw)] ^= 1
    return raw.decode(errors="replace") if isinstance(value, str) else bytes(raw)


@pytest.mark.parametrize("table", TABLES)
def test_a_changed_value_in_any_column_is_found(place: PostgresPlace, table: str) -> None:
    tried = 0
    with place.connection() as connection:
        for number, column in enumerate(place.columns(table)):
            if column in KEPT:
                continue
            ctid, value = connection.execute(
                f"SELECT ctid::text, {column} FROM {table} ORDER BY ctid DESC LIMIT 1".encode()
            ).fetchone()  # type: ignore[misc]
            put = f"UPDATE {table} SET {column} = %s WHERE ctid = %s::tid RETURNING ctid::text".encode()
            try:
                row = connection.execute(put, (changed(value, number), ctid)).fetchone()
            except psycopg.Error:
                continue  # a constraint or a type stands in the way
            assert row is not None
            assert not whole(place), (column, value)
            connection.execute(put, (value, row[0]))
            tried += 1
    assert tried >= 2 and whole(place)


@pytest.mark.parametrize("table", TABLES)
def test_a_missing_row_of_any_table_is_found(place: PostgresPlace, table: str) -> None:
    with place.connection() as connection:
        connection.execute(f"CREATE TEMP TABLE kept AS SELECT * FROM {table} LIMIT 1".encode())
        connection.execute(
            f"DELETE FROM {table} WHERE {table} = (SELECT kept::text::{table} FROM kept)".encode()
        )
        assert not whole(place)
        connection.execute(f"INSERT INTO {table} SELECT * FROM kept".encode())
    assert whole(place)
