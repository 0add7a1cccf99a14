"""Which blobs nothing names any more: directly, through trees, large values and definitions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from runnotary.core import chain
from runnotary.core import events as ev
from runnotary.core.hashing import canonical, digest
from runnotary.core.trees import Entry, manifest
from runnotary.ports import Append
from runnotary.store.log import SqliteStore
from tests.store.history import ACTOR, BY, START, assert_appended, open_store

LOOSE = digest(b"loose")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = open_store(tmp_path)
    yield opened
    opened.close()


def tell(store: SqliteStore, stream: str, *events: ev.Event) -> bytes:
    key = chain.ledger_stream(stream)
    length = store.head(key)[0]
    assert_appended(asyncio.run(store.append([Append(key, length, events, START, ACTOR)])))
    return key


def ended(**said: object) -> ev.TaskEnded:
    return ev.TaskEnded("only", 1, "success", **said)  # type: ignore[arg-type]


def test_what_an_event_names_is_in_use_unless_its_stream_is_left_aside(store: SqliteStore) -> None:
    used = store.blobs.put(b"used")
    stream = tell(store, "a", ended(stdout=ev.Log(used, 4, used)))
    assert store.unused({used, LOOSE}, ()) == {LOOSE}
    assert store.unused({used, LOOSE}, {stream}) == {used, LOOSE}
    tell(store, "b", ended(files={"x": ev.File(used, 4, "x")}))
    assert store.unused({used, LOOSE}, {stream}) == {LOOSE}


def test_files_of_a_tree_are_in_use(store: SqliteStore) -> None:
    inside = store.blobs.put(b"inside")
    tree = store.blobs.put(manifest([Entry("a.txt", inside, 6, False)]))
    tell(store, "a", ended(files={"out": ev.File(tree, 6, "out", tree=True)}))
    assert store.unused({inside, tree, LOOSE}, ()) == {LOOSE}


def test_files_and_trees_in_a_large_value_are_in_use(store: SqliteStore) -> None:
    inside, plain = store.blobs.put(b"inside"), store.blobs.put(b"plain")
    tree = store.blobs.put(manifest([Entry("a.txt", inside, 6, False)]))
    value = canonical({"deep": [{"$dir": tree}, {"$file": plain}], "long": "x" * 20_000})
    large = store.blobs.put(value)
    tell(store, "a", ended(values_large=ev.Large(large, len(value))))
    assert store.unused({inside, plain, tree, large, LOOSE}, ()) == {LOOSE}


def test_the_code_of_a_definition_is_in_use(store: SqliteStore) -> None:
    code = store.blobs.put(b"print()")
    text = store.blobs.put(canonical({"code": {"a.py": {"blob": code, "size": 7}}, "steps": {}}))
    tell(store, "a", ev.DefinitionChanged("name", "id", text, BY))
    assert store.unused({code, text, LOOSE}, ()) == {LOOSE}


def test_many_events_are_read_in_pieces(store: SqliteStore) -> None:
    used = [store.blobs.put(b"%d" % number) for number in range(3)]
    notes = [ended() for _ in range(3000)]
    for number, blob in enumerate(used):
        tell(store, f"s{number}", *notes, ended(stdout=ev.Log(blob, 1, blob)))
    assert store.unused({*used, LOOSE}, ()) == {LOOSE}


def test_a_blob_that_is_gone_names_nothing_and_stops_nobody(store: SqliteStore) -> None:
    tell(store, "a", ended(values_large=ev.Large(digest(b"gone"), 4)), ended(stdout=ev.Log(LOOSE, 4, LOOSE)))
    assert store.unused({LOOSE}, ()) == set()
