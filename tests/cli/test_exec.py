"""`exec`: one command, recorded; its output passed through and its files brought back."""

from __future__ import annotations

from tests.cli.terminal import Desk


def test_inputs_outputs_and_the_output_of_the_command(desk: Desk) -> None:
    desk.write("in.txt", "b\na\n")
    done = desk.ok(
        "exec",
        "-i",
        "in.txt",
        "-o",
        "sorted.txt",
        "--",
        "sh",
        "-c",
        "sort in.txt | tee sorted.txt; echo hm >&2",
    )
    assert done.out == "a\nb\n"
    assert "hm\n" in done.err
    assert "success" in done.err
    assert (desk.path / "sorted.txt").read_text() == "a\nb\n"
    assert desk.ok("run", "files", "@latest", "sorted.txt").out == "a\nb\n"
    roles = {(file["role"], file["path"]) for file in desk.json("run", "files", "@latest")}
    assert {("input", "in.txt"), ("output", "sorted.txt")} <= roles


def test_nothing_is_replaced_silently(desk: Desk) -> None:
    desk.write("made.txt", "mine")
    words = ("-o", "made.txt", "--", "sh", "-c", "echo new > made.txt")
    refused = desk.run("exec", *words)
    assert refused.code == 5
    assert "--force" in refused.err
    assert not desk.home.exists()
    desk.ok("exec", "--no-copy", *words)
    assert (desk.path / "made.txt").read_text() == "mine"
    desk.ok("exec", "--out", "there", *words)
    assert (desk.path / "there" / "made.txt").read_text() == "new\n"
    desk.ok("exec", "--force", *words)
    assert (desk.path / "made.txt").read_text() == "new\n"


def test_a_failing_command_fails_the_run(desk: Desk) -> None:
    done = desk.run("exec", "--", "sh", "-c", "echo out; echo wrong >&2; exit 7")
    assert done.code == 1
    assert done.out == "out\n"
    assert "wrong" in done.err
    task = desk.json("run", "tasks", "@latest")[0]
    assert task["attempts"][0]["exit_code"] == 7
    assert task["attempts"][0]["command"] == ["sh", "-c", "echo out; echo wrong >&2; exit 7"]


def test_environment_time_limit_and_forms(desk: Desk) -> None:
    assert desk.ok("exec", "--env", "WHO=Ada", "--", "sh", "-c", 'echo "$WHO $#"').out == "Ada 0\n"
    late = desk.run("exec", "--timeout", "300ms", "--format", "json", "--", "sleep", "30")
    assert (late.code, late.json["reason"]) == (1, "timeout")
    quiet = desk.ok("exec", "-q", "--", "echo", "hidden")
    assert quiet.out.strip() == desk.json("run", "show", "@latest")["id"]
    assert desk.run("exec", "--timeout", "soon", "--", "true").code == 2
    assert desk.run("exec", "-i", "nowhere.txt", "--", "true").code == 2
    outside = desk.run("exec", "-i", "../above.txt", "--", "true")
    assert outside.code == 2
    assert "below the working directory" in outside.err


def test_two_hyphens_belong_to_the_command(desk: Desk) -> None:
    assert desk.ok("exec", "--", "printf", "%s ", "--home", "-q", "--", "x").out == "--home -q -- x "
