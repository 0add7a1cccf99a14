"""What a step writes to $RUNNOTARY_OUTPUT."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runnotary.core.values import BadValues, parse, read

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abcxyz", max_size=3), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.text("abc_", min_size=1), JSON))
def test_any_object_comes_back_as_it_was_written(values: dict[str, object]) -> None:
    assert parse(json.dumps(values).encode(), {}) == values


def test_lines() -> None:
    text = b"a=1\r\n\n b = x=y\nc=true\n"
    assert parse(text, {}) == {"a": "1", "b": " x=y", "c": "true"}
    assert parse(text, {"a": "integer", "b": "string", "c": "boolean"}) == {"a": 1, "b": " x=y", "c": True}


@pytest.mark.parametrize(
    ("wanted", "good", "bad"),
    [
        ("string", '"x"', "1"),
        ("integer", "1", "true"),
        ("integer", "-9223372036854775808", "1.0"),
        ("number", "1.5", "false"),
        ("number", "1", '"1"'),
        ("boolean", "true", "1"),
        ("array", "[]", "{}"),
        ("object", "{}", "[]"),
        ("integer", "0", "null"),
    ],
)
def test_types(wanted: str, good: str, bad: str) -> None:
    assert parse(f'{{"v": {good}}}'.encode(), {"v": wanted}) == {"v": json.loads(good)}
    with pytest.raises(BadValues, match=f"values.v: {wanted} expected, got"):
        parse(f'{{"v": {bad}}}'.encode(), {"v": wanted})


REFUSED = {
    '{"a": NaN}': "NaN is not JSON",
    '{"a": -Infinity}': "is not JSON",
    '{"a": 1e999}': "too large",
    '{"a": 9223372036854775808}': "64 bits",
    '{"a": ' + "9" * 10_000 + "}": "64 bits",
    '{"a": 1, "a": 2}': "occurs twice",
    '{"a": {"$file": 1}}': "reserved",
    '{"a": [{"$dir": 1}]}': "reserved",
    '{"a": "\\ud800"}': "surrogate",
    '{"a": ' + "[" * 70 + "]" * 70 + "}": "deeper",
    '{"a": ' + "[" * 100_000 + "]" * 100_000 + "}": "nested too deeply",
    '{"a": 1': "not a JSON object",
    '{"a": 1} x': "not a JSON object",
    "[1]": "name=value expected",
    "1a=2": "name=value expected",
    "a=1\na=2": "written twice",
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:20])
def test_refused(text: str) -> None:
    with pytest.raises(BadValues, match=REFUSED[text]):
        parse(text.encode(), {})


def test_every_problem_is_named_and_the_rest_is_read() -> None:
    declared = {"rows": "integer", "name": "string", "share": "number"}
    values, problems = read(b"rows=x\nnam=y\nshare=0.5\n", declared)
    assert values == {"share": 0.5}
    assert problems == [
        "values.rows: integer expected, got x (Expecting value at line 1, column 1)",
        "values.nam: not declared; did you mean name?",
        "values.name: string expected, nothing was written",
    ]


@given(st.binary(max_size=60))
def test_no_bytes_break_it(data: bytes) -> None:
    read(data, {"a": "integer"})
