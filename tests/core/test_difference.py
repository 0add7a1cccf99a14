"""What changed between two definitions: every place once, and nothing else."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from runnotary.core.difference import changes, lines, written
from runnotary.core.hashing import canonical

Json = Any
WAS: Json = {
    "inputs": {"n": {"type": "integer", "default": 1}},
    "code": {"a.py": {"blob": "sha256:aa", "size": 1}, "b.py": {"blob": "sha256:bb", "size": 2}},
    "steps": {
        "clean": {"run": "clean", "retry": {"attempts": 2}},
        "old": {"run": "old", "needs": ["clean"]},
    },
}
NOW: Json = {
    "inputs": {"n": {"type": "integer"}},
    "code": {"a.py": {"blob": "sha256:cc", "size": 1}, "c d.py": {"blob": "sha256:dd", "size": 3}},
    "steps": {
        "clean": {"run": "clean --all", "retry": {"attempts": 2}, "timeout": 10},
        "new": {"run": "new"},
    },
    "outputs": {"n": "inputs.n"},
}


def test_every_place_is_named() -> None:
    found = [(one["change"], one["path"], one["was"], one["now"]) for one in changes(WAS, NOW)]
    assert found == [
        ("changed", "code['a.py']", WAS["code"]["a.py"], NOW["code"]["a.py"]),
        ("removed", "code['b.py']", WAS["code"]["b.py"], None),
        ("added", "code['c d.py']", None, NOW["code"]["c d.py"]),
        ("removed", "inputs.n.default", 1, None),
        ("added", "outputs.n", None, "inputs.n"),
        ("changed", "steps.clean.run", "clean", "clean --all"),
        ("added", "steps.clean.timeout", None, 10),
        ("added", "steps.new", None, {"run": "new"}),
        ("removed", "steps.old", WAS["steps"]["old"], None),
    ]


def test_true_is_not_one() -> None:
    assert [one["path"] for one in changes({"a": [1], "b": 1.0}, {"a": [True], "b": 1})] == ["a"]


def test_a_path_is_read_in_one_way() -> None:
    assert written(("steps", "a", "files", "it's.csv")) == "steps.a.files['it\\'s.csv']"
    assert written(("a.b",)) == "['a.b']"


def test_texts_line_by_line() -> None:
    assert lines("a\nb\n", "a\nc\n", "x") == ["--- a/x", "+++ b/x", "@@ -1,2 +1,2 @@", " a", "-b", "+c"]


LEAVES = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.sampled_from("xyz"))
KEYS = st.sampled_from(["steps", "code", "a", "b.c", "'", ""])
DOCUMENTS = st.dictionaries(
    KEYS,
    st.recursive(
        LEAVES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=3)
    ),
    max_size=4,
)


@given(DOCUMENTS, DOCUMENTS)
def test_there_is_a_change_exactly_if_the_hashes_differ(was: Json, now: Json) -> None:
    found = changes(was, now)
    # An empty object of named things, such as no code, is nothing.
    bare = [{key: inner for key, inner in one.items() if inner != {}} for one in (was, now)]
    if canonical(bare[0]) != canonical(bare[1]):
        assert found
    if canonical(was) == canonical(now):
        assert not found
    paths = [one["path"] for one in found]
    assert len(paths) == len(set(paths)), "no place twice"
    back = changes(copy.deepcopy(now), copy.deepcopy(was))
    assert [(one["path"], one["now"], one["was"]) for one in back] == [
        (one["path"], one["was"], one["now"]) for one in found
    ]
