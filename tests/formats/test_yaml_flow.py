"""Flow files: what a person sees when something is wrong, and what an accepted file gives."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from runnotary.core.definition import compile, define
from runnotary.core.errors import FileMissing, InvalidDefinition
from runnotary.core.hashing import digest
from runnotary.formats.yaml_flow import load
from runnotary.formats.yaml_tree import read

ROOT = Path(__file__).parents[2]
SHIPPED = sorted({*ROOT.glob("examples/**/*.yaml"), *ROOT.glob("tests/data/flows/*.yaml")})

SALES = """\
flow: sales
code: ["*.py", nothing.sh]
inputs: {orders: {type: file}, top: {type: integer, default: a}}
steps:
  clean:
    run: python clean.py > clean.csv
    with: {orders: "${{ inputs.order }}"}
    files: [clean.csv]
    values: {rows: integer}
    retry: {attempts: 3, backof: 2s}
  summary:
    run: "true"
    with: {csv: "${{ steps.claen.files['clean.csv'] }}"}
    timeout: 10x
  note:
    needs: [summary, clea]
    run: |
      echo a
      echo ${{ inputs.top }}
    env:
      A: 'it''s ${{ steps.clean.values.rowz }}'
      B: x ${{ 1 + }} y
  loop: {run: x, needs: loop}
stepz: {}
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "clean.py").write_text("print(1)\n")
    return tmp_path


def refused(text: str | bytes, name: str = "sales.yaml") -> list[str]:
    Path(name).write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(InvalidDefinition) as caught:
        load(Path(name))
    lines = str(caught.value).split("\n")
    count = len(lines) - 1
    assert lines[-1] == f"{count} error{'' if count == 1 else 's'}, nothing stored"
    return lines[:-1]


def test_every_problem_stands_at_its_line_and_column(folder: Path) -> None:
    assert refused(SALES) == [
        'sales.yaml:2:16 code[1]: no file matches "nothing.sh"',
        'sales.yaml:3:62 inputs.top.default: must be an integer, is text "a"',
        'sales.yaml:7:25 steps.clean.with.orders: no input "order"; did you mean "orders"?',
        'sales.yaml:10:26 steps.clean.retry.backof: no key "backof" here; did you mean "backoff"?',
        'sales.yaml:13:22 steps.summary.with.csv: no step "claen"; did you mean "clean"?',
        "sales.yaml:14:14 steps.summary.timeout: expected a duration such as 500ms, 2s, 10m, 1h30m or 1d, "
        'or a number of seconds, got text "10x"',
        'sales.yaml:16:22 steps.note.needs[1]: no step "clea"; did you mean "clean"?',
        'sales.yaml:19:12 steps.note.run: ${{ }} cannot stand in `run`; use with: {top: "${{ inputs.top }}"} '
        'and "$top"',
        'sales.yaml:21:21 steps.note.env.A: step clean has no value "rowz"; did you mean "rows"?',
        "sales.yaml:22:19 steps.note.env.B: the expression ends too early",
        "sales.yaml:23:25 steps.loop.needs: a step cannot wait for itself",
        'sales.yaml:24:1 stepz: no key "stepz" here; did you mean "steps"?',
    ]


def test_faults_of_the_text_and_of_the_flow_are_told_together(folder: Path) -> None:
    assert refused(
        "steps:\n  a:\n    {run: x, run: y}\n  b: {rn: x}\n  c:\n    if: !failure()\n    run: x\n"
    ) == [
        'sales.yaml:3:14 the key "run" stands here twice, first in line 3',
        "sales.yaml:4:3 steps.b: a step needs one of run, set, wait, approve to say what it does",
        'sales.yaml:4:7 steps.b.rn: no key "rn" here; did you mean "run"?',
        "sales.yaml:6:9 tags (!failure()) are not allowed; a text that starts with ! needs quotes",
    ]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('steps: {a: {run: x, if: "\\u0031 + é"}}', "1:25"),
        ("steps:\n  a:\n    run: x\n    if: >\n      1 +\n      zz\n", "4:9"),
        ("steps:\n  a:\n    run: x\n    if: |\n      1 +\n\n        zz\n", "7:9"),
        ("steps:\n  a:\n    run: x\n    with:\n      o:\n        - k: 'a ${{ zz }}'\n", "6:21"),
        ("steps:\n  a:\n    run: x\n    with: {b: {c: zz}, d: ${{}\n", "4:"),
        ("\ufeffsteps: {a: {run: x, if: zz}}", "1:25"),
        ("steps:\r\n  a: {run: x, if: zz}\r\n", "2:19"),
        ("- 1", "1:1"),
        ("x", "1:1"),
        ("flow: x", "1:1"),
    ],
)
def test_places(folder: Path, text: str, place: str) -> None:
    assert refused(text)[0].startswith(f"sales.yaml:{place}")


def test_a_large_file_is_refused_before_it_is_read(folder: Path) -> None:
    with Path("big.yaml").open("wb") as big:
        big.truncate(100_000_000)
    with pytest.raises(InvalidDefinition, match="too large: 100000000 bytes"):
        load(Path("big.yaml"))


def test_what_is_no_flow_file(folder: Path) -> None:
    os.mkfifo("pipe.yaml")
    for name in ("pipe.yaml", ".", os.devnull):
        with pytest.raises(InvalidDefinition, match="is not a regular file"):
            load(Path(name))
    with pytest.raises(FileMissing, match=r"there is no file gone.yaml"):
        load(Path("gone.yaml"))
    assert refused(b"") == ["sales.yaml:1:1 the file is empty"]
    assert refused(b"\x7fELF\x02\x01\x01\x00") != []
    assert refused('{"steps": {"a": {"wait": NaN}}}', "flow.json") == [
        "flow.json:1:26 NaN is not a number that JSON can hold"
    ]


def test_problems_call_the_file_as_its_user_does(folder: Path) -> None:
    Path("x.yaml").write_text("steps: {}")
    with pytest.raises(InvalidDefinition, match=r"^mine.yaml:1:1 steps: a flow needs at least one step"):
        load(folder / "x.yaml", name="mine.yaml")


def test_very_many_problems_are_counted(folder: Path) -> None:
    steps = "".join(
        f"  s{index}: {{run: x, ned: 1, needs: [t{index}], if: inputs.a + {index} > 'x'}}\n"
        for index in range(500)
    )
    found = refused("steps:\n" + steps)
    assert len(found) == 201
    assert found[-1].endswith("… and 1300 more problems")


def test_what_an_accepted_file_gives(folder: Path) -> None:
    text = b"flow: sales\nversion: '1'\ncode: ['*.py', clean.py]\nsteps: {b: {run: x}, a: {run: y}}\n"
    Path("sales.yaml").write_bytes(text)
    loaded = load(Path("sales.yaml"))
    assert loaded.definition.words.flow == "sales"
    assert loaded.definition.words.order == ("b", "a")
    assert loaded.code == {"clean.py": Path("clean.py")}
    assert loaded.definition.document["code"] == {"clean.py": {"blob": digest(b"print(1)\n"), "size": 9}}
    assert (loaded.base, loaded.source.name) == (Path(), "sales.yaml")
    assert (loaded.source.digest, loaded.source.size) == (digest(text), len(text))
    assert loaded.definition.hash == digest(loaded.definition.canonical)


def test_code_in_a_file_is_a_list(folder: Path) -> None:
    blob = {"a.py": {"blob": digest(b""), "size": 0}}
    assert "expected a list" in refused(yaml.dump({"code": blob, "steps": {"a": {"run": "x"}}}))[0]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_flows_that_ship_with_the_project_load(path: Path) -> None:
    definition = load(path).definition
    assert compile(definition.document).hash == definition.hash
    assert define(json.loads(definition.canonical)).document == definition.document


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_the_hash_does_not_depend_on_how_a_file_is_written(path: Path, folder: Path) -> None:
    plain: Any = read(path.read_bytes()).value
    plain.pop("code", None)
    hashes = set()
    for indent, flow_style, sort in [(2, False, False), (8, False, True), (2, True, True)]:
        Path("x.yaml").write_text(
            yaml.dump(plain, indent=indent, default_flow_style=flow_style, sort_keys=sort)
        )
        hashes.add(load(Path("x.yaml")).definition.hash)
    for spaces in (None, 1, 4):
        Path("x.json").write_text(json.dumps(plain, indent=spaces))
        hashes.add(load(Path("x.json")).definition.hash)
    assert len(hashes) == 1
