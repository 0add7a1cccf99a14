"""Lineage across runs, by content: which runs made a file, which used it, and on from there.

Rules of this file:

1. Two runs are linked by what one made and the other was given: the same bytes. Within a run it is its own
   lineage that tells which of its inputs a file came from.
2. What a run was given was made before it began. So a chain never comes back to where it was; content that
   is made again after it was used is a node of its own, `file:sha256:…@RUN`.
3. A run that the caller may not see is not there, and nothing is found through it. The store leaves it out,
   so that neither counts nor limits tell of it.
4. What one question may cost is bounded: runs, their events, and how often runs and contents meet. Whatever
   was left out, also by the depth that was asked for, the answer is `truncated`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final, NamedTuple, TypeVar

from runnotary.core import trees
from runnotary.core.errors import BlobNotFound, Damaged, RunNotFound
from runnotary.core.hashing import digest
from runnotary.core.ids import to_text
from runnotary.core.lineage import Direction, Graph, reached, ways
from runnotary.core.permissions import Visible
from runnotary.core.queries import ContentQuery
from runnotary.core.rows import RunRow
from runnotary.core.times import maybe
from runnotary.core.times import to_text as time_text
from runnotary.core.words import short_digest
from runnotary.ports import Store

Json = Any
One = TypeVar("One")
RUNS_MAX: Final = 500
EVENTS_MAX: Final = 100_000
"""Of all runs together whose lineage is looked at; one alone may have more."""

LINKS_MAX: Final = 25_000
"""Times that a run is met at a content, and a content at a run."""

EMPTY: Final = frozenset({digest(b""), digest(trees.manifest(()))})
"""Many files and folders are empty; none of them came from another."""


class Place(NamedTuple):
    """A content whose makers or users are looked for: its node, the run it was met at, and how far that is.

    `maker` is the run that made it, which stands in the graph only if somebody used it.
    """

    node: str
    blob: str
    run: bytes | None
    level: int
    maker: RunRow | None = None


class Inside:
    """The lineage of one run, as it is asked again and again."""

    def __init__(self, found: Graph) -> None:
        self.ahead: Final = ways(found, back=False)
        self.behind: Final = ways(found, back=True)
        self.files: Final = {node["id"]: node for node in found["nodes"] if node["type"] == "file"}
        self.of: Final[dict[str, list[Json]]] = {}
        self.made: Final[dict[str, Json]] = {}
        for node in self.files.values():
            self.of.setdefault(node["blob"], []).append(node)
        for edge in found["edges"]:
            if edge["type"] == "generated":
                self.made.setdefault(edge["to"], edge)
        self.given: Final = {node["blob"] for node in self.files.values() if "input" in node["roles"]}

    def taken(self, blob: str) -> list[Json]:
        """Return the nodes of a content as the run was given it."""
        return [node for node in self.of.get(blob, ()) if "input" in node["roles"]]

    def reached(self, nodes: Iterable[Json], nexts: dict[str, list[str]]) -> list[Json]:
        """Return the files that some ways lead to from these."""
        found = reached(nexts, [node["id"] for node in nodes])
        return [node for key, node in self.files.items() if key in found]


class Origins:
    """One question, and the graph that answers it."""

    def __init__(self, store: Store, own: Callable[[RunRow], Graph], shown: Visible | None) -> None:
        """`own` gives the lineage of one run; `shown` is what may be found, None is everything."""
        self._store: Final = store
        self._own_graph: Final = own
        self._shown: Final = shown
        self._nodes: Final[dict[str, Json]] = {}
        self._edges: Final[dict[tuple[str, str], Json]] = {}
        self._around: Final[set[tuple[str, str]]] = set()
        """Edges that would lead around in a circle: what leads somewhere once does so ever after."""
        self._nexts: Final[dict[str, list[str]]] = {}
        self._entered: Final[set[str]] = set()
        self._insides: Final[dict[bytes, Inside]] = {}
        self._runs_max, self._links_max = RUNS_MAX, LINKS_MAX
        self._links = self._events = 0
        self._truncated = False

    def answer(self, blob: str, direction: Direction, depth: int) -> Json:
        """Return the graph around a content, as a document."""
        start = self._file(f"file:{blob}", blob, ())
        if direction != "down":
            share = 2 if direction == "both" else 1  # however many made it, there is room for who used it
            self._runs_max, self._links_max = RUNS_MAX // share, LINKS_MAX // share
            self._walk(start, blob, depth, up=True)
        if direction != "up":
            self._runs_max, self._links_max = RUNS_MAX, LINKS_MAX
            self._walk(start, blob, depth, up=False)
        for node in self._nodes.values():
            if node["type"] == "file":
                node["names"] = list(node["names"])
        return {
            "blob": blob,
            "direction": direction,
            "depth": depth,
            "truncated": self._truncated,
            "nodes": list(self._nodes.values()),
            "edges": list(self._edges.values()),
        }

    def _walk(self, start: str, blob: str, depth: int, *, up: bool) -> None:
        places = deque([Place(start, blob, None, 0)])
        met: set[tuple[str, bytes]] = set()
        while places:
            place = places.popleft()
            if place.level and place.blob in EMPTY:
                continue
            if place.level >= depth:
                self._truncated = self._truncated or bool(self._store.runs_with(self._query(place, 1, up=up)))
                continue
            for row in self._runs(place, up=up):
                if up:
                    self._made(row, place)
                else:
                    self._used(row, place)
                if (place.blob, row.id) not in met:
                    met.add((place.blob, row.id))
                    places += self._before(row, place) if up else self._after(row, place)

    def _made(self, row: RunRow, place: Place) -> None:
        """Put in that a run made what was met at another one, or is asked about."""
        node = self._generated(row, place.node, place.blob)
        if node != place.node and place.run is not None:
            self._edge(node, f"run:{to_text(place.run)}", "used", {})

    def _used(self, row: RunRow, place: Place) -> None:
        """Put in that a run used what another one made, or what is asked about."""
        node = place.node
        if place.maker is not None:
            node = self._generated(place.maker, node, place.blob)
        self._taken(row, node, place.blob)

    def _runs(self, place: Place, *, up: bool) -> list[RunRow]:
        """Return the runs that made a content before it was met, or used it afterwards."""
        most = min(self._runs_max, self._links_max - self._links)
        if most <= 0:
            self._truncated = True
            return []
        rows = self._store.runs_with(self._query(place, most + 1, up=up))
        self._truncated = self._truncated or len(rows) > most
        return [row for row in self._some(rows[:most]) if row.id in self._insides or self._looked_at(row)]

    def _query(self, place: Place, limit: int, *, up: bool) -> ContentQuery:
        return ContentQuery(
            blob=place.blob,
            made=up,
            before=place.run if up else None,
            after=None if up else place.run,
            visible=self._shown,
            limit=limit,
        )

    def _looked_at(self, row: RunRow) -> bool:
        """Look at the lineage of a run, if there is room for it and it is still there."""
        if len(self._insides) >= self._runs_max or (self._insides and self._events + row.seq > EVENTS_MAX):
            self._truncated = True
            return False
        found = self._graph(row)
        if found is None:
            return False
        self._events += row.seq
        self._insides[row.id] = Inside(found)
        return True

    # --- within a run --------------------------------------------------------------------------------

    def _graph(self, row: RunRow) -> Graph | None:
        """Return the lineage of a run; None if it was purged since its row was read."""
        try:
            return self._own_graph(row)
        except RunNotFound:
            return None
        except (Damaged, BlobNotFound):  # what it was given and made is known, and no more
            return {"run": to_text(row.id), "nodes": [], "edges": []}

    def _before(self, row: RunRow, place: Place) -> list[Place]:
        """Return what a run was given that a content which it made came from."""
        own = self._insides[row.id]
        behind = own.reached(own.of.get(place.blob, ()), own.behind)
        given = {node["blob"] for node in behind if "input" in node["roles"]}
        return [
            Place(self._taken(row, f"file:{blob}", blob), blob, row.id, place.level + 1)
            for blob in self._some(sorted(given))
        ]

    def _after(self, row: RunRow, place: Place) -> list[Place]:
        """Return what a run made that came of a content which it was given.

        What it used itself on the way is part of the answer only if another run used it too.
        """
        own = self._insides[row.id]
        places: dict[str, Place] = {}
        found = own.reached(own.taken(place.blob), own.ahead)
        for node in self._some([node for node in found if node["blob"] not in own.given]):
            key, blob = f"file:{node['blob']}", node["blob"]
            if "output" in node["roles"] or node["id"] not in own.ahead:
                key = self._generated(row, key, blob)
            places[blob] = Place(key, blob, row.id, place.level + 1, row)
        return list(places.values())

    def _some(self, found: list[One]) -> list[One]:
        """Return as many of these as there is room for."""
        room = max(0, self._links_max - self._links)
        self._truncated = self._truncated or len(found) > room
        self._links += min(len(found), room)
        return found[:room]

    # --- the graph -----------------------------------------------------------------------------------

    def _generated(self, row: RunRow, key: str, blob: str) -> str:
        """Put in that a run made a content; return the node that now stands for it."""
        own = self._insides[row.id]
        nodes, said = own.of.get(blob, ()), {}
        if edge := next((own.made[node["id"]] for node in nodes if node["id"] in own.made), None):
            said = {"as": edge.get("as", ""), "task": edge["from"].removeprefix("task:")}
        run = self._run(row)
        for node in (key, f"file:{blob}@{to_text(row.id)}"):
            if self._edge(run, node, "generated", said):
                key = node
                break
        return self._file(key, blob, nodes)

    def _taken(self, row: RunRow, key: str, blob: str) -> str:
        """Put in that a run was given a content; return the node that now stands for it."""
        own = self._insides[row.id].taken(blob)
        said = {"as": ", ".join(name for node in own for name in node["roles"]["input"])}
        run = self._run(row)
        for node in (key, f"file:{blob}@{to_text(row.id)}"):
            if self._edge(node, run, "used", said):
                key = node
                break
        return self._file(key, blob, own)

    def _edge(self, source: str, target: str, kind: str, said: Json) -> bool:
        """Put an edge in, unless it would lead around in a circle."""
        if (source, target) in self._edges:
            return True
        if (source, target) in self._around or self._leads(target, source):
            self._around.add((source, target))
            return False
        more = {name: value for name, value in said.items() if value}
        self._edges[source, target] = {"from": source, "to": target, "type": kind, **more}
        self._nexts.setdefault(source, []).append(target)
        self._entered.add(target)
        return True

    def _leads(self, source: str, target: str) -> bool:
        if target not in self._entered:
            return source == target
        seen: set[str] = set()
        left = [source]
        while left:
            node = left.pop()
            if node == target:
                return True
            if node not in seen:
                seen.add(node)
                left += self._nexts.get(node, ())
        return False

    def _file(self, key: str, blob: str, known: Iterable[Json]) -> str:
        """Return a node of a content, made if it is not there; `known` are those of runs' own lineages."""
        node = self._nodes.setdefault(
            key,
            {"id": key, "type": "file", "name": short_digest(blob), "blob": blob, "size": None, "names": {}},
        )
        for one in known:
            node["names"] |= dict.fromkeys(one["names"])
            node["name"], node["size"] = next(iter(node["names"])), one["size"]
        return key

    def _run(self, row: RunRow) -> str:
        key = f"run:{to_text(row.id)}"
        self._nodes.setdefault(
            key,
            {
                "id": key,
                "type": "run",
                "name": row.flow or to_text(row.id),
                "run": to_text(row.id),
                "namespace": row.namespace,
                "flow": row.flow or None,
                "definition_hash": row.definition,
                "status": row.status,
                "created_by": row.created_by,
                "created_at": time_text(row.created_at),
                "ended_at": maybe(row.ended_at),
            },
        )
        return key
