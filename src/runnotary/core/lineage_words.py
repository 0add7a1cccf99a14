"""The lineage of one run in words: a sentence for each of its outputs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, Final

from runnotary.core.flow import Flow
from runnotary.core.lineage import blob_of, files_in, sources_of

Json = Any
ARROW: Final = " ← "
FIRST: Final = 12
LAST: Final = 7
"""More than these in a row are not all named."""


def words(flow: Flow, run: Json, tasks: Iterable[Json]) -> list[str]:
    """Return a sentence per output file: `delays.svg ← picture ← table ← … ← flights.csv sha256:77aa…`.

    Steps at the same distance stand together, and at the end stand the inputs that any of them took. Of very
    many only the first and the last are named.
    """
    listed = list(tasks)
    inputs = {blob_of(file) for value in (run["inputs"] or {}).values() for file in files_in(value)}
    makers: dict[str, str] = {}
    taken: set[str] = set()
    given: dict[str, dict[str, str]] = {}
    """Per step: the inputs of the run that it took, by content, with their names."""
    for task in listed:
        for attempt in task["attempts"][-1:]:
            for made in (attempt.get("outputs") or {}).values():
                makers.setdefault(made["blob"], task["step"])
            used = {
                blob_of(file): file["name"]
                for value in attempt["inputs"].values()
                for file in files_in(value)
            }
            taken |= used.keys()
            known = given.setdefault(task["step"], {})
            known |= {blob: name for blob, name in used.items() if blob in inputs}
    ran = {task["step"] for task in listed if task["attempts"] or task["status"] == "success"}
    sources = {name: sources_of(step) & ran for name, step in flow.steps.items() if name in ran}

    @cache
    def behind(step: str) -> str:
        levels = _levels(sources, step) if step else []
        origin = {
            blob: name for level in levels for one in level for blob, name in given.get(one, {}).items()
        }
        parts = _some([", ".join(_some(level)) for level in levels])
        if len(origin) == 1:
            parts += [f"{name} {blob[:11]}…" for blob, name in origin.items()]
        elif origin:
            parts.append(", ".join(_some(sorted(origin.values()))))
        return "".join(f"{ARROW}{part}" for part in parts)

    outputs = [file for value in (run["outputs"] or {}).values() for file in files_in(value)]
    ends = outputs or _last(listed, makers, taken)
    return list(dict.fromkeys(file["name"] + behind(makers.get(blob_of(file), "")) for file in ends))


def _some(found: list[str]) -> list[str]:
    """Return these, or the first and the last of very many with the number of the others."""
    if len(found) <= FIRST + LAST + 1:
        return found
    return [*found[:FIRST], f"… {len(found) - FIRST - LAST} more …", *found[-LAST:]]


def _last(tasks: list[Json], makers: dict[str, str], taken: set[str]) -> Iterator[Json]:
    """Yield the files that no step took: what a run without declared outputs has to show."""
    for task in tasks:
        for attempt in task["attempts"][-1:]:
            for made in (attempt.get("outputs") or {}).values():
                if made["blob"] not in taken and makers[made["blob"]] == task["step"]:
                    yield made


def _levels(sources: dict[str, frozenset[str]], last: str) -> list[list[str]]:
    """Return the steps behind one step, itself first, each as far back as its longest way.

    `sources` are in the order of the flow, in which a step stands after all that it takes from.
    """
    distance = {last: 0}
    for step in reversed(sources):
        if step in distance:
            for source in sources[step]:
                distance[source] = max(distance.get(source, 0), distance[step] + 1)
    levels: dict[int, list[str]] = {}
    for step, far in distance.items():
        levels.setdefault(far, []).append(step)
    return [sorted(levels[far]) for far in sorted(levels)]
