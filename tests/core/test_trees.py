"""A directory by its content."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runnotary.core.hashing import digest
from runnotary.core.trees import BadManifest, BadPath, Entry, entries, manifest, parts

BLOB = digest(b"x")


def entry(path: str) -> Entry:
    return Entry(path, BLOB, 1, False)


def test_the_bytes_are_fixed() -> None:
    assert manifest([entry("b"), Entry("a/ä", BLOB, 2, True)]).decode() == (
        f'[{{"blob":"{BLOB}","path":"a/ä","size":2,"x":true}},{{"blob":"{BLOB}","path":"b","size":1,"x":false}}]'
    )


@given(st.permutations(["a", "b/c", "b/d", "e"]))
def test_order_does_not_matter(paths: list[str]) -> None:
    assert manifest(map(entry, paths)) == manifest(map(entry, sorted(paths)))
    assert [one.path for one in entries(manifest(map(entry, paths)))] == sorted(paths)


@pytest.mark.parametrize(
    "path", ["", "/", "/a", "a/", "a//b", ".", "a/.", "..", "a/../b", "a\0", "\ud800", "x" * 5000]
)
def test_paths_that_lead_elsewhere(path: str) -> None:
    with pytest.raises(BadPath):
        parts(path)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{}",
        b'[{"path": "a"}]',
        manifest([entry("../a")]),
        manifest([entry("a"), entry("a")]),
        manifest([Entry("a", "sha256:x", 1, False)]),
        b"[" + manifest([entry("b")])[1:-1] + b"," + manifest([entry("a")])[1:-1] + b"]",
    ],
)
def test_what_is_no_manifest(data: bytes) -> None:
    with pytest.raises(BadManifest):
        entries(data)
