"""Inputs of a run: everything that does not fit at once, defaults for what is not given."""

from typing import Any

import pytest

from runnotary.core.definition import compile, define
from runnotary.core.errors import InvalidRunInput
from runnotary.core.flow import Flow
from runnotary.core.inputs import complete, from_text

FILE = {"$file": "sha256:" + "a" * 64, "name": "a.csv", "size": 3}
TREE = {"$dir": "sha256:" + "b" * 64, "name": "d", "size": 0}


def flow(**inputs: Any) -> Flow:
    return compile(define({"inputs": inputs, "steps": {"only": {"run": "true"}}}).document)


def problems(inputs: dict[str, Any], **given: Any) -> list[str]:
    with pytest.raises(InvalidRunInput) as caught:
        complete(flow(**inputs), given)
    return list(caught.value.problems)


def test_defaults_complete_what_is_given() -> None:
    declared = flow(n={"type": "integer", "default": 3}, s="string", any={"default": None})
    assert complete(declared, {"s": "x"}) == {"any": None, "n": 3, "s": "x"}
    assert complete(declared, {"s": "", "n": 4}) == {"any": None, "n": 4, "s": ""}
    assert complete(flow(), {}) == {}


@pytest.mark.parametrize(
    ("declared", "good"),
    [
        ("string", ["", "é"]),
        ("integer", [0, -(2**63), 2**63 - 1]),
        ("number", [0, 1.5, -3]),
        ("boolean", [True, False]),
        ("array", [[], [1, "a"]]),
        ("object", [{}, {"a": [1]}]),
        ("file", [FILE]),
        ("directory", [TREE]),
        ("any", [None, 1, "x", FILE]),
        ({"type": "integer", "minimum": 1, "maximum": 2}, [1, 2]),
        ({"type": "string", "pattern": "^a+$"}, ["a", "aaa"]),
        ({"type": "any", "enum": [1, {"b": 1, "a": 2}]}, [1, {"a": 2, "b": 1}]),
        ({"type": "array", "items": {"type": "integer", "minimum": 2}}, [[], [2, 3]]),
        ({"type": "array", "items": {"type": "array", "items": "string"}}, [[["a"], []]]),
    ],
)
def test_what_fits(declared: Any, good: list[Any]) -> None:
    for value in good:
        assert complete(flow(x=declared), {"x": value}) == {"x": value}


@pytest.mark.parametrize(
    ("declared", "value", "message"),
    [
        ("string", 3, "must be text, is an integer 3"),
        ("integer", "3", 'must be an integer, is text "3"'),
        ("integer", True, "must be an integer, is a boolean true"),
        ("integer", 3.0, "must be an integer, is a number 3.0"),
        ("integer", 2**63, "does not fit 64 bits"),
        ("any", [1, {"a": float("nan")}], "not a JSON number"),
        ("any", "\ud800", "surrogate"),
        ("number", "0.5", "must be a number"),
        ("boolean", 1, "must be true or false"),
        ("array", {}, "must be a list, is an object"),
        ("object", [], "must be an object, is a list"),
        ("file", "a.csv", 'must be a file, is text "a.csv"'),
        ("file", {"$file": "x", "name": "a", "size": 1}, "must be {"),
        ("file", FILE | {"more": 1}, "must be {"),
        ("file", FILE | {"size": -1}, "must be {"),
        ("directory", FILE, "must be a directory, is a file"),
        ({"type": "integer", "minimum": 1}, 0, "0 is less than 1"),
        ({"type": "number", "maximum": 1.5}, 2, "2 is more than 1.5"),
        ({"type": "string", "pattern": "^a+$"}, "b", "does not match ^a+$"),
        (
            {"type": "string", "enum": ["red", "green"]},
            "gren",
            'not one of red, green; did you mean "green"?',
        ),
        ({"type": "array", "items": "integer"}, [1, "a"], "inputs.x[1]: must be an integer"),
    ],
)
def test_what_does_not_fit(declared: Any, value: Any, message: str) -> None:
    found = problems({"x": declared}, x=value)
    assert len(found) == 1
    assert found[0].startswith("inputs.x")
    assert message in found[0]


def test_all_problems_at_once() -> None:
    declared = {"orders": "file", "top": "integer", "rate": "number"}
    assert problems(declared, ordrs=1, top="x") == [
        'inputs: no input "ordrs"; did you mean "orders"?',
        "inputs.orders: is required (file) and was not given",
        "inputs.rate: is required (number) and was not given",
        'inputs.top: must be an integer, is text "x"',
    ]
    assert problems({}, x=1) == ['inputs: no input "x"; this flow takes none']


def test_the_default_of_a_file_must_have_become_a_file() -> None:
    assert problems({"f": {"type": "file", "default": "a.csv"}}) == [
        "inputs.f: its default a.csv was not found"
    ]


def test_depth_is_capped() -> None:
    deep: Any = 1
    for _ in range(50_000):
        deep = [deep]
    assert "deeper" in problems({"x": "any"}, x=deep)[0]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("string", "3", "3"),
        ("file", "a.csv", "a.csv"),
        ("integer", "3", 3),
        ("number", "0.1", 0.1),
        ("boolean", "true", True),
        ("array", '["a"]', ["a"]),
        ("object", "{}", {}),
        ("any", "x", "x"),
        ("any", "[1]", [1]),
    ],
)
def test_what_a_person_types(kind: str, text: str, value: Any) -> None:
    assert from_text(flow(x=kind).inputs["x"], text) == value


def test_what_a_person_types_may_be_wrong() -> None:
    with pytest.raises(InvalidRunInput, match=r"inputs.x: 'yes' is not true or false"):
        from_text(flow(x="boolean").inputs["x"], "yes")
