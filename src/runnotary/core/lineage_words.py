"""The lineage of one run in words: a sentence for each of its outputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from runnotary.core.flow import Flow
from runnotary.core.lineage import blob_of, files_in, sources_of

Json = Any
ARROW: Final = " ← "


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
                used |= {blob_of(file): file["name"] for file in files_in(value)}
    ran = {task["step"] for task in listed if task["attempts"] or task["status"] == "success"}
    outputs = [file for value in (run["outputs"] or {}).values() for file in files_in(value)]
    if not outputs:
        outputs = list(_last(listed, makers, given))
    inputs = {blob_of(file) for v in (run["inputs"] or {}).values() for file in files_in(v)}
    sentences: dict[str, None] = {}
    for file in outputs:
        blob = blob_of(file)
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
