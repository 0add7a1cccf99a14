"""Expressions: plain paths, CEL, templates, conditions; and that nothing a person can write breaks us."""

import subprocess
import sys
import textwrap
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runnotary.core import cel
from runnotary.core.expressions import Language, read_path
from runnotary.core.references import Compiled, EvaluationError, InvalidExpression

FILE = {"$file": "sha256:" + "a" * 64, "name": "clean.csv", "size": 3}
SCOPE: dict[str, Any] = {
    "inputs": {"top": 5, "rate": 2, "name": "é", "orders": FILE, "words": ["a", "b"]},
    "steps": {
        "clean": {
            "status": "success",
            "values": {"rows": 4, "regions": ["EU", "US"]},
            "files": {"clean.csv": FILE},
            "exit_code": 0,
        }
    },
    "each": {"value": {"k": 1}, "index": 2},
    "run": {"id": "01", "status": "success"},
    "status": {"failed": True, "cancelled": False, "skipped": False},
}
LANGUAGE = Language(
    {"top": "integer", "rate": "number", "name": "string", "orders": "file", "words": "array"}
)


def bare(text: Any) -> Compiled:
    return LANGUAGE.bare(text)


def value(data: Any) -> Any:
    return LANGUAGE.value(data).evaluate(SCOPE)


def faults(compile_: Any, text: str) -> list[tuple[int, str]]:
    with pytest.raises(InvalidExpression) as caught:
        compile_(text)
    return [tuple(fault) for fault in caught.value.faults]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("inputs.top", ("inputs", "top")),
        ("steps.a.files['x.csv']", ("steps", "a", "files", "x.csv")),
        ('steps.a.files["it\'s"]', ("steps", "a", "files", "it's")),
        ("steps.a.values.l[3].b", ("steps", "a", "values", "l", 3, "b")),
        ("steps.a.files['']", ("steps", "a", "files", "")),
        ("inputs.a + 1", None),
        ("inputs.a.size()", None),
        ("inputs.", None),
        ("inputs.a['\\x']", None),
        ("inputs.é", None),
    ],
)
def test_plain_paths(text: str, parts: tuple[object, ...] | None) -> None:
    assert read_path(text) == parts


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("inputs.top", 5),
        ("steps.clean.files['clean.csv']", FILE),
        ("steps.clean.files['clean.csv'].name", "clean.csv"),
        ("steps.clean.values.regions[1]", "US"),
        ("each.value", {"k": 1}),
        ("run.id", "01"),
        ("true", True),
        ("null", None),
        ("-12", -12),
    ],
)
def test_what_is_plain_needs_no_cel(text: str, expected: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cel, "program", lambda *_: pytest.fail("CEL was asked"))
    assert bare(text).evaluate(SCOPE) == expected
    assert value(f"${{{{ {text} }}}}") == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("inputs.top * 2", 10),
        ("inputs.rate * 2.5", 5.0),
        ("inputs['top'] + inputs.top", 10),
        ("'even'", "even"),
        ("size(inputs.name)", 1),
        ("steps.clean.values.rows > 3 ? 'many' : 'few'", "many"),
        ("steps.clean.files['clean.csv'].size + 1", 4),
        ("steps['clean'].values.rows", 4),
        ("inputs.words.map(w, w + '!')", ["a!", "b!"]),
        ("has(steps.clean.values.rows)", True),
        ("{'b': 1, 'a': [2u, null]}", {"a": [2, None], "b": 1}),
        ("each.index + each.value.k", 3),
        ("run.status == 'success' && inputs.words.exists(w, w == 'b')", True),
    ],
)
def test_cel(text: str, expected: object) -> None:
    assert bare(text).evaluate(SCOPE) == expected
    assert bare(f"  ${{{{ {text} }}}} ").evaluate(SCOPE) == expected


def test_keys_of_a_result_are_in_order() -> None:
    assert list(bare("{'c': 1, 'a': 2, 'b': 3}").evaluate(SCOPE)) == ["a", "b", "c"]


def test_steps_are_those_the_compiler_does_not_know() -> None:
    compiled = bare("steps.a.values.x + steps['b c'].y + [1].map(steps, steps)[0] + 'steps.c'.size()")
    assert compiled.steps == {"a", "b c"}
    wide = bare("[" + ", ".join(f"steps.s{index}.values.x" for index in range(90)) + "]")
    assert wide.steps == {f"s{index}" for index in range(90)}


def test_references_tell_where_they_stand() -> None:
    compiled = LANGUAGE.value("a ${{ inputs.top }} b ${{ 1 + steps.clean.files['x'].size }}")
    assert [tuple(reference) for reference in compiled.references] == [
        (("inputs", "top"), 6),
        (("steps", "clean", "files", "x"), 30),
    ]


# --- templates -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        ("plain", "plain"),
        (7, 7),
        ("${{ inputs.top }}", 5),
        ("  ${{inputs.top}}\n", 5),
        ("n=${{ inputs.top }}", "n=5"),
        ("${{ inputs.name }}-${{ steps.clean.values }}", 'é-{"rows":4,"regions":["EU","US"]}'),
        ("${{ '}}' }}", "}}"),
        ("a${{ '}}' }}b", "a}}b"),
        ("${{ {'a': {'b': 1}}}}", {"a": {"b": 1}}),
        ("$ {{ }} ${", "$ {{ }} ${"),
        ({"a": ["${{ inputs.orders }}", 1], "b": {"c": "x"}}, {"a": [FILE, 1], "b": {"c": "x"}}),
    ],
)
def test_values_with_expressions_in_them(data: object, expected: object) -> None:
    assert value(data) == expected


@pytest.mark.parametrize("text", ["x ${{ inputs.orders }}", "x ${{ [steps.clean.files] }}"])
def test_a_file_cannot_stand_inside_text(text: str) -> None:
    with pytest.raises(EvaluationError, match="a file cannot stand inside text"):
        value(text)


def test_an_open_expression_is_found_at_once_however_often_it_stands_there() -> None:
    assert faults(LANGUAGE.value, "ok ${{ inputs.top }} " + "${{ " * 50_000) == [(21, "${{ without its }}")]


# --- conditions and pauses -----------------------------------------------------------------------


@pytest.mark.parametrize("failed", [False, True])
@pytest.mark.parametrize("cancelled", [False, True])
@pytest.mark.parametrize("skipped", [False, True])
def test_status_functions(failed: bool, cancelled: bool, skipped: bool) -> None:
    scope = SCOPE | {"status": {"failed": failed, "cancelled": cancelled, "skipped": skipped}}
    expected = {
        "always()": True,
        "failure()": failed,
        "!failure()": not failed,
        "cancelled()": cancelled,
        "success()": not (failed or cancelled or skipped),
    }
    for text, answer in expected.items():
        assert LANGUAGE.condition(text).evaluate(scope) is answer
        within = LANGUAGE.condition(f"({text}) && inputs.top == 5")
        assert within.asks_status
        assert within.evaluate(scope) is answer


def test_conditions_are_true_or_false() -> None:
    assert LANGUAGE.condition(True).evaluate(SCOPE) is True
    assert not LANGUAGE.condition("inputs.top > 3").asks_status
    with pytest.raises(EvaluationError, match=r"inputs.top: is an integer, a condition must be"):
        LANGUAGE.condition("inputs.top").evaluate(SCOPE)


def test_a_pause_is_given_in_seconds() -> None:
    assert LANGUAGE.pause("inputs.top").evaluate(SCOPE) == 5000
    assert LANGUAGE.pause("0.25").evaluate(SCOPE) == 250
    for text in ("-1", "1e300", "inputs.name", "true"):
        with pytest.raises(EvaluationError):
            LANGUAGE.pause(text).evaluate(SCOPE)


# --- what is wrong -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "offset", "message"),
    [
        ("", 0, "the expression is empty"),
        ("hello", 0, 'nothing is called "hello"'),
        ("size(foo.bar)", 5, 'nothing is called "foo.bar"'),
        ("1 + nope(2)", 4, 'there is no function "nope"'),
        ("inputs.top +", 12, "ends too early"),
        ("inputs.rate * 2", 12, "write 2.0 for 2"),
        ("1 +\n 'é' +\n zz", 12, 'nothing is called "zz"'),
        ("failure()", 0, "may stand in the `if` of a step only"),
        ("'x' + secrets.KEY", 6, "secrets may stand in `env` only"),
        ("(" * 10_000, 0, "nested deeper"),
        ("1" + "+1" * 10_000, 0, "longer than"),
    ],
)
def test_faults_are_found_when_compiled(text: str, offset: int, message: str) -> None:
    found = faults(bare, text)
    assert any(at == offset and message in said for at, said in found), found
    moved = faults(LANGUAGE.value, f"ab ${{{{ {text} }}}}")
    assert any(message in said for _, said in moved)


def test_all_faults_of_a_text() -> None:
    assert [at for at, _ in faults(LANGUAGE.value, "${{ a + 1 }} ${{ inputs.top }} ${{ b + 1 }}")] == [4, 35]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 / 0", "divide by zero"),
        ("steps.clean.values.nope", "there is no"),
        ("steps.clean.values.nope + 1", "nope"),
        ("steps.other.values.x", "there is no"),
        ("[1][5]", "Index"),
        ("9223372036854775807 + 1", "overflow"),
        ("18446744073709551615u", "64 bits"),
        ("1.0 / 0.0", "JSON"),
        ("0.0 / 0.0", "JSON"),
        ("b'x'", "bytes"),
        ("timestamp('2020-01-01T00:00:00Z')", "a time"),
        ("duration('1h')", "a duration"),
        ("int", "a type"),
        ("{1: 2}", "keys"),
        ("[{'a': b'x'}]", "bytes"),
        ("inputs.words.map(a, inputs.words.map(b, [1,2,3,4,5,6,7,8,9,0].map(c, [1,2,3].map(d, "
         "[1,2,3,4,5,6,7,8,9,0].map(e, [1,2,3,4,5,6,7,8,9,0].map(f, f))))))", "budget"),
    ],
)  # fmt: skip
def test_what_only_values_can_tell_is_an_evaluation_error(text: str, message: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        bare(text).evaluate(SCOPE)
    assert message in str(caught.value)
    assert text[:20] in str(caught.value)


def nested(depth: int) -> Any:
    data: Any = 1
    for _ in range(depth):
        data = {"a": data}
    return data


@pytest.mark.parametrize(
    "data", [2**63, 2**64, -(2**64), b"x", (1,), object(), "\ud800", "a\0b", {"a\0": 1}, nested(500)]
)
def test_what_is_no_json_does_not_go_in(data: object) -> None:
    scope = SCOPE | {"each": {"value": data, "index": 0}}
    with pytest.raises(EvaluationError):
        bare("[each.value]").evaluate(scope)


# --- hostile -------------------------------------------------------------------------------------

DEEP = 10_000
HOSTILE = [
    "(" * DEEP,
    "(" * DEEP + "1" + ")" * DEEP,
    "[" * DEEP,
    "{1:" * DEEP,
    "!" * DEEP + "true",
    "-" * DEEP + "1",
    "inputs" + ".a" * DEEP,
    "inputs.a" + "[0]" * (DEEP // 2),
    "true?1:" * 2000 + "1",
    "size(" * 2000,
    "[1].map(x," * 1000 + "1" + ")" * 1000,
    "has(" * 2000,
    "1" + " in [1]" * 2000,
    "true" + " && true" * 1500,
    "[" + "1," * 7000 + "1]",
    "'" + "a" * 16_000 + "'",
    "'" + "a" * 16_000,
    "é" * 16_000,
    "\U0001f600" * 16_000,
    "'a'.matches('" + "(a*)*" * 2000 + "b')",
    "'a'.matches('((a{100}){100}){100}')",
    "\x00" * 100,
    "'\\ud800'",
    "\ud800",
    "`" * 100,
    "google.protobuf.Any{}",
    "cel.bind(x, 1, x)",
]


def check(text: str) -> None:
    """Compile and evaluate in every way there is; only our two errors may come out."""
    for compile_ in (LANGUAGE.bare, LANGUAGE.condition, LANGUAGE.value, LANGUAGE.pause):
        for shape in (text, f"${{{{ {text} }}}}", f"a ${{{{ {text} }}}} b"):
            try:
                compile_(shape).evaluate(SCOPE)
            except (InvalidExpression, EvaluationError) as wrong:
                assert str(wrong)


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_texts_end_in_an_error_or_a_value(text: str) -> None:
    check(text)


def test_hostile_values_do_not_end_the_process() -> None:
    script = """
        from runnotary.core.expressions import Language
        data = 1
        for _ in range(200_000):
            data = {"a": data}
        try:
            Language({}).bare("inputs.x.a.a == 1").evaluate({"inputs": {"x": data}})
        except ValueError as wrong:
            print("refused:", wrong)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "refused: " in done.stdout, done


WORDS = [
    *("inputs", "steps", "clean", "values", "rows", "top", "each", "x", "map", "all", "has", "size", "in"),
    *("1", "2.5", "'a'", '"', "'", "(", ")", "[", "]", "{", "}", "}}", "${{", ".", ",", ":", "?", "+", "-"),
    *("*", "/", "%", "&&", "||", "!", "==", "<", " ", "\n", "\\", "é", "\U0001f600", "u", "0x", "r'", "dyn"),
]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.sampled_from(WORDS), max_size=30).map("".join) | st.text(max_size=60))
def test_any_text_ends_in_an_error_or_a_value(text: str) -> None:
    check(text)


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
NUMBERS = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@settings(deadline=None)
@given(JSON)
def test_json_goes_through_cel_unchanged(data: Any) -> None:
    scope = {"each": {"value": data, "index": 0}}
    assert bare("[each.value][0]").evaluate(scope) == data


def test_patterns_take_linear_time() -> None:
    assert cel.matches("^(a+)+$", "a" * 50_000 + "b") is False
    with pytest.raises(EvaluationError):
        cel.matches("(", "")
