"""`run lineage` from run to run, and `flow diff`: what is asked wrongly, and what is answered."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from runnotary.core.hashing import digest
from tests.cli.terminal import Desk

FLOW = """
flow: upper
version: "1"
code: [tool.py]
inputs: {data: {type: file}}
steps:
  make:
    run: python3 tool.py < "$data" > out.txt
    with: {data: "${{ inputs.data }}"}
    files: [out.txt]
outputs: {out: "${{ steps.make.files['out.txt'] }}"}
"""
TOOL = "import sys\nprint(sys.stdin.read().upper(), end='')\n"
EVIL = '"]; click n0 "javascript:alert(1)"; x["\x1b[31m'


@pytest.fixture(scope="module")
def desk(shared_desk: Desk) -> Iterator[Desk]:
    shared_desk.write("upper.yaml", FLOW)
    shared_desk.write("tool.py", TOOL)
    shared_desk.write("data.txt", "abc\n")
    shared_desk.write("folder/x", "x")
    shared_desk.write(EVIL, "evil\n")
    for name in ("data.txt", EVIL):
        assert (
            shared_desk.run("start", "upper.yaml", "-i", f"data={name}", "--out", "out", "--force").code == 0
        )
    shared_desk.write("tool.py", TOOL + "# \x1b[31mmore\n")
    shared_desk.write("upper-2.yaml", FLOW.replace('"1"', '"2"'))
    shared_desk.ok("flow", "push", "upper-2.yaml")
    yield shared_desk


def test_a_file_here_and_its_digest_are_the_same_question(desk: Desk) -> None:
    by_file = desk.json("run", "lineage", "--blob", "data.txt")
    assert by_file == desk.json("run", "lineage", "--blob", digest(b"abc\n"))
    assert [node["name"] for node in by_file["nodes"]] == ["data.txt", "upper", "out.txt"]
    assert [edge["type"] for edge in by_file["edges"]] == ["used", "generated"]
    text = desk.ok("run", "lineage", "--blob", "data.txt").out
    assert "  used  data.txt sha256:" in text and "  generated  out.txt sha256:" in text


def test_a_file_that_nobody_knows_is_no_error(desk: Desk) -> None:
    assert "no run that is over made" in desk.ok("run", "lineage", "--blob", "tool.py").out


def test_a_name_is_code_in_no_form(desk: Desk) -> None:
    for words in (("@latest",), ("--blob", EVIL)):
        for form in ("text", "mermaid", "dot", "table"):
            out = desk.ok("run", "lineage", *words, "--format", form).out
            assert "\x1b" not in out
        for form in ("mermaid", "dot"):
            out = desk.ok("run", "lineage", *words, "--format", form).out
            assert '"javascript' not in out and '"]; click' not in out


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ((), 2),
        (("@latest", "--blob", "data.txt"), 2),
        (("@latest", "--depth", "1"), 2),
        (("@latest", "--direction", "up"), 2),
        (("--blob", "data.txt", "--depth", "0"), 2),
        (("--blob", "data.txt", "--depth", "101"), 2),
        (("--blob", "folder"), 2),
        (("--blob", "missing"), 3),
        (("--blob", "sha256:xyz"), 3),
        (("--blob", "data.txt", "--format", "svg"), 2),
        (("nothing",), 3),
    ],
)
def test_what_cannot_be_asked(desk: Desk, words: tuple[str, ...], code: int) -> None:
    done = desk.run("run", "lineage", *words)
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith(("error: ", "usage: ", "runnotary run lineage"))


def test_what_changed_in_the_code_is_shown_line_by_line(desk: Desk) -> None:
    out = desk.ok("flow", "diff", "upper", "--code").out
    assert "~ code['tool.py']" in out and "--- a/tool.py" in out
    assert "+# \\x1b[31mmore" in out, "spelled out: a terminal must not act on it"
    changed = desk.json("flow", "diff", "upper@1", "upper@2")
    assert [(one["path"], one["change"]) for one in changed] == [("code['tool.py']", "changed")]
    assert changed[0]["was"]["blob"] == digest(TOOL.encode())


def test_code_that_differs_in_its_line_ends_only_is_not_passed_over(desk: Desk) -> None:
    for name, text in (("plain", "x\n"), ("crlf", "x\r\n")):
        (desk.path / name).mkdir()
        (desk.path / name / "ends.py").write_bytes(text.encode())
        desk.write(f"{name}/ends.yaml", "flow: ends\ncode: [ends.py]\nsteps: {a: {run: 'true'}}\n")
    out = desk.ok("flow", "diff", "plain/ends.yaml", "crlf/ends.yaml", "--code").out
    assert "ends.py: differs in nothing but line ends" in out


def test_a_folder_in_a_list_is_a_file_of_the_run_and_a_folder(desk: Desk) -> None:
    desk.write("one.yaml", "inputs: {tree: {type: directory}}\nsteps: {a: {run: 'true'}}\n")
    desk.write("many.yaml", "inputs: {trees: {type: array}}\nsteps: {a: {run: 'true'}}\n")
    desk.ok("start", "one.yaml", "-i", "tree=folder")
    (taken,) = desk.json("run", "files", "@latest")
    value = {"$dir": taken["blob"], "name": "folder", "size": taken["size"]}
    desk.write("inputs.json", json.dumps({"trees": [value]}))
    desk.ok("start", "many.yaml", "-I", "inputs.json")
    assert desk.json("run", "files", "@latest") == [{**taken, "name": "trees"}]
    assert "folder is a folder" in desk.run("run", "files", "@latest", "folder").err
    desk.ok("run", "files", "@latest", "folder", "--to", "copied")
    assert (desk.path / "copied" / "folder" / "x").read_text() == "x"


def test_an_old_definition_runs_by_its_hash(desk: Desk) -> None:
    history = desk.json("flow", "history", "upper")["versions"]
    assert [(one["version"], one["runs"]) for one in history] == [("2", 0), ("1", 2)]
    done = desk.json("start", history[1]["definition"], "-i", "data=data.txt")
    assert (done["status"], done["definition_hash"]) == ("success", history[1]["definition"])


@pytest.mark.parametrize(
    "text",
    ["no JSON", "[1]", "{}", '{"steps":5}', "[" * 99_999, '{"steps":{"A B":{"run":"echo ran","bogus":1}}}'],
)
def test_data_is_no_definition_because_somebody_names_its_hash(desk: Desk, text: str) -> None:
    """Run as it stood, the last of these ran, and the record did not verify any more."""
    desk.write("data.json", text)
    desk.write("takes.yaml", FLOW.replace("flow: upper", "flow: takes"))
    desk.ok("start", "takes.yaml", "-i", "data=data.json")
    named = digest(text.encode())
    for words in (("start",), ("start", "--dry-run"), ("flow", "show"), ("flow", "graph")):
        done = desk.run(*words, named)
        assert (done.code, done.out) == (3, ""), words
        assert f"{named} is no definition" in done.err


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("nothing",), 3),
        (("upper@9",), 3),
        (("upper@1",), 3),
        (("sha256:" + "00" * 32, "upper"), 3),
        ((digest(b"abc\n"), "upper"), 3),
        ((digest(b"abc\n"),), 2),
        (("missing.yaml", "upper"), 3),
    ],
)
def test_definitions_that_are_none(desk: Desk, words: tuple[str, ...], code: int) -> None:
    done = desk.run("flow", "diff", *words)
    assert (done.code, done.out) == (code, "")
    assert done.err.startswith("error: ")
