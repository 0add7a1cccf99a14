"""A lineage graph as text, as Mermaid and as DOT.

Rules of this file:

1. Names of files, labels and flows are other people's words: a node's name in a drawing is its number, and
   what stands in a label is written so that no reader of the drawing takes it for anything else.
2. The same graph is the same text. If it is not all there is, its drawing shows that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal

from runnotary.core.words import short_digest, visible

Json = Any
Graph = Mapping[str, Any]
Form = Literal["text", "mermaid", "dot"]
LONGEST: Final = 80
SHORT_RUN: Final = 12
MORE: Final = "there is more than was followed"
NAMELESS: Final = "(no name)"
"""An empty label is none to Mermaid."""

_MERMAID: Final = {
    "file": ('["', '"]'),
    "task": ('(["', '"])'),
    "variable": ('[/"', '"/]'),
    "parameter": ('[/"', '"/]'),
    "run": ('{{"', '"}}'),
}
_DOT: Final = {
    "file": "note",
    "task": "box, style=rounded",
    "variable": "parallelogram",
    "parameter": "parallelogram",
    "run": "hexagon",
}
_PLAIN: Final = frozenset({"used", "generated", "derived"})


def drawn(graph: Graph, form: Form) -> str:
    """Return a graph in one of these forms, with a line break at the end."""
    return "".join(f"{line}\n" for line in _WRITERS[form](graph))


def title(node: Json) -> str:
    """Return what tells a node from others, on one line: a file by its name and digest, a run by its id."""
    name = visible(str(node["name"])) or NAMELESS
    name = name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"
    match node["type"]:
        case "file":
            return f"{name} {short_digest(node['blob'])}" if name != node["blob"] else name
        case "run":
            run = node["run"][:SHORT_RUN]
            return " ".join((*([name] if name != node["run"] else []), run, node.get("status") or "")).strip()
        case "task":
            return f"{name} {node['status']}"
        case "parameter":
            return f"inputs.{name}"
        case _:
            return name


# --- text ------------------------------------------------------------------------------------------


def _text(graph: Graph) -> Iterator[str]:
    """Yield a paragraph for each task or run: what it used, and what came of it."""
    nodes = {node["id"]: node for node in graph["nodes"]}
    into: dict[str, list[Json]] = {}
    out: dict[str, list[Json]] = {}
    for edge in graph["edges"]:
        into.setdefault(edge["to"], []).append(edge)
        out.setdefault(edge["from"], []).append(edge)
    for key, node in nodes.items():
        if node["type"] not in ("task", "run") and not any(e["type"] == "derived" for e in into.get(key, ())):
            continue
        told = [(edge["type"], nodes[edge["from"]]) for edge in into.get(key, ())]
        told += [
            (edge["type"], nodes[edge["to"]]) for edge in out.get(key, ()) if edge["type"] == "generated"
        ]
        if told:
            yield title(node)
            for kind, other in told:
                kind = f"{kind} by" if kind == "triggered" else "derived from" if kind == "derived" else kind
                yield f"  {kind.replace('_', ' ')}  {title(other)}"
    if graph.get("truncated"):
        yield f"{MORE}: ask for more depth, or from a file further on"


# --- Mermaid ---------------------------------------------------------------------------------------


def _mermaid(graph: Graph) -> Iterator[str]:
    yield "flowchart LR"
    numbers = {node["id"]: f"n{index}" for index, node in enumerate(graph["nodes"])}
    for node in graph["nodes"]:
        before, after = _MERMAID[node["type"]]
        yield f"  {numbers[node['id']]}{before}{_in_mermaid(title(node))}{after}"
    for edge in graph["edges"]:
        arrow = "-->" if edge["type"] in _PLAIN else f"-. {edge['type'].replace('_', ' ')} .->"
        yield f"  {numbers[edge['from']]} {arrow} {numbers[edge['to']]}"
    if graph.get("truncated"):
        yield f'  more["{MORE}"]'


def _in_mermaid(text: str) -> str:
    """Write text for a quoted label: every mark that Mermaid, Markdown or HTML could act on by its number."""
    return "".join(letter if letter.isalnum() or letter in " _…" else f"#{ord(letter)};" for letter in text)


# --- DOT -------------------------------------------------------------------------------------------


def _dot(graph: Graph) -> Iterator[str]:
    yield "digraph lineage {"
    yield "  rankdir=LR;"
    numbers = {node["id"]: f"n{index}" for index, node in enumerate(graph["nodes"])}
    for node in graph["nodes"]:
        yield f'  {numbers[node["id"]]} [label="{_in_dot(title(node))}", shape={_DOT[node["type"]]}];'
    for edge in graph["edges"]:
        style = "" if edge["type"] in _PLAIN else f' [style=dashed, label="{edge["type"].replace("_", " ")}"]'
        yield f"  {numbers[edge['from']]} -> {numbers[edge['to']]}{style};"
    if graph.get("truncated"):
        yield f'  more [label="{MORE}", shape=plaintext];'
    yield "}"


_ENTITIES: Final = {"&": "&amp;", '"': "&quot;", "<": "&lt;", ">": "&gt;", "\\": "&#92;"}


def _in_dot(text: str) -> str:
    """Write text for a quoted label; Graphviz reads entities in it, and backslashes as orders."""
    return "".join(_ENTITIES.get(letter, letter) for letter in text)


_WRITERS: Final[dict[str, Callable[[Graph], Iterator[str]]]] = {
    "text": _text,
    "mermaid": _mermaid,
    "dot": _dot,
}
