"""The lineage of one run: what came from what, through which step, as a graph. In words: `lineage_words.py`.

Rules of this file:

1. Nodes are `file` (by content), `task`, `variable` (what a step wrote or an output holds, if it is no
   file), `parameter` (an input that is no file) and `run`. Edges lead from what was there first to what came
   of it: `used` into a task, `generated` out of one, `derived` into an output, `triggered` from a run or a
   fan-out to what it began, `continued_from` from the run that this one follows.
2. There is no way around in a circle. Tasks come in the order of the flow; content that a task makes again
   after somebody used it is a node of its own, `file:sha256:…@TASK`.
3. What an attempt used and made is what the record says of it. For what has no attempt (a step that only
   sets values) it is what its expressions name; of a fan-out of such, the fan-out has the edges for all.
4. What a step names is found once for all its tasks, so that a graph costs its nodes and edges and no more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Literal, NamedTuple

from runnotary.core.flow import Expression, Flow, Step
from runnotary.core.references import Part

Json = Any
Graph = dict[str, Any]
Direction = Literal["up", "down", "both"]
"""From a content to where it came from, to what came of it, or to both."""

DEPTH: Final = 10
"""Runs in a row that are followed if nobody says otherwise."""

DEPTH_MAX: Final = 100

OF_DATA: Final = frozenset({"used", "generated", "derived"})
"""Edges that say what came of what; the others say who began what."""


def graph(flow: Flow, run: Json, tasks: Iterable[Json]) -> Graph:
    """Return `{"run", "nodes", "edges"}` from a run's document and those of its tasks, in their order."""
    building = _Graph(run)
    for name, value in (run["inputs"] or {}).items():
        building.given(name, value)
    for task in tasks:
        if task["attempts"] or task["status"] == "success" or task.get("count") is not None:
            building.task(flow.steps[task["step"]], task)
    for name, value in (run["outputs"] or {}).items():
        building.output(name, value, flow.outputs.get(name))
    return building.done()


class _Named(NamedTuple):
    """What the expressions of a step name: the steps, and the nodes of which some are no files."""

    steps: frozenset[str]
    nodes: list[str]
    values: list[str]


class _Graph:
    def __init__(self, run: Json) -> None:
        self._inputs: Final[dict[str, Json]] = run["inputs"] or {}
        self._nodes: Final[dict[str, Json]] = {}
        self._edges: Final[dict[tuple[str, str, str], Json]] = {}
        self._left: Final[set[str]] = set()
        """Nodes that an edge leads away from."""
        self._made: Final[dict[str, dict[str, str]]] = {}
        """Per content: the node that each step made of it, the newest last."""
        self._files: Final[dict[str, dict[str, list[str]]]] = {}
        """Per step: its files by name, as nodes."""
        self._values: Final[dict[str, list[str]]] = {}
        """Per step: what it wrote, as nodes."""
        self._parameters: Final[list[str]] = []
        self._named_by: Final[dict[str, _Named]] = {}
        self._run = f"run:{run['id']}"
        self._text: Final[str] = run["id"]
        self._add_run(run["id"], run["flow"] or run["id"], external=False)
        if run["parent"]:
            self._link(run["parent"]["run"], "triggered", run["parent"]["task"])
        for link in run["links"]:
            self._link(link["run"], "continued_from", link["rel"])

    def done(self) -> Graph:
        """Return the graph; a file that no task of this run made came from outside."""
        made = {edge["to"] for edge in self._edges.values() if edge["type"] == "generated"}
        for node in self._nodes.values():
            if node["type"] == "file":
                node["external"] = node["id"] not in made
                node["names"] = list(node["names"])
                node["roles"] = {role: list(names) for role, names in node["roles"].items()}
        return {"run": self._text, "nodes": list(self._nodes.values()), "edges": list(self._edges.values())}

    # --- runs ----------------------------------------------------------------------------------------

    def _add_run(self, run: str, name: str, *, external: bool) -> str:
        key = f"run:{run}"
        known = {"id": key, "type": "run", "name": name, "run": run, "external": external}
        self._nodes.setdefault(key, known)
        return key

    def _link(self, run: str, kind: str, name: str) -> None:
        if run != self._text:
            self._edge(self._add_run(run, run, external=True), self._run, kind, name)

    # --- inputs and outputs --------------------------------------------------------------------------

    def given(self, name: str, value: Json) -> None:
        """Take in an input: its files, or a parameter."""
        files = list(files_in(value))
        for file in files:
            self._role(self._file(file), "input", name, file)
        if not files:
            key = f"parameter:{name}"
            self._nodes[key] = {"id": key, "type": "parameter", "name": name}
            self._parameters.append(key)

    def output(self, name: str, value: Json, expression: Expression | None) -> None:
        """Take in an output: its files, or what its value was derived from."""
        steps = frozenset() if expression is None else expression.steps
        files = list(files_in(value))
        for file in files:
            self._role(self._content(file, steps), "output", name, file)
        if files or value is None:
            return
        node = self._variable("outputs", name)
        for source in self._sources(() if expression is None else (expression,)):
            self._edge(source, node, "derived")

    def _role(self, node: str, role: str, name: str, file: Json) -> None:
        found = self._nodes[node]
        found["names"][file["name"]] = None
        found["roles"].setdefault(role, {})[name] = None

    # --- tasks ---------------------------------------------------------------------------------------

    def task(self, step: Step, task: Json) -> None:
        """Take in a task: what it used, then what it made."""
        key = f"task:{task['key']}"
        self._nodes[key] = {
            "id": key,
            "type": "task",
            "name": task["key"],
            "task": task["key"],
            "step": task["step"],
            "status": task["status"],
        }
        named, before = self._named_of(step), len(self._edges)
        attempt = task["attempts"][-1] if task["attempts"] else None
        fans_out = attempt is None and task.get("count") is not None
        visit = task["key"] != task["step"]
        if visit:
            self._edge(f"task:{task['step']}", key, "triggered")
        if attempt is not None:
            for name, value in {**attempt.get("with", {}), **attempt["inputs"]}.items():
                for file in files_in(value):
                    self._edge(self._content(file, named.steps), key, "used", name)
            sources = named.values
        elif fans_out and step.argv:
            sources = self._sources(_each(step))
        else:
            sources = [] if visit else named.nodes
        for source in sources:
            self._edge(source, key, "used")
        if len(self._edges) == before:
            self._edge(self._run, key, "triggered")
        if not fans_out:
            self._made_by(task, key, attempt)

    def _named_of(self, step: Step) -> _Named:
        """Return what a step names; all before it is told by now, and nothing is added to that."""
        if step.name not in self._named_by:
            nodes = self._sources([*_expressions(step), *_each(step)])
            values = [node for node in nodes if not node.startswith("file:")]
            self._named_by[step.name] = _Named(sources_of(step), nodes, values)
        return self._named_by[step.name]

    def _made_by(self, task: Json, key: str, attempt: Json) -> None:
        files = self._files.setdefault(task["step"], {})
        for name, made in ((attempt or {}).get("outputs") or {}).items():
            node = self._made_file(made, task)
            self._edge(key, node, "generated", name)
            files.setdefault(name, []).append(node)
        for name, value in (task["variables"] or {}).items():
            if not any(files_in(value)):
                node = self._variable(task["step"], name)
                self._edge(key, node, "generated")
                if attempt is None and task["key"] != task["step"]:
                    self._edge(f"task:{task['step']}", node, "generated")

    # --- nodes ---------------------------------------------------------------------------------------

    def _file(self, file: Json, again: str = "") -> str:
        """Return the node of a content, made if it is not there."""
        blob = blob_of(file)
        key = f"file:{blob}" + (f"@{again}" if again else "")
        if key not in self._nodes:
            self._nodes[key] = {
                "id": key,
                "type": "file",
                "name": file["name"],
                "blob": blob,
                "size": file["size"],
                "names": {file["name"]: None},
                "roles": {},
                "external": True,
            }
        return key

    def _made_file(self, file: Json, task: Json) -> str:
        """Return the node of what a task made: that of its content, unless somebody used that before."""
        key = f"file:{blob_of(file)}"
        taken = key in self._left or "input" in self._nodes.get(key, {}).get("roles", {})
        node = self._file(file, task["key"] if taken else "")
        self._nodes[node]["names"][file["name"]] = None
        makers = self._made.setdefault(blob_of(file), {})
        makers.pop(task["step"], None)
        makers[task["step"]] = node
        return node

    def _content(self, file: Json, steps: frozenset[str]) -> str:
        """Return the node of a content as whoever refers to these steps sees it."""
        makers = self._made.get(blob_of(file), {})
        return next((makers[step] for step in reversed(makers) if step in steps), "") or self._file(file)

    def _variable(self, of: str, name: str) -> str:
        key = f"variable:{of}.{name}"
        if key not in self._nodes:
            self._nodes[key] = {"id": key, "type": "variable", "name": f"{of}.{name}"}
            self._values.setdefault(of, []).append(key)
        return key

    def _sources(self, expressions: Iterable[Expression]) -> list[str]:
        """Return the nodes that some expressions name, each once."""
        found: dict[str, None] = {}
        for expression in expressions:
            for reference in expression.references:
                found.update(dict.fromkeys(self._named(reference.parts)))
        return list(found)

    def _named(self, parts: tuple[Part, ...]) -> Iterator[str]:
        match parts:
            case ("inputs", str(name), *_) if f"parameter:{name}" in self._nodes:
                yield f"parameter:{name}"
            case ("inputs", str(name), *_):
                yield from (self._file(file) for file in files_in(self._inputs.get(name)))
            case ("inputs",):
                yield from (self._file(file) for value in self._inputs.values() for file in files_in(value))
                yield from self._parameters
            case ("steps", str(step), "files", str(name), *_):
                yield from self._files.get(step, {}).get(name, ())
            case ("steps", str(step), *rest):
                yield from self._of_step(step, rest)

    def _of_step(self, step: str, rest: list[Part]) -> Iterator[str]:
        """Yield what a step wrote: one value, or all if the name is of none."""
        if len(rest) > 1 and f"variable:{step}.{rest[1]}" in self._nodes:
            yield f"variable:{step}.{rest[1]}"
            return
        yield from (node for some in self._files.get(step, {}).values() for node in some)
        yield from self._values.get(step, ())

    def _edge(self, source: str, target: str, kind: str, name: str = "") -> None:
        edge = {"from": source, "to": target, "type": kind}
        self._edges[source, target, kind] = edge | ({"as": name} if name else {})
        self._left.add(source)


def blob_of(file: Json) -> str:
    """Return the digest that a file value, or a file of an attempt, names."""
    return str(file.get("$file") or file.get("$dir") or file["blob"])


def files_in(value: Json) -> Iterator[Json]:
    """Yield the file values in a value, in its order; it may be nested as deeply as its writer liked."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, dict) and ("$file" in one or "$dir" in one):
            yield one
        elif isinstance(one, dict):
            left += reversed(one.values())
        elif isinstance(one, list):
            left += reversed(one)


def sources_of(step: Step) -> frozenset[str]:
    """Return the steps whose values or files this one takes; order alone is no origin."""
    return frozenset().union(*(expression.steps for expression in (*_expressions(step), *_each(step))))


def _expressions(step: Step) -> list[Expression]:
    given = [*step.with_.values(), *step.env.values(), *step.stage.values(), *step.set.values()]
    given += step.approve.show.values() if step.approve is not None else ()
    return [*given, *([step.wait_ms] if step.wait_ms is not None else [])]


def _each(step: Step) -> list[Expression]:
    return [] if step.for_each is None else [step.for_each]


# --- along the edges ---------------------------------------------------------------------------------


def ways(found: Mapping[str, Json], *, back: bool) -> dict[str, list[str]]:
    """Return per node of a graph what came of it at once or, going back, what it came from."""
    nexts: dict[str, list[str]] = {}
    for edge in found["edges"]:
        if edge["type"] in OF_DATA:
            source, target = (edge["to"], edge["from"]) if back else (edge["from"], edge["to"])
            nexts.setdefault(source, []).append(target)
    return nexts


def reached(nexts: Mapping[str, Iterable[str]], starts: Iterable[str]) -> set[str]:
    """Return these nodes and all that the ways lead to from them."""
    seen: set[str] = set()
    left = list(starts)
    while left:
        node = left.pop()
        if node not in seen:
            seen.add(node)
            left += nexts.get(node, ())
    return seen
