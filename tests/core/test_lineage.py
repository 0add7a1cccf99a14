"""The lineage of one run: a graph without circles, whatever the contents; drawings that no name breaks."""

from __future__ import annotations

import html
import re
from graphlib import TopologicalSorter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runnotary.core import lineage
from runnotary.core.definition import compile, define
from runnotary.core.hashing import digest
from runnotary.core.lineage import graph, reached, ways
from runnotary.core.lineage_drawing import drawn
from runnotary.core.lineage_words import words

Json = Any
RUN = "01HF7YAT3VEX5R00820C20A1G7"
OTHER = "01HF7YAT3VEX5R00820C20A1G8"


def file(content: str, name: str = "f") -> Json:
    return {"$file": digest(content.encode()), "name": name, "size": len(content)}


def made(content: str, name: str) -> Json:
    return {"blob": digest(content.encode()), "name": name, "size": len(content), "tree": False}


def document(**said: Json) -> Json:
    plain = {"id": RUN, "flow": "f", "inputs": {}, "outputs": {}, "parent": None, "links": []}
    return plain | said


def task(key: str, *, used: Json = None, files: Json = None, values: Json = None, **said: Json) -> Json:
    step = key.partition("[")[0]
    attempt = {"with": {}, "inputs": used or {}, "outputs": files or {}}
    plain = {"key": key, "step": step, "status": "success", "variables": values or {}, "attempts": [attempt]}
    return plain | said


def flow_of(steps: Json, **said: Json) -> Any:
    return compile(define({"steps": steps, **said}).document)


def ordered(found: Json) -> list[str]:
    """Return the nodes in an order that no edge contradicts; there is none if an edge leads back."""
    sorter = TopologicalSorter[str]({node["id"]: () for node in found["nodes"]})
    for edge in found["edges"]:
        sorter.add(edge["to"], edge["from"])
    order = list(sorter.static_order())
    assert sorted(order) == sorted(node["id"] for node in found["nodes"]), "an edge leads to no node"
    return order


def edges(found: Json, kind: str) -> set[tuple[str, str]]:
    return {(edge["from"], edge["to"]) for edge in found["edges"] if edge["type"] == kind}


CLEAN = {
    "clean": {
        "run": "true",
        "with": {"orders": "${{ inputs.orders }}"},
        "files": ["clean.csv"],
        "values": {"rows": "integer"},
    },
    "report": {
        "run": "true",
        "with": {
            "csv": "${{ steps.clean.files['clean.csv'] }}",
            "rows": "${{ steps.clean.values.rows }}",
            "top": "${{ inputs.top }}",
        },
        "files": ["report.txt"],
    },
}
TAKES = {"orders": {"type": "file"}, "top": {"type": "integer", "default": 3}}


def a_run() -> Json:
    outputs = {"report": "${{ steps.report.files['report.txt'] }}", "rows": "${{ steps.clean.values.rows }}"}
    flow = flow_of(CLEAN, inputs=TAKES, outputs=outputs)
    run = document(
        inputs={"orders": file("orders", "orders.csv"), "top": 3},
        outputs={"report": file("report", "report.txt"), "rows": 2},
        parent={"run": OTHER, "task": "child"},
        links=[{"run": OTHER, "rel": "previous"}],
    )
    clean, report = digest(b"clean"), made("report", "report.txt")
    tasks = [
        task(
            "clean",
            used={"orders": file("orders", "orders.csv")},
            files={"clean.csv": {**made("clean", "clean.csv"), "blob": clean}},
            values={"rows": 2},
        ),
        task("report", used={"csv": file("clean", "clean.csv")}, files={"report.txt": report}),
    ]
    return graph(flow, run, tasks), words(flow, run, tasks)


def test_every_kind_of_node_and_edge() -> None:
    found, said = a_run()
    orders, clean, report = (f"file:{digest(name.encode())}" for name in ("orders", "clean", "report"))
    assert {(node["type"], node["id"]) for node in found["nodes"]} == {
        ("run", f"run:{RUN}"),
        ("run", f"run:{OTHER}"),
        ("file", orders),
        ("file", clean),
        ("file", report),
        ("task", "task:clean"),
        ("task", "task:report"),
        ("parameter", "parameter:top"),
        ("variable", "variable:clean.rows"),
        ("variable", "variable:outputs.rows"),
    }
    assert edges(found, "used") == {
        (orders, "task:clean"),
        (clean, "task:report"),
        ("variable:clean.rows", "task:report"),
        ("parameter:top", "task:report"),
    }
    assert edges(found, "generated") == {
        ("task:clean", clean),
        ("task:clean", "variable:clean.rows"),
        ("task:report", report),
    }
    assert edges(found, "derived") == {("variable:clean.rows", "variable:outputs.rows")}
    assert edges(found, "triggered") == {(f"run:{OTHER}", f"run:{RUN}")}
    assert edges(found, "continued_from") == {(f"run:{OTHER}", f"run:{RUN}")}
    nodes = {node["id"]: node for node in found["nodes"]}
    assert [nodes[one]["external"] for one in (orders, clean, report)] == [True, False, False]
    assert nodes[orders]["roles"] == {"input": ["orders"]}
    assert nodes[report]["roles"] == {"output": ["report"]}
    assert said == ["report.txt ← report ← clean ← orders.csv sha256:" + digest(b"orders")[7:11] + "…"]
    ordered(found)


def test_the_files_that_nothing_used_are_the_ends() -> None:
    found, _ = a_run()
    left = {edge["from"] for edge in found["edges"]}
    ends = {n["id"] for n in found["nodes"] if n["type"] == "file" and n["id"] not in left}
    assert ends == {f"file:{digest(b'report')}"}


def test_a_parent_that_is_also_the_run_before_keeps_both_edges() -> None:
    found, _ = a_run()
    between = [edge["type"] for edge in found["edges"] if edge["to"] == f"run:{RUN}"]
    assert between == ["triggered", "continued_from"]


def test_content_that_is_made_again_is_a_node_of_its_own() -> None:
    """orders → packed → orders: by content alone a circle."""
    steps = {
        "pack": {"run": "true", "with": {"f": "${{ inputs.orders }}"}, "files": ["p"]},
        "unpack": {"run": "true", "with": {"f": "${{ steps.pack.files['p'] }}"}, "files": ["u"]},
        "last": {"run": "true", "with": {"f": "${{ steps.unpack.files['u'] }}"}},
    }
    tasks = [
        task("pack", used={"f": file("orders")}, files={"p": made("packed", "p")}),
        task("unpack", used={"f": file("packed")}, files={"u": made("orders", "u")}),
        task("last", used={"f": file("orders")}),
    ]
    flow = flow_of(steps, inputs={"orders": {"type": "file"}})
    found = graph(flow, document(inputs={"orders": file("orders")}), tasks)
    ordered(found)
    orders = f"file:{digest(b'orders')}"
    assert ("task:unpack", f"{orders}@unpack") in edges(found, "generated")
    assert (f"{orders}@unpack", "task:last") in edges(found, "used"), "its step says which of the two it took"


def test_each_item_comes_from_its_own_file() -> None:
    steps = {
        "one": {
            "for_each": "inputs.parts",
            "run": "true",
            "with": {"f": "${{ each.value }}"},
            "files": ["out"],
        },
    }
    parts = [file("a"), file("b")]
    tasks = [
        task("one", attempts=[], count=2),
        task("one[0]", used={"f": parts[0]}, files={"out": made("A", "out")}),
        task("one[1]", used={"f": parts[1]}, files={"out": made("B", "out")}),
    ]
    flow = flow_of(steps, inputs={"parts": {"type": "array"}})
    found = graph(flow, document(inputs={"parts": parts}), tasks)
    ordered(found)
    nodes = [f"file:{digest(content)}" for content in (b"a", b"b", b"A", b"B")]
    assert edges(found, "triggered") == {("task:one", "task:one[0]"), ("task:one", "task:one[1]")}
    assert reached(ways(found, back=True), [nodes[2]]) & set(nodes) == {nodes[0], nodes[2]}
    assert reached(ways(found, back=False), [nodes[1]]) & set(nodes) == {nodes[1], nodes[3]}


def fan_outs(count: int, second: Json) -> Json:
    """Return the graph of a fan-out over what another fan-out made."""
    steps = {
        "one": {
            "for_each": "inputs.parts",
            "run": "true",
            "with": {"f": "${{ each.value }}"},
            "files": ["out"],
        },
        "two": {"for_each": "steps.one.files['out']"} | second,
    }
    parts = [file(f"i{at}") for at in range(count)]
    tasks = [task("one", attempts=[], count=count), task("two", attempts=[], count=count)]
    for at in range(count):
        tasks.append(task(f"one[{at}]", used={"f": parts[at]}, files={"out": made(f"o{at}", "out")}))
        said: Json = (
            {"used": {"f": file(f"o{at}")}} if "run" in second else {"attempts": [], "values": {"x": at}}
        )
        tasks.append(task(f"two[{at}]", **said))
    tasks.sort(key=lambda one: one["step"])
    flow = flow_of(steps, inputs={"parts": {"type": "array"}})
    return graph(flow, document(inputs={"parts": parts}), tasks)


def test_what_a_step_names_is_found_once_for_all_its_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []
    plain = lineage._Graph._sources

    def counted(building: Any, expressions: Any) -> list[str]:
        asked.append(expressions)
        return plain(building, expressions)

    monkeypatch.setattr(lineage._Graph, "_sources", counted)
    fan_outs(50, {"run": "true", "with": {"f": "${{ each.value }}"}})
    assert len(asked) <= 4


def test_a_fan_out_that_no_attempt_carries_out_has_the_edges_of_all() -> None:
    """An edge from each file to each of its tasks would be as many as the square of the files."""
    found = fan_outs(50, {"set": {"x": "${{ each.value.size }}"}})
    ordered(found)
    assert len(found["edges"]) < 50 * 8
    behind = reached(ways(found, back=True), ["variable:two.x"])
    assert f"file:{digest(b'i7')}" in behind, "and what it came from is still found"


def test_a_file_is_given_under_each_name_once() -> None:
    parts = [file("same", "a"), file("same", "b"), file("same", "a")]
    flow = flow_of({"s": {"run": "true"}}, inputs={"parts": {"type": "array"}})
    found = graph(flow, document(inputs={"parts": parts}), [])
    (node,) = (one for one in found["nodes"] if one["type"] == "file")
    assert (node["names"], node["roles"]) == (["a", "b"], {"input": ["parts"]})


def test_of_very_many_the_words_name_the_first_and_the_last() -> None:
    steps: Json = {"s0": {"run": "true", "with": {"f": "${{ inputs.parts }}"}, "files": ["o"]}}
    parts = [file(f"i{at}", f"part {at:03}") for at in range(100)]
    tasks = [task("s0", used={"f": parts}, files={"o": made("o0", "o")})]
    for at in range(1, 100):
        steps[f"s{at}"] = {
            "run": "true",
            "with": {"f": f"${{{{ steps.s{at - 1}.files['o'] }}}}"},
            "files": ["o"],
        }
        tasks.append(task(f"s{at}", used={"f": file(f"o{at - 1}")}, files={"o": made(f"o{at}", "o")}))
    flow = flow_of(steps, inputs={"parts": {"type": "array"}})
    (said,) = words(flow, document(inputs={"parts": parts}), tasks)
    chain = said.split(" ← ")
    assert chain[:2] == ["o", "s99"] and chain[12:15] == ["s88", "… 81 more …", "s6"]
    assert chain[-2] == "s0" and chain[-1].startswith("part 000, ") and "… 81 more …" in chain[-1]


@given(st.data())
def test_no_contents_make_a_circle(data: st.DataObject) -> None:
    """Steps take and give any of three contents, each from any steps before it."""
    contents = st.sampled_from("abc")
    steps: Json = {}
    tasks = []
    for number in range(data.draw(st.integers(1, 8))):
        name, used = f"s{number}", {}
        before = data.draw(st.lists(st.sampled_from([*steps, "inputs"]), unique=True, max_size=3))
        texts = {
            f"w{at}": "${{ inputs.i }}" if one == "inputs" else f"${{{{ steps.{one}.files['o'] }}}}"
            for at, one in enumerate(before)
        }
        for at in texts:
            used[at] = file(data.draw(contents))
        steps[name] = {"run": "true", "with": texts, "files": ["o"]}
        tasks.append(task(name, used=used, files={"o": made(data.draw(contents), "o")}))
    flow = flow_of(steps, inputs={"i": {"type": "file"}})
    order = {name: at for at, name in enumerate(flow.steps)}
    tasks.sort(key=lambda one: order[one["step"]])
    ordered(graph(flow, document(inputs={"i": file(data.draw(contents))}), tasks))


# --- drawings --------------------------------------------------------------------------------------

NAMES = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        [
            '"]; click n0 "javascript:alert(1)',
            '"];\nn0 --> n1',
            "end",
            "`**bold**`",
            "%%{init: {}}%%",
            '", shape=none, URL="javascript:1"]; a [label="',
            "</script><script>alert(1)</script>",
            "\\N\\G\\l",
            "\\",
            "&lt;b&gt;",
            "#quot;#35;",
            "‮gnp.exe",
            "a\x00b\x1b[31m",
        ]
    ),
)
LABEL = r'"(?:[^\W_]|[ _…]|#\d+;)+"'  # not empty: Mermaid takes an empty label for an error
IN_MERMAID = re.compile(
    rf"flowchart LR|  n\d+(\[{LABEL}\]|\(\[{LABEL}\]\)|\[/{LABEL}/\]|\{{\{{{LABEL}\}}\}})"
    r"|  n\d+ (-->|-\. [a-z ]+ \.->) n\d+"
)
IN_DOT = re.compile(
    r'digraph lineage \{|  rankdir=LR;|\}|  n\d+ \[label="[^"\\<>\n]*", shape=[a-z, =]+\];'
    r'|  n\d+ -> n\d+( \[style=dashed, label="[a-z ]+"\])?;'
)


def named(name: str) -> Json:
    return {
        "nodes": [
            {"id": "f", "type": "file", "name": name, "blob": digest(b"x"), "size": 1},
            {"id": "t", "type": "task", "name": name, "status": "success"},
            {"id": "v", "type": "variable", "name": name},
            {"id": "p", "type": "parameter", "name": name},
            {"id": "r", "type": "run", "name": name, "run": RUN},
        ],
        "edges": [
            {"from": "f", "to": "t", "type": "used"},
            {"from": "t", "to": "v", "type": "generated"},
            {"from": "r", "to": "t", "type": "triggered"},
        ],
    }


@given(NAMES)
def test_no_name_says_anything_in_a_drawing(name: str) -> None:
    for form, allowed in (("mermaid", IN_MERMAID), ("dot", IN_DOT)):
        written = drawn(named(name), form)  # type: ignore[arg-type]
        assert all(allowed.fullmatch(line) for line in written.splitlines()), written
        assert len(written.splitlines()) == {"mermaid": 9, "dot": 11}[form]
    text = drawn(named(name), "text")
    assert len(text.splitlines()) == 4 and "\x1b" not in text and "\x00" not in text


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=30))
def test_what_is_drawn_reads_as_it_was(name: str) -> None:
    lines = {form: drawn(named(name), form).splitlines() for form in ("mermaid", "dot")}  # type: ignore[arg-type]
    shown = re.sub(r"#(\d+);", lambda code: chr(int(code[1])), lines["mermaid"][3])
    assert shown == f'  n2[/"{name}"/]'
    assert html.unescape(lines["dot"][4]).startswith(f'  n2 [label="{name}", shape=')


def test_a_drawing_of_a_part_shows_that_it_is_one() -> None:
    part = named("a") | {"truncated": True}
    assert drawn(part, "text").splitlines()[-1].startswith("there is more")
    assert drawn(part, "mermaid").splitlines()[-1] == '  more["there is more than was followed"]'
    *_, line, end = drawn(part, "dot").splitlines()
    assert (line.split(",")[0], end) == ('  more [label="there is more than was followed"', "}")
    assert not any("there is more" in drawn(named("a"), form) for form in ("text", "mermaid", "dot"))  # type: ignore[arg-type]
