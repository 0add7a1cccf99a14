"""The lineage of one run: which file came from which, through which step. As a graph, and as words.

Nodes are files (by content) and tasks. An edge leads from a file to the task that `used` it, from a task to
the file it `made`, and from a task to one that it `informed`: an expression of the later one names the
earlier, for a file or for a value. A value has no content to follow, but so its origin is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from runnotary.core.flow import Flow, Step

Json = Any
ARROW: Final = " ← "


def graph(flow: Flow, run: Json, tasks: Iterable[Json]) -> Json:
    """Return `{"nodes": […], "edges": […]}` from a run's document and its tasks' documents."""
    building = _Graph()
    for name, value in (run["inputs"] or {}).items():
        for file in _files(value):
            building.file(file, role="input", name=name)
    for name, value in (run["outputs"] or {}).items():
        for file in _files(value):
            building.file(file, role="output", name=name)
    ended = [task for task in tasks if task["attempts"] or task["status"] == "success"]
    present = {task["step"] for task in ended}
    for task in ended:
        building.task(task)
        for source in sorted(sources_of(flow.steps[task["step"]]) & present):
            building.edge(f"task:{source}", f"task:{task['key']}", "informed")
    return {"run": run["id"], "nodes": list(building.nodes.values()), "edges": list(building.edges.values())}


class _Graph:
    def __init__(self) -> None:
        self.nodes: dict[str, Json] = {}
        self.edges: dict[tuple[str, str, str], Json] = {}

    def file(self, file: Json, *, role: str, name: str) -> str:
        """Note a file value; one content is one node, whatever it is called."""
        blob = file.get("$file") or file.get("$dir") or file["blob"]
        key = f"file:{blob}"
        node = self.nodes.setdefault(
            key, {"id": key, "kind": "file", "blob": blob, "size": file["size"], "names": [], "roles": {}}
        )
        if file["name"] not in node["names"]:
            node["names"].append(file["name"])
        if role in ("input", "output"):
            node["roles"].setdefault(role, []).append(name)
        return key

    def task(self, task: Json) -> None:
        key = f"task:{task['key']}"
        step, status = task["step"], task["status"]
        self.nodes[key] = {"id": key, "kind": "task", "task": task["key"], "step": step, "status": status}
        if not task["attempts"]:
            return
        attempt = task["attempts"][-1]
        for name, value in attempt["inputs"].items():
            for file in _files(value):
                self.edge(self.file(file, role="used", name=name), key, "used", name)
        for name, made in (attempt.get("outputs") or {}).items():
            self.edge(key, self.file(made, role="made", name=name), "made", name)

    def edge(self, source: str, target: str, kind: str, name: str = "") -> None:
        edge = {"from": source, "to": target, "kind": kind}
        self.edges[source, target, kind] = edge | ({"as": name} if name else {})


def _files(value: Json) -> list[Json]:
    """Return the file values in a value that is one, or a list of them."""
    some = value if isinstance(value, list) else [value]
    return [one for one in some if isinstance(one, dict) and ("$file" in one or "$dir" in one)]


def sources_of(step: Step) -> frozenset[str]:
    """Return the steps whose values or files this one takes; order alone is no origin."""
    expressions = [*step.with_.values(), *step.env.values(), *step.stage.values(), *step.set.values()]
    expressions += [one for one in (step.for_each, step.wait_ms) if one is not None]
    return frozenset().union(*(expression.steps for expression in expressions))


# --- words -----------------------------------------------------------------------------------------


def words(flow: Flow, run: Json, tasks: Iterable[Json]) -> list[str]:
    """Return a sentence per output file: `delays.svg ← picture ← table ← … ← flights.csv sha256:77aa…`.

    Steps at the same distance stand together, and at the end stand the inputs that any of them took.
    """
    listed = list(tasks)
    makers: dict[str, str] = {}
    given: dict[str, dict[str, str]] = {}
    for task in listed:
        for attempt in task["attempts"][-1:]:
            for made in (attempt.get("outputs") or {}).values():
                makers.setdefault(made["blob"], task["step"])
            used = given.setdefault(task["step"], {})
            for value in attempt["inputs"].values():
                used |= {file.get("$file") or file["$dir"]: file["name"] for file in _files(value)}
    ran = {task["step"] for task in listed if task["attempts"] or task["status"] == "success"}
    outputs = [file for value in (run["outputs"] or {}).values() for file in _files(value)]
    if not outputs:
        outputs = list(_last(listed, makers, given))
    inputs = {file.get("$file") or file["$dir"] for v in (run["inputs"] or {}).values() for file in _files(v)}
    sentences: dict[str, None] = {}
    for file in outputs:
        blob = file.get("$file") or file.get("$dir") or file["blob"]
        levels = _levels(flow, makers.get(blob, ""), ran)
        taken = {
            known: name for level in levels for step in level for known, name in given.get(step, {}).items()
        }
        origin = sorted((name, known) for known, name in taken.items() if known in inputs)
        parts = [file["name"], *(", ".join(level) for level in levels)]
        if len(origin) == 1:
            parts.append(f"{origin[0][0]} {origin[0][1][:11]}…")
        elif origin:
            parts.append(", ".join(name for name, _ in origin))
        sentences[ARROW.join(parts)] = None
    return list(sentences)


def _last(tasks: list[Json], makers: dict[str, str], given: dict[str, dict[str, str]]) -> Iterator[Json]:
    """Yield the files that no step took: what a run without declared outputs has to show."""
    taken = set().union(*given.values())
    for task in tasks:
        for attempt in task["attempts"][-1:]:
            for made in (attempt.get("outputs") or {}).values():
                if made["blob"] not in taken and makers[made["blob"]] == task["step"]:
                    yield made


def _levels(flow: Flow, last: str, ran: set[str]) -> list[list[str]]:
    """Return the steps behind one step, itself first, each as far back as its longest way."""
    distance: dict[str, int] = {}
    wave = {last} if last else set()
    while wave:
        far = max(distance.values(), default=-1) + 1
        for step in wave:
            distance[step] = far
        wave = {source for step in wave for source in sources_of(flow.steps[step]) if source in ran}
    levels: dict[int, list[str]] = {}
    for step, far in distance.items():
        levels.setdefault(far, []).append(step)
    return [sorted(levels[far]) for far in sorted(levels)]
