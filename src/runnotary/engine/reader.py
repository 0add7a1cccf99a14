"""The questions that every front door asks: which run is meant, its document, tasks, files, history.

Needs no engine and no lock: everything is read from the store's tables, the log and the blobs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import lru_cache
from typing import Any, Final

import msgspec

from runnotary.core import events as ev
from runnotary.core.chain import Recorded, ledger_stream, run_stream
from runnotary.core.definition import define
from runnotary.core.documents import run_document, task_documents
from runnotary.core.errors import FlowNotFound, InvalidDefinition, InvalidInput, RunErased, RunNotFound
from runnotary.core.flow import Flow
from runnotary.core.hashing import NotCanonical, digest_text
from runnotary.core.ids import TEXT_LENGTH, from_text, is_id, to_text
from runnotary.core.lineage import DEPTH, Direction, Graph, blob_of, files_in, graph
from runnotary.core.lineage_words import words
from runnotary.core.permissions import People, Visible
from runnotary.core.queries import RunQuery
from runnotary.core.rows import FlowRow, RunRow
from runnotary.core.times import to_text as time_text
from runnotary.core.wire import audit_entry
from runnotary.engine.origins import Origins
from runnotary.ports import Blobs, Store

Json = Any
LATEST: Final = "@latest"
NEAR: Final = 8
"""Events from the end among which that of the outcome nearly always is."""

RUNS_HELD: Final = 256


class Ends(msgspec.Struct, frozen=True):
    """The two ends of a run: what began it; length and head of its stream, and where its last event stands in
    the log; the outcome if it has one.
    """

    created: ev.RunCreated
    seq: int
    head: bytes
    pos: int
    finished: ev.RunFinished | None


class Reader:
    """The read side of a home.

    Of the runs asked for last, both ends are remembered by their length: what a stream holds never changes,
    so whoever looks at a run again costs one look at its row.
    """

    def __init__(self, store: Store, blobs: Blobs, flow_of: Callable[[str], Flow]) -> None:
        self.store: Final = store
        self.blobs: Final = blobs
        self.flow_of: Final = flow_of
        self._created: Final = lru_cache(RUNS_HELD)(self._beginning)
        self._ends: Final = lru_cache(RUNS_HELD)(self._both_ends)

    # --- which run -----------------------------------------------------------------------------

    def resolve(self, name: str, shown: Visible | None = None) -> RunRow:
        """Return the run that an id, a unique prefix of one, `@latest` or `@latest:FLOW` names.

        `shown` is what may be found by less than a whole id; None is everything.

        Raises:
            RunNotFound: none does. InvalidInput: several do.
        """
        if name.startswith(LATEST):
            flow = name[len(LATEST) :].removeprefix(":")
            query = RunQuery(flow=(flow,) if flow else (), roots_only=True, limit=1, visible=shown)
            if not (newest := self.store.runs(query)):
                what = f"flow {flow[:80]} has no run yet" if flow else "there is no run yet"
                raise RunNotFound(what, hint="start one: runnotary start FILE")
            return newest[0]
        wanted = name.upper()
        if len(wanted) == TEXT_LENGTH:
            row = self.store.run(from_text(wanted)) if is_id(wanted) else None
            if row is None:
                raise self._missing(wanted, shown)
            return row
        query = RunQuery(prefix=wanted, include_archived=True, limit=6, visible=shown)
        matches = self.store.runs(query) if 0 < len(wanted) < TEXT_LENGTH else []
        if not matches:
            raise RunNotFound.named(name[:80])
        if len(matches) > 1:
            some = ", ".join(to_text(row.id) for row in matches[:5])
            raise InvalidInput(f"{name} is the beginning of several run ids: {some}")
        return matches[0]

    def _missing(self, wanted: str, shown: Visible | None) -> RunNotFound:
        """Return what is told of a run that has no row: that it was erased, if whoever asks may know."""
        erased = self.store.tombstone(from_text(wanted)) if is_id(wanted) else None
        if erased is None:
            return RunNotFound.named(wanted)
        namespace, at, event = erased
        if not (shown is None or shown.shows(People(namespace))):
            return RunNotFound.named(wanted)
        why = f": {event.reason}" if event.reason else ""
        what = f"run {wanted} was erased by {event.by.principal}, {time_text(at)}{why}"
        return RunErased(what, hint=f"its envelopes still verify: runnotary verify {wanted}")

    # --- one run -------------------------------------------------------------------------------

    def document(self, row: RunRow) -> Json:
        """Return the run document (design §4)."""
        ends = self.ends(row)
        document: Json = run_document(row, ends.created, ends.finished, digest_text(ends.head))
        sealed = self.store.sealed()
        document["log"]["sealed"] = sealed if 0 < ends.pos <= sealed else None
        if document.get("outputs_ref"):
            document["outputs"] = self.value(document["outputs_ref"])
        if document.get("inputs_ref"):
            document["inputs"] = self.value(document["inputs_ref"])
        return document

    def ends(self, row: RunRow) -> Ends:
        """Return both ends of a run's stream. It may be longer than the row says, if it grew since."""
        return self._ends(row.id, row.seq, row.ended_at is not None)

    def _both_ends(self, run: bytes, length: int, ended: bool) -> Ends:
        stream = run_stream(run)
        created = self._created(run)
        seq, head = self.store.head(stream)
        pos = self.store.placed(stream, seq)
        return Ends(created, seq, head, pos, self._finished(stream, length) if ended else None)

    def _beginning(self, run: bytes) -> ev.RunCreated:
        first = next(iter(self.store.read(run_stream(run))), None)
        if first is None:  # purged since its row was read
            raise RunNotFound.named(to_text(run))
        assert isinstance(first.event, ev.RunCreated)
        return first.event

    def _finished(self, stream: bytes, length: int) -> ev.RunFinished | None:
        """Return how a run ended: in its last event, or before words that were added afterwards."""
        for after in (max(0, length - NEAR), 0):
            for entry in self.store.read(stream, after):
                if isinstance(entry.event, ev.RunFinished):
                    return entry.event
        return None

    def history(self, row: RunRow, after: int = 0) -> Iterator[Recorded]:
        """Return the run's events in order."""
        return self.store.read(run_stream(row.id), after)

    def tasks(self, row: RunRow) -> list[Json]:
        """Return the task documents with all their attempts."""
        return task_documents(row.id, self.flow_of(row.definition), self.history(row), self.value)

    def files(self, row: RunRow) -> list[Json]:
        """Return every file of the run: inputs, code, outputs and logs, each with its digest."""
        document = self.document(row)
        found: list[Json] = []
        for name, value in (document["inputs"] or {}).items():
            for file in files_in(value):
                found.append(_file("input", None, name, file["name"], blob_of(file), file["size"]))
        for path, code in self.flow_of(row.definition).code.items():
            found.append(_file("code", None, path, path, code.blob, code.size))
        for task in self.tasks(row):
            for attempt in task["attempts"]:
                for name, file in (attempt.get("outputs") or {}).items():
                    found.append(_file("output", task["key"], name, file["name"], file["blob"], file["size"]))
                for kind in ("stdout", "stderr"):
                    log = attempt.get(kind)
                    if log and log.get("blob"):
                        found.append(_file(kind, task["key"], kind, kind, log["blob"], log["size"]))
        return found

    def audit(self, row: RunRow, after: int = 0) -> list[Json]:
        """Return the run's events as the record holds them, for reading: seq, time, type, facts."""
        return [audit_entry(entry) for entry in self.history(row, after)]

    def lineage(self, row: RunRow) -> Json:
        """Return what came from what in a run, as a graph and in words."""
        flow, document, tasks = self.flow_of(row.definition), self.document(row), self.tasks(row)
        return graph(flow, document, tasks) | {"words": words(flow, document, tasks)}

    def across(
        self, blob: str, direction: Direction = "both", depth: int = DEPTH, shown: Visible | None = None
    ) -> Json:
        """Return which runs made a content and which used it, and on from there, as a graph.

        `depth` is how many runs in a row are followed; `shown` is what may be found, None is everything.
        """
        return Origins(self.store, self.own_graph, shown).answer(blob, direction, depth)

    def own_graph(self, row: RunRow) -> Graph:
        """Return the lineage of a run without its words."""
        return graph(self.flow_of(row.definition), self.document(row), self.tasks(row))

    def value(self, blob: str) -> Json:
        """Return the JSON value of a blob."""
        return msgspec.json.decode(self.blobs.get(blob))

    # --- flows ---------------------------------------------------------------------------------

    def definition(self, digest: str) -> Json:
        """Return a definition by its hash: what anybody may name by one is not taken at its word.

        Raises:
            BlobNotFound: it is not here. FlowNotFound: these bytes are no definition in canonical form.
        """
        with suppress(msgspec.DecodeError, RecursionError, InvalidDefinition, NotCanonical):
            document = self.value(digest)
            if define(document).hash == digest:
                return document
        raise FlowNotFound(f"{digest} is no definition")

    def flow(self, name: str, namespace: str = "default") -> FlowRow:
        """Return what a flow's name means now.

        Raises:
            FlowNotFound: nothing.
        """
        row = self.store.flow(namespace, name)
        if row is None:
            raise FlowNotFound(f"no flow {name} in namespace {namespace}", hint="see: runnotary flow list")
        return row

    def versions(self, name: str, namespace: str = "default") -> list[Json]:
        """Return every definition a name ever meant, newest first, each with the number of its runs."""
        changes = [
            {"time": time_text(entry.at), **msgspec.to_builtins(entry.event)}
            for entry in self.store.read(ledger_stream(namespace))
            if isinstance(entry.event, ev.DefinitionChanged) and entry.event.flow == name
        ]
        query = RunQuery(flow=(name,), namespace=(namespace,), include_archived=True)
        runs = self.store.tally(query) if changes else {}
        return [{**change, "runs": runs.get(change["definition"], 0)} for change in reversed(changes)]

    def version(self, name: str, said: str, namespace: str = "default") -> str:
        """Return the definition that a flow meant as the version `said`: a label, or a hash.

        Raises:
            FlowNotFound: it never meant that. InvalidInput: the label was given to several.
        """
        found: dict[str, str] = {
            change["definition"]: change["time"]
            for change in reversed(self.versions(name, namespace))
            if said in (change.get("version"), change["definition"])
        }
        if not found:
            raise FlowNotFound(
                f"flow {name} in namespace {namespace} has no version {said[:80]}",
                hint=f"see: runnotary flow history {name}",
            )
        if len(found) > 1:
            raise InvalidInput(
                f"flow {name} has {len(found)} versions {said[:80]}: {', '.join(list(found)[:5])}",
                hint="name one by its hash",
            )
        return next(iter(found))

    def before(self, name: str, definition: str, namespace: str = "default") -> str:
        """Return what a flow meant before it last meant this definition.

        Raises:
            FlowNotFound: nothing.
        """
        meant: list[str] = [change["definition"] for change in self.versions(name, namespace)]
        older = meant[meant.index(definition) :] if definition in meant else meant
        found = next((one for one in older if one != definition), None)
        if found is None:
            raise FlowNotFound(f"flow {name} meant nothing before {definition}")
        return found


def _file(role: str, task: str | None, name: str, path: str, blob: str, size: int) -> Json:
    return {"role": role, "task": task, "name": name, "path": path, "blob": blob, "size": size}
