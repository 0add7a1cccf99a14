"""What was recorded, looked at from every side: show, list, tasks, logs, files, lineage, audit, shell."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator

import pytest
import yaml

from tests.cli.terminal import Desk, until

FLOW = """
flow: sales
title: Sales
inputs: {orders: {type: file}, top: {type: integer, default: 10}}
steps:
  clean:
    run: |
      echo cleaning; echo careful >&2
      mkdir -p tree/in; echo leaf > tree/in/leaf.txt; printf '#!/bin/sh\\n' > tree/tool; chmod +x tree/tool
      cat "$orders" > clean.csv; echo rows=2 >> "$RUNNOTARY_OUTPUT"
    with: {orders: "${{ inputs.orders }}"}
    files: [clean.csv]
    dirs: [tree]
    values: {rows: integer}
  each_part:
    for_each: "['a', 'b']"
    run: echo "part $part"; cat "$csv" > part.csv; echo "$part" >> part.csv
    with: {part: "${{ each.value }}", csv: "${{ steps.clean.files['clean.csv'] }}"}
    files: [part.csv]
  report:
    run: echo done > report.txt
    with: {parts: "${{ steps.each_part.files['part.csv'] }}"}
    files: [report.txt]
finally: {bye: {run: echo bye}}
outputs:
  report: "${{ steps.report.files['report.txt'] }}"
  clean: "${{ steps.clean.files['clean.csv'] }}"
"""
FAILS = """
flow: fails
steps:
  bad:
    run: echo "the key is $KEY"; echo "$name" > left.txt; exit 3
    with: {name: Ada}
    env: {KEY: "${{ secrets.API_KEY }}", PLAIN: shown, inherit: [NOWHERE]}
"""
SECRET = "correct-horse-battery-staple"


@pytest.fixture(scope="module")
def desk(shared_desk: Desk) -> Iterator[Desk]:
    shared_desk.write("sales.yaml", FLOW)
    shared_desk.write("orders.csv", "a,b\n1,2\n")
    shared_desk.write("fails.yaml", FAILS)
    failed = shared_desk.run("start", "fails.yaml", env={"RUNNOTARY_SECRET_API_KEY": SECRET})
    assert failed.code == 1, failed
    shared_desk.ok("start", "sales.yaml", "-i", "orders=orders.csv", "--label", "first of May", "--tag", "q2")
    return shared_desk


def test_show(desk: Desk) -> None:
    first, *lines = desk.ok("run", "show", "@latest").out.splitlines()
    run = desk.json("run", "show", "@latest")
    assert first.startswith("sales  success in ")
    assert first.endswith(run["id"])
    assert run["log"]["head"][:15] in lines[1]
    assert any(line.split()[:2] == ["each_part[1]", "success"] for line in lines)
    assert any("rows=2" in line for line in lines)
    assert desk.json("run", "show", run["id"][:14].lower()) == run
    assert yaml.safe_load(desk.ok("run", "show", "@latest", "-o", "yaml").out) == run
    assert desk.ok("run", "show", "@latest", "-o", "name").out == f"{run['id']}\n"


def test_list(desk: Desk) -> None:
    runs = desk.json("run", "list")["runs"]
    assert [run["flow"] for run in runs] == ["sales", "fails"]
    assert runs[0] == desk.json("run", "show", "@latest")
    table = desk.ok("run", "list").out.splitlines()
    assert table[0].split() == ["RUN", "FLOW", "STATUS", "STARTED", "TOOK", "LABEL"]
    assert "first of May" in table[1]
    assert desk.ok("run", "list", "-o", "name").out.split() == [run["id"] for run in runs]
    lines = desk.ok("run", "list", "-o", "jsonl").out.splitlines()
    assert [json.loads(line)["id"] for line in lines] == [run["id"] for run in runs]
    for words in (("--status", "failed"), ("--flow", "fails")):
        assert [run["flow"] for run in desk.json("run", "list", *words)["runs"]] == ["fails"]
    for words in (("--label", "of May"), ("--tag", "q2"), ("--limit", "1")):
        assert [run["flow"] for run in desk.json("run", "list", *words)["runs"]] == ["sales"]
    page = desk.json("run", "list", "--limit", "1")
    assert page["has_next"]
    rest = desk.json("run", "list", "--cursor", page["next_cursor"])
    assert [run["flow"] for run in rest["runs"]] == ["fails"]


def test_tasks(desk: Desk) -> None:
    tasks = desk.json("run", "tasks", "@latest")
    assert isinstance(tasks, list)
    assert {task["key"] for task in tasks} == {
        "clean",
        "each_part",
        "each_part[0]",
        "each_part[1]",
        "report",
        "bye",
    }
    one = desk.json("run", "tasks", "@latest", "clean")
    assert one == [task for task in tasks if task["key"] == "clean"]
    wrong = desk.run("run", "tasks", "@latest", "claen")
    assert wrong.code == 3
    assert 'did you mean "clean"' in wrong.err


def test_logs(desk: Desk) -> None:
    assert desk.ok("run", "logs", "@latest", "clean", "--stdout").out == "cleaning\n"
    assert desk.ok("run", "logs", "@latest", "clean", "--stderr").out == "careful\n"
    assert desk.ok("run", "logs", "@latest", "clean").out == "cleaning\ncareful\n"
    assert desk.ok("run", "logs", "@latest", "each_part[1]").out == "part b\n"
    everything = desk.ok("run", "logs", "@latest").out.splitlines()
    assert "clean        | cleaning" in everything
    assert "clean        ! careful" in everything
    assert "each_part[0] | part a" in everything
    assert desk.run("run", "logs", "@latest", "--stdout", "--stderr").code == 2
    assert desk.run("run", "logs", "@latest", "clean", "--attempt", "2").code == 3
    assert {part["task"] for part in desk.json("run", "logs", "@latest")} >= {"clean", "report"}
    entries = desk.json("run", "logs", "@latest", "--entries")
    assert [entry["code"] for entry in entries][:2] == ["run.created", "task.started"]
    assert all(entry.keys() == {"time", "code", "description", "details"} for entry in entries)


def test_logs_are_read_on_while_a_step_runs(desk: Desk) -> None:
    done = desk.path / "finish"
    script = f"echo one; while [ ! -e {done} ]; do sleep 0.05; done; echo two"
    desk.write("talks.yaml", f"flow: talks\nsteps:\n  a:\n    run: {script}\n")
    run = desk.begin("start", "talks.yaml")
    until(lambda: "talks" in desk.run("run", "list", "--status", "running").out, "the run")
    until(lambda: desk.run("run", "logs", "@latest:talks", "a").out == "one\n", "its first line")
    following = desk.begin("run", "logs", "@latest:talks", "a", "-f")
    assert following.stdout is not None
    assert following.stdout.readline() == "one\n"
    done.write_text("")
    assert desk.end(following).out == "two\n"
    assert desk.end(run).code == 0
    assert desk.ok("run", "logs", "@latest:talks", "a", "--tail", "1").out == "two\n"
    desk.ok("start", "sales.yaml", "-i", "orders=orders.csv", "--label", "first of May", "--tag", "q3")


def test_files(desk: Desk) -> None:
    listed = desk.json("run", "files", "@latest")
    assert {file["role"] for file in listed} >= {"input", "output", "stdout", "stderr"}
    assert desk.ok("run", "files", "@latest", "clean").out == "a,b\n1,2\n"
    assert desk.ok("run", "files", "@latest", "report.txt").out == "done\n"
    assert desk.ok("run", "files", "@latest", "each_part[1]/part.csv").out == "a,b\n1,2\nb\n"
    several = desk.run("run", "files", "@latest", "part.csv")
    assert several.code == 2
    assert "each_part[0]/part.csv" in several.err
    assert desk.run("run", "files", "@latest", "nothing").code == 3


def test_files_come_out_as_they_were(desk: Desk) -> None:
    desk.ok("run", "files", "@latest", "--to", "out")
    assert {path.name for path in (desk.path / "out").iterdir()} == {"report.txt", "clean.csv"}
    again = desk.run("run", "files", "@latest", "--to", "out")
    assert (again.code, again.out) == (5, "")
    desk.ok("run", "files", "@latest", "--to", "out", "--force")
    desk.ok("run", "files", "@latest", "--to", "all", "--all")
    leaf, tool = desk.path / "all/clean/tree/in/leaf.txt", desk.path / "all/clean/tree/tool"
    assert leaf.read_text() == "leaf\n"
    assert not leaf.stat().st_mode & stat.S_IXUSR
    assert tool.stat().st_mode & stat.S_IXUSR
    assert leaf.stat().st_mode & stat.S_IWUSR


def test_nothing_is_written_through_a_link(desk: Desk) -> None:
    outside = desk.path / "outside"
    outside.mkdir()
    (desk.path / "trap").mkdir()
    (desk.path / "trap" / "clean").symlink_to(outside)
    done = desk.run("run", "files", "@latest", "--to", "trap", "--all")
    assert done.code == 5
    assert not any(outside.iterdir())


def test_lineage(desk: Desk) -> None:
    text = desk.ok("run", "lineage", "@latest").out
    assert "report.txt ← report ← each_part ← clean ← orders.csv sha256:" in text
    graph = desk.json("run", "lineage", "@latest")
    nodes = {node["id"]: node for node in graph["nodes"]}
    assert all(edge["from"] in nodes and edge["to"] in nodes for edge in graph["edges"])
    used = [(nodes[edge["from"]]["names"], edge["to"]) for edge in graph["edges"] if edge["type"] == "used"]
    for name, task in (("orders.csv", "task:clean"), ("clean.csv", "task:each_part[0]")):
        assert any(name in names and task == to for names, to in used)


def test_audit(desk: Desk) -> None:
    audit = desk.json("run", "audit", "@latest")
    run = desk.json("run", "show", "@latest")
    assert [event["seq"] for event in audit["events"]] == list(range(1, run["log"]["events"] + 1))
    assert audit["log"] == run["log"]
    assert audit["events"][0]["who"] == run["created_by"]
    text = desk.ok("run", "audit", "@latest").out
    assert run["log"]["head"] in text
    assert "run.finished" in text


def test_secrets_are_nowhere(desk: Desk) -> None:
    for words in (("logs",), ("logs", "--entries"), ("audit",), ("show",), ("tasks",)):
        for form in ((), ("-o", "json")):
            done = desk.ok("run", words[0], "@latest:fails", *words[1:], *form)
            assert SECRET not in done.out + done.err
    assert "the key is " in desk.ok("run", "logs", "@latest:fails").out


def test_a_shell_where_the_failed_step_stood(desk: Desk) -> None:
    command = 'pwd; cat left.txt; echo "$name $PLAIN [${KEY:-}]"; exit 9'
    done = desk.run("run", "shell", "@latest:fails", "bad", "--", "sh", "-c", command)
    assert done.code == 9
    folder, left, variables = done.out.splitlines()
    assert folder.startswith(os.path.realpath(desk.home))
    assert (left, variables) == ("Ada", "Ada shown []")
    assert "KEY" in done.err
    assert desk.run("run", "shell", "@latest:fails", "bad").code == 2
    gone = desk.run("run", "shell", "@latest", "clean", "--", "true")
    assert gone.code == 3
    assert "only attempts that failed" in gone.err


def test_flows(desk: Desk) -> None:
    assert {flow["flow"] for flow in desk.json("flow", "list")["flows"]} >= {"sales", "fails"}
    shown, from_file = desk.json("flow", "show", "sales"), desk.json("flow", "show", "sales.yaml")
    assert shown == from_file
    assert shown["definition_hash"] == desk.json("run", "show", "@latest")["definition_hash"]
    assert desk.json("flow", "show", shown["definition_hash"])["definition"] == shown["definition"]
    assert "orders" in desk.ok("flow", "show", "sales").out
    graph = desk.ok("flow", "graph", "sales").out.splitlines()
    assert graph[0] == "clean"
    assert any(line.split()[:3] == ["report", "←", "each_part"] for line in graph)
    assert "  clean --> each_part" in desk.ok("flow", "graph", "sales", "-o", "mermaid").out
    assert '  "clean" -> "each_part";' in desk.ok("flow", "graph", "sales.yaml", "-o", "dot").out


def test_flow_push_and_validate(desk: Desk) -> None:
    desk.write("new.yaml", "flow: pushed\nsteps: {a: {run: 'true'}}\n")
    valid = desk.json("flow", "validate", "new.yaml")
    assert (valid["ok"], valid["flow"], valid["steps"]) == (True, "pushed", 1)
    pushed = desk.json("flow", "push", "new.yaml")
    assert pushed["definition_hash"] == valid["definition_hash"]
    desk.ok("flow", "push", "new.yaml")
    listed = {flow["flow"]: flow for flow in desk.json("flow", "list")["flows"]}
    assert listed["pushed"]["versions"] == 1
    desk.write("bad.yaml", "steps: {a: {rum: x}, b: {run: y, needs: [aa]}}")
    both = desk.run("flow", "validate", "new.yaml", "bad.yaml", "-o", "json")
    assert both.code == 2
    assert [answer["ok"] for answer in both.json] == [True, False]
    assert len(both.json[1]["problems"]) >= 2
    assert "bad.yaml:1:" in both.err


MEASURES = """
flow: measures
steps:
  train:
    run: |
      echo '{"metric": {"loss": 0.5, "rows": 12}}' >> "$RUNNOTARY_REPORT"
      echo '{"metric": {"loss": 0.25}}' >> "$RUNNOTARY_REPORT"
  score: {needs: [train], run: "echo '{\\"metric\\": {\\"auc\\": 0.9}}' >> $RUNNOTARY_REPORT"}
"""


def test_metrics(desk: Desk) -> None:
    desk.write("measures.yaml", MEASURES)
    run = desk.ok("start", "measures.yaml", "-o", "json").json
    assert desk.ok("run", "metrics", run["id"], "-o", "json").json == run["metrics"]
    assert run["metrics"] == {"loss": 0.25, "rows": 12, "auc": 0.9}
    lines = desk.ok("run", "metrics", run["id"]).out.splitlines()
    assert [line.split() for line in lines] == [
        ["METRIC", "VALUE", "TASK"],
        ["auc", "0.9", "score"],
        ["loss", "0.25", "train"],
        ["rows", "12", "train"],
    ]
    assert desk.ok("run", "metrics", run["id"], "-o", "name").out.split() == ["auc", "loss", "rows"]
