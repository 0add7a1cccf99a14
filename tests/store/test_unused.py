"""Which blobs nothing names any more: directly, through trees, large values and definitions."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator

import pytest

from runnotary.core import chain
from runnotary.core import events as ev
from runnotary.core.hashing import canonical, digest
from runnotary.core.trees import Entry, manifest
from runnotary.ports import Append
from runnotary.store.records import Records
from tests.store.history import ACTOR, BY, START, assert_appended
from tests.store.places import Place

LOOSE = digest(b"loose")


@pytest.fixture
def store(place: Place) -> Iterator[Records]:
    opened = place.open()
    yield opened
    opened.close()


def tell(store: Records, stream: str, *events: ev.Event) -> bytes:
    key = chain.ledger_stream(stream)
    length = store.head(key)[0]
    assert_appended(asyncio.run(store.append([Append(key, length, events, START, ACTOR)])))
    return key


def ended(**said: object) -> ev.TaskEnded:
    return ev.TaskEnded("only", 1, "success", **said)  # type: ignore[arg-type]


def unused(store: Records, digests: set[str], without: Collection[bytes]) -> set[str]:
    return store.unnamed(digests, without).among(digests)


def test_what_an_event_names_is_in_use_unless_its_stream_is_left_aside(store: Records) -> None:
    used = store.blobs.put(b"used")
    stream = tell(store, "a", ended(stdout=ev.Log(used, 4, used)))
    assert unused(store, {used, LOOSE}, ()) == {LOOSE}
    assert unused(store, {used, LOOSE}, {stream}) == {used, LOOSE}
    tell(store, "b", ended(files={"x": ev.File(used, 4, "x")}))
    assert unused(store, {used, LOOSE}, {stream}) == {LOOSE}


def test_files_of_a_tree_are_in_use(store: Records) -> None:
    inside = store.blobs.put(b"inside")
    tree = store.blobs.put(manifest([Entry("a.txt", inside, 6, False)]))
    tell(store, "a", ended(files={"out": ev.File(tree, 6, "out", tree=True)}))
    assert unused(store, {inside, tree, LOOSE}, ()) == {LOOSE}


def test_files_and_trees_in_a_large_value_are_in_use(store: Records) -> None:
    inside, plain = store.blobs.put(b"inside"), store.blobs.put(b"plain")
    tree = store.blobs.put(manifest([Entry("a.txt", inside, 6, False)]))
    value = canonical({"deep": [{"$dir": tree}, {"$file": plain}], "long": "x" * 20_000})
    large = store.blobs.put(value)
    tell(store, "a", ended(values_large=ev.Large(large, len(value))))
    assert unused(store, {inside, plain, tree, large, LOOSE}, ()) == {LOOSE}


def test_the_code_of_a_definition_is_in_use(store: Records) -> None:
    code = store.blobs.put(b"print()")
    text = store.blobs.put(canonical({"code": {"a.py": {"blob": code, "size": 7}}, "steps": {}}))
    tell(store, "a", ev.DefinitionChanged("name", "id", text, BY))
    assert unused(store, {code, text, LOOSE}, ()) == {LOOSE}


def test_many_events_are_read_in_pieces(store: Records) -> None:
    used = [store.blobs.put(b"%d" % number) for number in range(3)]
    notes = [ended() for _ in range(3000)]
    for number, blob in enumerate(used):
        tell(store, f"s{number}", *notes, ended(stdout=ev.Log(blob, 1, blob)))
    assert unused(store, {*used, LOOSE}, ()) == {LOOSE}


def test_a_blob_that_is_gone_names_nothing_and_stops_nobody(store: Records) -> None:
    tell(store, "a", ended(values_large=ev.Large(digest(b"gone"), 4)), ended(stdout=ev.Log(LOOSE, 4, LOOSE)))
    assert unused(store, {LOOSE}, ()) == set()


def test_what_came_since_is_read_on_with_all_that_it_names(store: Records) -> None:
    plain, inside, code = (store.blobs.put(data) for data in (b"plain", b"inside", b"print()"))
    tree = store.blobs.put(manifest([Entry("a.txt", inside, 6, False)]))
    text = store.blobs.put(canonical({"code": {"a.py": {"blob": code, "size": 7}}, "steps": {}}))
    stream = tell(store, "a", ended(stdout=ev.Log(plain, 5, plain)))
    every = {plain, inside, code, tree, text, LOOSE}
    unnamed = store.unnamed(every, {stream})
    assert unnamed.among(every) == every
    tell(store, "b", ended(files={"out": ev.File(tree, 6, "out", tree=True)}), ended())
    assert unnamed.among(every) == every - {tree, inside}
    tell(store, "a", ev.DefinitionChanged("name", "id", text, BY))
    assert unnamed.among(every) == {plain, LOOSE}
    assert unnamed.among({plain, tree}) == {plain}


def test_a_tree_that_came_back_is_looked_into(store: Records) -> None:
    """It was not here when an event named it; then it is put again and named again."""
    inside = store.blobs.put(b"inside")
    listed = manifest([Entry("a.txt", inside, 6, False)])
    unnamed = store.unnamed({inside}, ())
    tell(store, "a", ended(files={"out": ev.File(digest(listed), 6, "out", tree=True)}))
    assert unnamed.among({inside}) == {inside}
    tree = store.blobs.put(listed)
    tell(store, "a", ended(files={"out": ev.File(tree, 6, "out", tree=True)}))
    assert unnamed.among({inside}) == set()
