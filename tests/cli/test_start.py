"""`start`: what it prints where, how it ends, and what it refuses without a trace."""

from __future__ import annotations

import re

import pytest

from tests.cli.terminal import Desk

HELLO = """
flow: hello
inputs: {name: {type: string, default: world}, times: {type: integer, default: 1, minimum: 1}}
steps:
  greet:
    run: echo "Hello, $name!" | tee greeting.txt
    with: {name: "${{ inputs.name }}"}
    files: [greeting.txt]
outputs: {greeting: "${{ steps.greet.files['greeting.txt'] }}"}
"""
FAILS = """
flow: fails
steps:
  good: {run: echo fine}
  bad: {run: "echo before; echo 'KeyError: region' >&2; exit 3", needs: [good]}
  after: {run: "true", needs: [bad]}
"""
SKIPPED = "flow: skipped\nif: 'false'\nsteps: {a: {run: 'true'}}\n"


@pytest.fixture
def hello(desk: Desk) -> Desk:
    desk.write("hello.yaml", HELLO)
    return desk


def test_a_run_to_its_end(hello: Desk) -> None:
    done = hello.ok("start", "hello.yaml", "-i", "name=Ada")
    assert re.match(r"success \S+   run [0-9A-Z]{26}\ngreeting +greeting.txt +12 B  sha256:", done.out)
    lines = [line.split(" ", 1) for line in done.err.splitlines()]
    assert all(re.fullmatch(r"\d\d:\d\d:\d\d", time) for time, _ in lines)
    assert [text.split()[:2] for _, text in lines] == [
        ["run", "accepted"],
        ["greet", "running"],
        ["greet", "success"],
    ]
    assert hello.ok("run", "files", "@latest", "greeting").out == "Hello, Ada!\n"
    hinted = re.findall(r"runnotary (run \w+) (\w+)( --to DIR)?", done.out)
    assert hinted
    for words, run, to in hinted:
        hello.ok(*words.split(), run, *(["--to", "out"] if to else []))


def test_quiet_prints_the_id_and_nothing_else(hello: Desk) -> None:
    done = hello.ok("start", "-q", "hello.yaml")
    assert re.fullmatch(r"[0-9A-Z]{26}\n", done.out)
    assert done.err == ""


def test_quiet_prints_the_id_at_the_commit(desk: Desk) -> None:
    waits = f"while [ ! -e {desk.path}/go ]; do sleep 0.05; done"
    desk.write("slow.yaml", f"steps: {{a: {{run: '{waits}'}}}}\n")
    process = desk.begin("start", "-q", "slow.yaml")
    assert process.stdout is not None
    run = process.stdout.readline().strip()
    assert desk.json("run", "show", run)["status"] == "running"
    desk.write("go", "")
    assert desk.end(process).out == ""
    assert desk.json("run", "show", run)["status"] == "success"


def test_a_failed_run_says_where_and_why(desk: Desk) -> None:
    desk.write("fails.yaml", FAILS)
    done = desk.run("start", "fails.yaml")
    assert done.code == 1
    assert done.out.startswith("failed (error) ")
    assert "bad: " in done.out
    assert "  | KeyError: region\n" in done.out
    run = re.search(r"run shell (\w+) bad", done.out)
    assert run
    shown = desk.ok("run", "show", run[1]).out
    assert re.search(r"^bad +failed +\S+ +exit 3$", shown, re.MULTILINE)
    assert re.search(r"^after +skipped +upstream_failed: bad$", shown, re.MULTILINE)
    assert f"run logs {run[1]} bad" in shown


@pytest.mark.parametrize(
    ("flow", "code", "status"), [(HELLO, 0, "success"), (FAILS, 1, "failed"), (SKIPPED, 0, "skipped")]
)
def test_json_is_one_run_document_however_it_ends(desk: Desk, flow: str, code: int, status: str) -> None:
    desk.write("flow.yaml", flow)
    done = desk.run("start", "flow.yaml", "-o", "json", "--label", "mine", "--tag", "a", "--tag", "b")
    assert done.code == code
    assert done.json["status"] == status
    assert (done.json["label"], done.json["tags"]) == ("mine", ["a", "b"])
    again = desk.json("run", "show", "@latest")
    assert again["log"].pop("sealed") is not None
    assert again == done.json | {"log": {name: done.json["log"][name] for name in ("events", "head")}}


@pytest.mark.parametrize("form", ["jsonl", "yaml", "name"])
def test_the_other_forms_name_the_same_run(hello: Desk, form: str) -> None:
    out = hello.ok("start", "hello.yaml", "-o", form).out
    run = hello.json("run", "show", "@latest")["id"]
    assert out == f"{run}\n" if form == "name" else run in out


def test_run_file_is_start_file(hello: Desk) -> None:
    assert hello.ok("run", "hello.yaml").out.startswith("success")
    assert hello.ok("run", "hello").out.startswith("success")
    assert hello.ok("start", "hello").out.startswith("success")
    digest = hello.json("flow", "show", "hello")["definition_hash"]
    assert hello.ok("start", digest).out.startswith("success")
    assert len(hello.json("run", "list")["runs"]) == 4


def test_outputs_come_out_and_replace_nothing(hello: Desk) -> None:
    hello.ok("start", "hello.yaml", "--out", "results")
    assert (hello.path / "results" / "greeting.txt").read_text() == "Hello, world!\n"
    again = hello.run("start", "hello.yaml", "--out", "results", "-i", "name=Ada")
    assert again.code == 5
    assert "--force" in again.err
    assert (hello.path / "results" / "greeting.txt").read_text() == "Hello, world!\n"
    hello.ok("start", "hello.yaml", "--out", "results", "-i", "name=Ada", "--force")
    assert (hello.path / "results" / "greeting.txt").read_text() == "Hello, Ada!\n"


def test_inputs_from_a_file_and_from_standard_input(hello: Desk) -> None:
    hello.write("inputs.json", '{"name": "Ada", "times": 2}')
    assert hello.json("start", "hello.yaml", "-I", "inputs.json")["inputs"] == {"name": "Ada", "times": 2}
    done = hello.ok("start", "hello.yaml", "-I", "-", "-o", "json", input='{"name": "Bob"}')
    assert done.json["inputs"]["name"] == "Bob"


def test_a_dry_run_shows_all_and_stores_nothing(hello: Desk) -> None:
    done = hello.ok("start", "hello.yaml", "--dry-run", "-i", "times=3")
    assert "greet" in done.out
    assert "times=3" in done.out
    assert "name=world" in done.out
    plan = hello.json("start", "hello.yaml", "--dry-run")
    assert plan["definition_hash"] == hello.json("flow", "show", "hello.yaml")["definition_hash"]
    assert [step["step"] for step in plan["steps"]] == ["greet"]
    assert not hello.home.exists()
    assert hello.run("start", "hello.yaml", "--dry-run", "-i", "times=0").code == 2


BAD_FLOWS = {
    "cycle": "steps: {a: {run: x, needs: [b]}, b: {run: x, needs: [a]}}",
    "duplicate key": "steps:\n  a: {run: x}\n  a: {run: y}",
    "unknown key": "steps: {a: {rum: x}}",
    "bad reference": "steps: {a: {run: x, with: {v: '${{ steps.nope.values.x }}'}}}",
    "bad expression": "steps: {a: {run: x, if: '1 +'}}",
    "aliases": "a: &a [x]\nsteps: {b: *a}",
    "not yaml": "steps: {a: [",
    "empty": "",
    "nan": "inputs: {x: {type: number, default: .nan}}\nsteps: {a: {run: x}}",
}


@pytest.mark.parametrize("flow", BAD_FLOWS.values(), ids=BAD_FLOWS)
def test_a_bad_flow_is_exit_2_and_stores_nothing(desk: Desk, flow: str) -> None:
    desk.write("bad.yaml", flow)
    for words in (("start", "bad.yaml"), ("flow", "validate", "bad.yaml"), ("flow", "push", "bad.yaml")):
        done = desk.run(*words)
        assert (done.code, done.out) == (2, ""), done
        assert re.search(r"^bad\.yaml(:\d+:\d+)? ", done.err, re.MULTILINE), done.err
        assert "nothing stored" in done.err
    assert not desk.home.exists()


def test_bytes_that_are_no_flow_file(desk: Desk) -> None:
    (desk.path / "latin.yaml").write_bytes("flow: caf\xe9\n".encode("latin-1"))
    with (desk.path / "large.yaml").open("wb") as file:
        file.truncate(100 * 1024 * 1024)
    (desk.path / "folder.yaml").mkdir()
    for name in ("latin.yaml", "large.yaml", "folder.yaml"):
        done = desk.run("start", name)
        assert (done.code, done.out) == (2, ""), done
    assert not desk.home.exists()


BAD_INPUTS = {
    "unknown": ["-i", "nmae=x"],
    "wrong type": ["-i", "times=many"],
    "too small": ["-i", "times=0"],
    "no equals": ["-i", "times"],
    "given twice": ["-i", "times=1", "-i", "times=2"],
    "not json": ["-I", "hello.yaml"],
    "a list": ["-I", "list.json"],
}


@pytest.mark.parametrize("words", BAD_INPUTS.values(), ids=BAD_INPUTS)
def test_bad_inputs_are_refused_before_a_run_exists(hello: Desk, words: list[str]) -> None:
    hello.write("list.json", "[1]")
    done = hello.run("start", "hello.yaml", *words)
    assert (done.code, done.out) == (2, ""), done
    assert not hello.home.exists()
    hello.ok("start", "hello.yaml")
    done = hello.run("start", "hello.yaml", *words)
    assert (done.code, done.out) == (2, "")
    assert len(hello.json("run", "list")["runs"]) == 1


def test_a_folder_is_no_file_of_inputs(hello: Desk) -> None:
    refused = hello.run("start", "hello.yaml", "-I", ".")
    assert (refused.code, refused.err) == (2, "error: -I .: Is a directory\n")


def test_a_missing_input_file_is_named(desk: Desk) -> None:
    desk.write("f.yaml", "inputs: {orders: {type: file}}\nsteps: {a: {run: 'true'}}\n")
    assert "orders" in desk.run("start", "f.yaml").err
    done = desk.run("start", "f.yaml", "-i", "orders=none.csv")
    assert done.code == 2
    assert "none.csv" in done.err
    assert not desk.home.exists()
