"""Definitions: what is accepted, its one canonical form and hash, and every problem at its path."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runnotary.core import grammar
from runnotary.core.definition import CodeFile, compile, define, parse
from runnotary.core.errors import InvalidDefinition
from runnotary.core.flow import Catch, Retry
from runnotary.core.hashing import canonical
from runnotary.core.step_reading import READERS, USUAL_RETRY

GOLDEN = Path(__file__).with_name("golden_hashes.json")
BLOB = "sha256:" + "b" * 64


def flow(**steps: Any) -> dict[str, Any]:
    return {"steps": {"only": {"run": "true"}} | steps}


def step(**keys: Any) -> dict[str, Any]:
    return flow(it={"run": "true"} | keys)


def canonical_step(**keys: Any) -> dict[str, Any]:
    found: dict[str, Any] = define(step(**keys)).document["steps"]["it"]
    return {key: value for key, value in found.items() if key != "run"}


def problems(data: Any, **more: Any) -> list[str]:
    with pytest.raises(InvalidDefinition) as caught:
        define(data, **more)
    return [str(problem) for problem in caught.value.problems]


# --- canonical form ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({"timeout": "1h30m"}, {"timeout": "5400000ms"}),
        ({"timeout": 90}, {"timeout": "90000ms"}),
        ({"timeout": 0.5, "grace": "10s"}, {"timeout": "500ms"}),
        ({"retry": 1}, {}),
        ({"retry": 3}, {"retry": {"attempts": 3}}),
        (
            {"retry": {"attempts": 3, "backoff": "2s", "jitter": 0.1, "on": ["timeout", "error"]}},
            {"retry": {"attempts": 3, "backoff": "2000ms", "jitter": 10, "on": ["error", "timeout"]}},
        ),
        (
            {"retry": {"attempts": 2, "backoff": 0, "jitter": "0%", "on": [*USUAL_RETRY]}},
            {"retry": {"attempts": 2}},
        ),
        ({"catch": True}, {"catch": True}),
        ({"catch": {}}, {"catch": True}),
        ({"catch": False}, {}),
        ({"catch": {"on": "lost"}}, {"catch": {"on": ["lost"]}}),
        ({"needs": "only"}, {"needs": ["only"]}),
        ({"needs": [], "after": [], "files": [], "env": {}, "with": {}}, {}),
        ({"files": ["b", "a"], "dirs": "out"}, {"files": ["a", "b"], "dirs": ["out"]}),
        ({"executor": "process", "shell": "bash"}, {}),
        ({"shell": ["python3", "-c"]}, {"shell": ["python3", "-c"]}),
        ({"if": " ${{ 1 < 2 }} "}, {"if": "1 < 2"}),
        ({"if": False}, {"if": False}),
        ({"for_each": [1, "a"], "max_concurrency": 2}, {"for_each": [1, "a"], "max_concurrency": 2}),
        ({"for_each": "${{ ['a'] }}"}, {"for_each": "['a']"}),
        ({"env": {"A": 1, "B": True, "C": 0.5, "D": "${{ secrets.K }}", "inherit": ["X", "L"]}},
         {"env": {"A": "1", "B": "true", "C": "0.5", "D": "${{ secrets.K }}", "inherit": ["L", "X"]}}),
        ({"title": "x", "description": "y", "source_name": "z"}, {}),
    ],
)  # fmt: skip
def test_a_step_has_one_canonical_form(keys: dict[str, Any], expected: dict[str, Any]) -> None:
    assert canonical_step(**keys) == expected


@pytest.mark.parametrize(
    ("wait", "expected"),
    [
        ("2s", "2000ms"),
        (2, "2000ms"),
        ({"for": "1d"}, "86400000ms"),
        ("${{ run.id.size() }}", "run.id.size()"),
        ({"for": "run.id.size()"}, "run.id.size()"),
    ],
)
def test_wait(wait: Any, expected: str) -> None:
    assert define(flow(it={"wait": wait})).document["steps"]["it"] == {"wait": expected}


def test_words_for_people_are_kept_aside_and_not_hashed() -> None:
    plain = flow() | {"inputs": {"n": "integer"}}
    said = {
        "flow": "sales-report",
        "version": "1.0",
        "title": "Sales",
        "description": "…",
        "test": {"cases": []},
        "inputs": {"n": {"type": "integer", "title": "N", "description": "how many"}},
        "steps": {"only": {"run": "true", "source_name": "Only!"}},
    }
    definition = define(said)
    assert definition.hash == define(plain).hash
    words = definition.words
    assert (words.flow, words.version, words.title, words.order) == (
        "sales-report",
        "1.0",
        "Sales",
        ("only",),
    )
    assert words.inputs == {"n": {"title": "N", "description": "how many"}}
    assert words.steps == {"only": {"source_name": "Only!"}}


def test_defaults_are_folded_into_run_steps() -> None:
    document = define(
        {
            "defaults": {
                "timeout": "1m",
                "grace": "1s",
                "retry": 3,
                "env": {"A": "d", "B": "d", "C": "d"},
                "shell": "sh",
            },
            "steps": {
                "plain": {"run": "x"},
                "own": {
                    "run": "x",
                    "grace": "10s",
                    "retry": 1,
                    "timeout": 5,
                    "env": {"A": "own"},
                    "with": {"C": 1},
                },
                "exact": {"run": ["x"]},
                "set": {"set": {"a": 1}},
            },
        }
    ).document
    env = {"A": "d", "B": "d", "C": "d"}
    usual = {"timeout": "60000ms", "grace": "1000ms", "retry": {"attempts": 3}}
    assert document == {
        "steps": {
            "plain": {"run": "x", "shell": "sh", "env": env} | usual,
            "own": {
                "run": "x",
                "shell": "sh",
                "env": {"A": "own", "B": "d"},
                "with": {"C": 1},
                "timeout": "5000ms",
            },
            "exact": {"run": ["x"], "env": env} | usual,
            "set": {"set": {"a": 1}},
        }
    }


def test_code_is_part_of_the_definition_by_content() -> None:
    code = {"b.sh": CodeFile(BLOB, 3, True), "a.py": CodeFile(BLOB, 0)}
    definition = define(flow() | {"code": ["*"]}, code=code)
    assert definition.document["code"] == {
        "a.py": {"blob": BLOB, "size": 0},
        "b.sh": {"blob": BLOB, "size": 3, "executable": True},
    }
    compiled = compile(definition.document)
    assert list(compiled.code) == ["a.py", "b.sh"]
    assert compiled.executables == {"b.sh"}
    assert define(definition.document).hash == definition.hash
    other = define(flow() | {"code": ["*"]}, code=code | {"a.py": CodeFile(BLOB, 1)})
    assert other.hash != definition.hash
    assert compile(other.document).digests["only"] != compiled.digests["only"]


def test_golden_hashes_never_change() -> None:
    """New keys must not change old hashes. Add cases; never edit one."""
    cases = json.loads(GOLDEN.read_text())
    assert len(cases) >= 8
    for case in cases:
        definition = define(case["document"])
        assert definition.hash == case["hash"], case["name"]
        assert define(json.loads(definition.canonical)).hash == case["hash"], case["name"]


# --- compiling -----------------------------------------------------------------------------------


def test_compile_spells_everything_out() -> None:
    compiled = compile(
        define(
            {
                "inputs": {"n": {"type": "integer", "default": 1}, "f": "file"},
                "max_concurrency": 3,
                "on_failure": "stop",
                "steps": {
                    "z": {
                        "run": ["a", "b"],
                        "values": {"v": "integer"},
                        "env": {"K": "${{ secrets.KEY }}", "L": "x"},
                    },
                    "m": {
                        "set": {"x": "steps.z.values.v + 1"},
                        "if": "always()",
                        "after": ["w"],
                        "needs": "z",
                    },
                    "w": {"wait": 2, "if": "inputs.n > 0"},
                    "a": {
                        "run": "echo",
                        "with": {"v": "n ${{ steps.m.values.x }}"},
                        "retry": {"attempts": 2, "backoff": "1s", "jitter": 5, "on": ["lost"]},
                        "catch": {"on": ["error"]},
                        "dirs": ["out/**"],
                    },
                },
                "finally": {"end": {"run": "x", "shell": "sh", "with": {"v": "${{ steps.a.status }}"}}},
                "outputs": {"o": "${{ steps.m.values.x }}"},
            }
        ).document
    )
    assert list(compiled.steps) == ["w", "z", "m", "a", "end"]
    z, m, w, a, end = (compiled.steps[name] for name in ("z", "m", "w", "a", "end"))
    assert (z.argv, z.secrets, list(z.env)) == (("a", "b"), {"K": "KEY"}, ["L"])
    assert (m.needs, m.before, m.condition is not None) == (("z",), ("z", "w"), True)
    assert w.wait_ms is not None
    assert w.wait_ms.evaluate({}) == 2000
    assert a.argv == ("bash", "-euo", "pipefail", "-c", "echo")
    assert a.needs == ("m",)
    assert a.retry == Retry(2, 1000, 5, frozenset({"lost"}))
    assert a.catch == Catch(frozenset({"error"}))
    assert a.trees == ("out/**",)
    assert (end.cleanup, end.needs, end.argv[0]) == (True, (), "sh")
    assert compiled.followers == {"z": ("m",), "w": ("m",), "m": ("a",)}
    assert (compiled.on_failure, compiled.max_concurrency) == ("stop", 3)
    assert (compiled.inputs["n"].required, compiled.inputs["f"].required) == (False, True)
    assert compiled.outputs["o"].evaluate({"steps": {"m": {"values": {"x": 7}}}}) == 7


def test_a_step_under_after_stays_order_only_even_if_an_expression_names_it() -> None:
    compiled = compile(
        define(flow(it={"run": "x", "after": ["only"], "with": {"s": "${{ steps.only.status }}"}})).document
    )
    assert compiled.steps["it"].needs == ()
    assert compiled.steps["it"].before == ("only",)


def test_what_a_step_executes_has_a_digest_of_its_own() -> None:
    def digest_of(**keys: Any) -> str:
        return compile(define(step(**keys)).document).digests["it"]

    assert digest_of() == digest_of(needs=["only"], retry=3, timeout=5, catch=True)
    others = [
        {"run": "false"},
        {"files": ["x"]},
        {"shell": "sh"},
        {"env": {"A": 1}},
        {"values": {"a": "any"}},
    ]
    assert len({digest_of(), *(digest_of(**other) for other in others)}) == 6


def test_long_chains_need_no_recursion() -> None:
    count = 20_000
    steps = {
        f"s{index}": {"run": "x"} | ({"needs": f"s{index - 1}"} if index else {}) for index in range(count)
    }
    compiled = compile(define({"steps": steps}).document)
    assert list(compiled.steps) == [f"s{index}" for index in range(count)]
    steps["s0"]["needs"] = f"s{count - 1}"
    assert len(problems({"steps": steps})) == 1


# --- problems ------------------------------------------------------------------------------------

CASES: list[tuple[dict[str, Any] | Any, str]] = [
    ([], "expected a flow: an object with steps, got a list"),
    ({}, "a flow needs `steps`"),
    ({"steps": {}}, "steps: a flow needs at least one step"),
    ({"steps": None}, "steps: `steps` stands here without a value"),
    ({"steps": [{"run": "x"}]}, "steps: expected an object of name to step, got a list"),
    (flow() | {"stepss": {}}, 'stepss: no key "stepss" here; did you mean "steps"?'),
    (flow() | {"flow": "a/b"}, 'flow: "a/b" cannot be the name of a flow'),
    (flow() | {"version": 1.1}, "version: expected text, got a number; put it in quotes"),
    (flow() | {"inputs_schema": {}}, '"inputs_schema" is not in this release'),
    (flow() | {"on_failure": "stopp"}, '"stopp" is not one of continue, stop; did you mean "stop"?'),
    (flow() | {"max_concurrency": 0}, "max_concurrency: expected an integer from 1 to 100000, got 0"),
    (flow() | {"code": ["../x"]}, "code[0]: expected a file name or a pattern inside the folder"),
    (flow() | {"code": {"a": {"blob": "x", "size": 1}}}, "code.a.blob: expected sha256:"),
    (flow() | {"if": "steps.only.values.x"}, "if: no step has run when the `if` of the flow is asked"),
    (flow() | {"if": "always()"}, "if: status functions may stand in the `if` of a step only"),
    (flow() | {"finally": {"only": {"run": "x"}}}, 'there is a step "only" under `steps` already'),
    (flow() | {"defaults": {"env": {"A": "${{ each.value }}"}}}, "a default may refer to inputs and run"),
    (flow() | {"defaults": {"files": ["x"]}}, 'defaults.files: no key "files" here'),
    (flow() | {"title": "a\0b"}, "title: holds the control character U+0000"),
    (flow() | {"outputs": {"a-b": 1}}, 'outputs.a-b: "a-b" is no name here'),
    (flow(Bad={"run": "x"}), 'steps.Bad: "Bad" is no name here: it must match ^[a-z][a-z0-9_]*$'),
    (flow(it="x"), "steps.it: expected a step: an object with run, set, wait or approve, got text"),
    (flow(it={}), "steps.it: a step needs one of run, set, wait"),
    (flow(it={"run": "x", "wait": 1}), "steps.it: a step does one thing, not run and wait"),
    (flow(it={"call": "a:b"}), 'steps.it.call: "call" is not in this release'),
    (flow(it={"http": {}}), 'steps.it.http: "http" is not in this release'),
    (flow(it={"set": {"a": 1}, "files": ["x"]}), "steps.it.files: a `set` step takes no `files`"),
    (flow(it={"set": {}}), "steps.it.set: an empty `set` computes nothing"),
    (flow(it={"set": {"a": "x ${{ run.id }}"}}), "steps.it.set.a: text and ${{ }} cannot be mixed here"),
    (flow(it={"set": {"a": "hello"}}), 'nothing is called "hello" here'),
    (flow(it={"wait": True}), "steps.it.wait: expected a duration"),
    (flow(it={"wait": {"fro": 1}}), 'steps.it.wait.fro: no key "fro" here; did you mean "for"?'),
    (step(run=""), "expected a script, or a list of arguments, got an empty text"),
    (step(run=[]), "an empty list runs nothing"),
    (step(run=["a", 1]), "steps.it.run[1]: expected text, got an integer; put it in quotes"),
    (step(run="x ${{ inputs.a }}"), 'cannot stand in `run`; use with: {a: "${{ inputs.a }}"} and "$a"'),
    (step(shell="zsh"), '"zsh" is not one of bash, sh'),
    (step(shell="sh", run=["x"]), "a list of arguments runs without a shell"),
    (step(image="x"), '"image" is not in this release'),
    (step(cache=True), '"cache" is not in this release'),
    (step(executor="slurm"), '"slurm" is not in this release'),
    (step(executor="proces"), 'did you mean "process"?'),
    (step(timeout="5 parsecs"), 'got text "5 parsecs"'),
    (step(timeout=0), "a timeout of nothing"),
    (step(timeout=None), "`timeout` stands here without a value"),
    (step(retry=0), "expected an integer from 1 to 100, got 0"),
    (step(retry={"backoff": "1s"}), "`retry` needs `attempts`"),
    (step(retry={"attempts": 2, "jitter": 2.0}), "expected percent (10) or a share (0.1)"),
    (step(retry={"attempts": 2, "on": ["eror"]}), 'did you mean "error"?'),
    (step(catch="yes"), "expected true, or an object with on and values, got text"),
    (step(catch={"values": {"x": 1}}), '`values` declares no "x"'),
    (step(values={"x": "integer"}, catch={"values": {"x": "a"}}), "catch.values.x: must be an integer"),
    (step(values={"x": "file"}), "a value is JSON; files stand under `files` or `dirs`"),
    (step(values={"x": "int"}), '"int" is not one of string, integer'),
    (step(files=["/abs"]), "expected a file name inside the folder"),
    (step(files=["a/../b"]), "expected a file name inside the folder"),
    (step(files=["./a"]), 'write "a"'),
    (step(files=["*.csv"]), "`dirs` takes patterns"),
    (step(files=["a", "a"]), 'steps.it.files[1]: "a" stands here twice'),
    (step(files=["a"], dirs=["a"]), 'steps.it.dirs: "a" stands in `files` too'),
    (step(dirs=["out/"]), 'write "out"'),
    (step(stage={"a": "x"}), "expected one whole ${{ }} that gives a file"),
    (step(max_concurrency=2), "is for a `for_each` step"),
    (step(for_each=[]), "expected an expression that gives a list"),
    (step(for_each={}), "expected an expression that gives a list"),
    (step(env={"RUNNOTARY_X": 1}), "names that start with RUNNOTARY_ are the engine's own"),
    (step(env={"A": [1]}), "steps.it.env.A: expected text, got a list"),
    (step(env={"inherit": ["A B"]}), '"A B" cannot be the name of a variable'),
    (step(env={"A": "x ${{ secrets.K }}"}), "secrets may stand in `env` only, each as one whole"),
    (step(**{"with": {"A": "${{ secrets.K }}"}}), "secrets may stand in `env` only"),
    (step(env={"A": 1}, **{"with": {"A": 1}}), 'steps.it.env: "A" stands in `with` too'),
    (step(needs=["onyl"]), 'steps.it.needs[0]: no step "onyl"; did you mean "only"?'),
    (step(needs=["it"]), "a step cannot wait for itself"),
    (step(needs=["only"], after=["only"]), 'steps.it.after: "only" stands in `needs` too'),
    (step(**{"if": "failure()"}), "a status function asks how the needs of a step ended, and it has none"),
    (step(**{"with": {"a": "${{ steps.it.status }}"}}), "a step cannot refer to itself"),
    (step(**{"with": {"a": "${{ steps }}"}}), "name the step: steps.NAME"),
    (step(**{"with": {"a": "${{ steps.only }}"}}), "say what of it: steps.only.status, steps.only.values"),
    (step(**{"with": {"a": "${{ steps.only.filez }}"}}), 'steps.only has no "filez"; did you mean "files"?'),
    (step(**{"with": {"a": "${{ steps.only.files['x'] }}"}}), 'step only has no file "x"; it declares no'),
    (step(**{"with": {"a": "${{ each.value }}"}}), "`each` is known in a `for_each` step only"),
    (step(for_each="[each.value]"), "`for_each` is evaluated once for the step, before there is an `each`"),
    (step(for_each=[1], **{"with": {"a": "${{ each.x }}"}}), 'each has no "x"; it has value, index'),
    (step(**{"with": {"a": "${{ run.idd }}"}}), 'run has no "idd"'),
    (step(**{"with": {"a": "${{ inputs.x }}"}}), 'no input "x"; the flow declares none'),
    (step(**{"with": {"a": {"b": ["${{ 1 + }}"]}}}), "steps.it.with.a.b[0]: the expression ends too early"),
    (flow(it={"run": "x", "values": {"rows": "any"}}, to={"set": {"a": "steps.it.values.rowz"}}),
     'step it has no value "rowz"; did you mean "rows"?'),
    (flow(it={"set": {"n": 1}}, to={"set": {"a": "steps.it.values.m + 1"}}), 'step it has no value "m"'),
    (flow(it={"wait": 1}, to={"set": {"a": "steps.it.values.m"}}), 'step it has no value "m"'),
    (flow(it={"run": "x", "files": ["clean.csv"]}, to={"set": {"a": "steps.it.files['claen.csv'].size + 1"}}),
     'step it has no file "claen.csv"; did you mean "clean.csv"?'),
    (flow(a={"run": "x", "needs": "b"}, b={"run": "x", "with": {"x": "${{ steps.a.status }}"}}),
     "steps.a: steps wait for each other: a needs b needs a"),
    (flow() | {"finally": {"end": {"run": "x", "needs": "only"}}}, "`finally` steps run after all others"),
    (step(needs=["end"]) | {"finally": {"end": {"run": "x"}}}, '"end" is a `finally` step'),
    (step(**{"with": {"a": "${{ steps.end.status }}"}}) | {"finally": {"end": {"run": "x"}}}, "has not run"),
    (flow() | {"inputs": {"a": "strin"}}, 'inputs.a.type: "strin" is not one of'),
    (flow() | {"inputs": {"a": {"type": "integer", "default": "x"}}}, "inputs.a.default: must be an integer"),
    (flow() | {"inputs": {"a": {"type": "integer", "default": 1, "minimum": 2}}}, "1 is less than 2"),
    (flow() | {"inputs": {"a": {"type": "string", "minimum": 2}}}, "`minimum` is for integer and number"),
    (flow() | {"inputs": {"a": {"type": "string", "pattern": "("}}}, "inputs.a.pattern:"),
    (flow() | {"inputs": {"a": {"type": "string", "enum": [1]}}}, "inputs.a.enum[0]: must be text"),
    (flow() | {"inputs": {"a": {"type": "string", "enum": []}}}, "expected a list of values, not empty"),
    (flow() | {"inputs": {"a": {"type": "array", "items": "file"}}}, '"file" is not one of'),
    (flow() | {"inputs": {"a": {"items": {"default": 1}}}}, "`items` is for array only"),
    (flow() | {"inputs": {"a": {"type": "array", "items": {"default": 1}}}}, "an entry of a list has no"),
    (flow() | {"inputs": {"a": {"type": "file", "default": 3}}}, "expected a path, relative to"),
    (flow() | {"inputs": {"a b": "any"}}, '"a b" is no name here'),
]  # fmt: skip


@pytest.mark.parametrize(("data", "expected"), CASES, ids=range(len(CASES)))
def test_a_problem_is_named(data: Any, expected: str) -> None:
    found = problems(data)
    assert any(expected in text for text in found), found
    assert len(found) == 1, found


def test_all_problems_at_once() -> None:
    found = problems(
        {
            "inputs": {"n": "integr"},
            "steps": {
                "a": {"run": "x", "need": ["b"], "timeout": "x"},
                "b": {"run": "x", "with": {"v": "${{ steps.c.status }} ${{ inputs.m }}"}},
                "c": {"call": "m:f"},
            },
            "outputs": {"o": "${{ steps.d.status }}"},
        }
    )
    assert len(found) == 6


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), 2**64, "\ud800", {1: 2}, b"x", {"\ud800": 1}, (1,)]
)
def test_what_json_cannot_hold_is_refused_first(value: Any) -> None:
    assert len(problems(flow() | {"test": value})) == 1


def test_depth_is_capped() -> None:
    deep: Any = "${{ run.id }}"
    for _ in range(100_000):
        deep = [deep]
    assert "nested deeper than" in problems(step(**{"with": {"a": deep}}))[0]


def test_very_many_problems_are_found_quickly() -> None:
    steps = {f"step_{index}": {"run": "x", "needs": [f"stepp_{index}"], "fils": []} for index in range(3000)}
    assert len(problems({"steps": steps})) == 6000


# --- properties ----------------------------------------------------------------------------------

NAMES = st.sampled_from(["a", "b", "c", "d_1"])
TEXT = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8).filter(
    lambda text: text.strip() and "${{" not in text
)
DURATIONS = st.sampled_from(["500ms", "2s", "10m", "1h30m", "1d", 3, 0.25])
TEMPLATES = st.sampled_from(
    ["x", "${{ run.id }}", "n ${{ inputs.n + 1 }}", 1, True, None, ["${{ inputs.n }}"]]
)
RUN = st.fixed_dictionaries(
    {"run": TEXT | st.lists(TEXT, min_size=1, max_size=2)},
    optional={
        "after": st.just([]),
        "if": st.sampled_from([True, False, "inputs.n > 1", "${{ inputs.n == 1 }}"]),
        "for_each": st.sampled_from([[1, 2], "[inputs.n]"]),
        "with": st.dictionaries(NAMES, TEMPLATES, max_size=2),
        "env": st.dictionaries(st.sampled_from(["E", "F"]), st.sampled_from(["x", 1, "${{ secrets.K }}"])),
        "files": st.lists(st.sampled_from(["x", "y/z"]), unique=True),
        "dirs": st.lists(st.sampled_from(["out", "o/**/*.csv"]), unique=True),
        "values": st.dictionaries(NAMES, st.sampled_from(grammar.VALUE_TYPES)),
        "timeout": DURATIONS,
        "grace": DURATIONS,
        "retry": st.integers(1, 5)
        | st.fixed_dictionaries({"attempts": st.integers(1, 3), "jitter": st.just(0.5)}),
        "catch": st.booleans() | st.just({"on": ["error"]}),
        "title": TEXT,
    },
)
SET = st.fixed_dictionaries(
    {"set": st.dictionaries(NAMES, st.sampled_from([1, "inputs.n", "'x'"]), min_size=1)}
)
WAIT = st.fixed_dictionaries({"wait": DURATIONS | st.just("inputs.n")})
FLOWS = st.fixed_dictionaries(
    {
        "inputs": st.just({"n": {"type": "integer", "default": 1, "title": "N"}, "m": "any"}),
        "steps": st.dictionaries(NAMES, RUN | SET | WAIT, min_size=1),
    },
    optional={
        "flow": st.just("x"),
        "finally": st.dictionaries(st.sampled_from(["e", "f"]), RUN),
        "on_failure": st.sampled_from(["continue", "stop"]),
        "outputs": st.dictionaries(NAMES, TEMPLATES, max_size=2),
        "defaults": st.fixed_dictionaries({}, optional={"timeout": DURATIONS, "retry": st.just(2)}),
    },
)


def shuffled(value: Any, data: st.DataObject) -> Any:
    if isinstance(value, dict):
        keys = data.draw(st.permutations(list(value)))
        return {key: shuffled(value[key], data) for key in keys}
    return [shuffled(item, data) for item in value] if isinstance(value, list) else value


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(FLOWS, st.data())
def test_the_hash_does_not_depend_on_the_order_of_keys(flow: Any, data: st.DataObject) -> None:
    first, second = define(flow), define(shuffled(flow, data))
    assert first.hash == second.hash
    assert list(compile(first.document).steps) == list(compile(second.document).steps)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(FLOWS)
def test_the_canonical_document_is_a_fixpoint(flow: Any) -> None:
    definition = define(flow)
    again = define(json.loads(definition.canonical))
    assert again.document == definition.document
    assert again.hash == definition.hash == compile(definition.document).hash
    assert canonical(definition.document) == definition.canonical


KEYS = sorted(
    {*grammar.FLOW, *grammar.STEP, *grammar.INPUT, *grammar.RETRY, "a", "n", "only", "for", "blob", "x y"}
)
SCALARS = st.sampled_from(
    [
        *(None, True, 0, 1, -5, 0.5, "", "a", "only", "1s", "../x", "integer", "file", "\n"),
        *("${{ steps.a.values.x }}", "${{", "inputs.n", "steps.a.values", "always()", "${{ secrets.K }}"),
    ]
)
ANYTHING = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=5),
    max_leaves=25,
)
BROKEN = st.fixed_dictionaries(
    {
        "steps": st.dictionaries(NAMES, st.dictionaries(st.sampled_from(list(grammar.STEP)), ANYTHING))
        | ANYTHING
    },
    optional={key: ANYTHING for key in grammar.FLOW if key != "steps"},
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ANYTHING | BROKEN)
def test_reading_never_fails_and_what_is_accepted_compiles(data: Any) -> None:
    document, _, findings = parse(data)
    if not findings:
        assert compile(document).steps
        assert parse(document)[0] == document
    for finding in findings:
        assert finding.message
        assert finding.problem().message == finding.message


def test_every_hashed_key_of_a_step_has_a_reader() -> None:
    here = {key.name for key in grammar.STEP.values() if key.hashed and not key.later}
    assert here == READERS.keys()
    assert here >= grammar.RUN_ONLY
