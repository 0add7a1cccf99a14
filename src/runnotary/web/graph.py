"""A flow as a drawing: steps from left to right by what they wait for. Numbers only; the template draws.

Rules of this file:

1. A step stands right of everything it waits for; `finally` steps stand right of all others.
2. Within a column, a step stands near the middle of what it waits for. That is all: the table beside the
   drawing says the rest.
"""

from __future__ import annotations

from typing import Final

import msgspec

from runnotary.core.flow import Flow

STEPS_MOST: Final = 80
WIDTH, HEIGHT, ACROSS, DOWN, MARGIN = 156, 28, 212, 42, 8
NAME_WIDTH: Final = 19


class Node(msgspec.Struct, frozen=True):
    """A step: where it stands, and what it is."""

    name: str
    shown: str
    x: int
    y: int
    repeated: bool
    cleanup: bool


class Edge(msgspec.Struct, frozen=True):
    """From a step to one that waits for it: a curve; `weak` if only the order matters."""

    path: str
    weak: bool


class Drawing(msgspec.Struct, frozen=True):
    """Nodes and edges, and how large the paper is."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    width: int
    height: int


def drawing(flow: Flow) -> Drawing | None:
    """Return the drawing of a flow; None if it has more steps than a drawing could show."""
    if len(flow.steps) > STEPS_MOST:
        return None
    columns = _columns(flow)
    places: dict[str, tuple[int, int]] = {}
    for number, names in enumerate(columns):
        ordered = sorted(names, key=lambda name: (_middle(flow, name, places), name))
        for row, name in enumerate(ordered):
            places[name] = (MARGIN + number * ACROSS, MARGIN + row * DOWN)
    nodes = tuple(
        Node(
            name=step.name,
            shown=step.name if len(step.name) <= NAME_WIDTH else f"{step.name[: NAME_WIDTH - 1]}…",
            x=places[step.name][0],
            y=places[step.name][1],
            repeated=step.for_each is not None,
            cleanup=step.cleanup,
        )
        for step in flow.steps.values()
    )
    edges = tuple(
        Edge(_curve(places[before], places[step.name]), weak=before not in step.needs)
        for step in flow.steps.values()
        for before in step.before
    )
    tallest = max(map(len, columns), default=1)
    return Drawing(
        nodes,
        edges,
        (len(columns) - 1) * ACROSS + WIDTH + 2 * MARGIN,
        (tallest - 1) * DOWN + HEIGHT + 2 * MARGIN,
    )


def _columns(flow: Flow) -> list[list[str]]:
    """Return the steps by their longest way from a beginning."""
    depth: dict[str, int] = {}
    for cleanup in (False, True):
        first = max(depth.values(), default=-1) + 1 if cleanup else 0
        group = [step for step in flow.steps.values() if step.cleanup is cleanup]
        for step in group:  # a flow is compiled in such an order that what comes before stands before
            depth[step.name] = max((depth[name] + 1 for name in step.before if name in depth), default=first)
    columns: list[list[str]] = [[] for _ in range(max(depth.values(), default=0) + 1)]
    for name, number in depth.items():
        columns[number].append(name)
    return columns


def _middle(flow: Flow, name: str, places: dict[str, tuple[int, int]]) -> float:
    before = [places[one][1] for one in flow.steps[name].before if one in places]
    return sum(before) / len(before) if before else 0.0


def _curve(start: tuple[int, int], end: tuple[int, int]) -> str:
    x1, y1 = start[0] + WIDTH, start[1] + HEIGHT // 2
    x2, y2 = end[0], end[1] + HEIGHT // 2
    bend = max(24, (x2 - x1) // 2)
    return f"M{x1} {y1}C{x1 + bend} {y1} {x2 - bend} {y2} {x2} {y2}"
