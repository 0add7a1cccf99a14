"""The questions of every caller, answered as far as the caller may see.

Rules of this file:

1. Nothing is read for a caller before `require` let them pass; whoever may not see a run is told that there
   is none. Listings are filtered by the store (`RunQuery.visible`), never afterwards.
2. Documents in and out; none of it is changed here. Everything blocks for as long as a read of the store
   takes: a door that serves others meanwhile calls it in a thread.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Protocol

import msgspec

from runnotary.core import trees
from runnotary.core.difference import changes
from runnotary.core.errors import (
    BlobNotFound,
    FlowNotFound,
    InvalidInput,
    NotFound,
    TaskNotFound,
)
from runnotary.core.evidence import blobs_in_value
from runnotary.core.hashing import is_digest
from runnotary.core.ids import from_text, to_text
from runnotary.core.lineage import Direction
from runnotary.core.permissions import Action, People, Who, granted, require, visible
from runnotary.core.queries import RunQuery
from runnotary.core.rows import FlowRow, RunRow
from runnotary.core.telling import entry_of
from runnotary.core.times import to_text as time_text
from runnotary.engine.auditing import Auditing, Search
from runnotary.engine.cursors import Id, cursor, place
from runnotary.engine.reader import Reader

Json = Any
DEFINITIONS_HELD: Final = 4096
LOOKS: Final = 5
"""A run that grows while its document is made is looked at again, so often at most."""

_Number = Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
_AfterRun = tuple[_Number | str | None, Id]
"""Where a page of runs ends: the value that they are ordered by, and the id."""

_PAGING: Final = {"limit": 50, "offset": 0, "after": None, "visible": None}


class Places(Protocol):
    """Where bytes lie as files, for whoever sends parts of them."""

    def stream(self, attempt: str, kind: str) -> Path:
        """Return where a running attempt writes `stdout` or `stderr`."""

    def blob(self, digest: str) -> Path | None:
        """Return the file that a large blob is; small ones are none."""


@dataclass(frozen=True)
class Bytes:
    """Bytes of the record, or what a running attempt has written so far; no `path` if they are small, and no
    digest either if there are none. `cut` says that the middle of a long stream was not kept.
    """

    name: str
    digest: str = ""
    path: Path | None = None
    cut: bool = False


def people_of(row: RunRow) -> People:
    """Return the people of a run."""
    decode = msgspec.json.decode
    return People(row.namespace, row.owner, tuple(decode(row.monitors)), tuple(decode(row.managers)))


class Questions:
    """The read side of a home, for callers with rights of their own."""

    def __init__(self, reader: Reader, places: Places) -> None:
        self.reader: Final = reader
        self._store: Final = reader.store
        self._places: Final = places
        self._definitions: set[str] = set()
        self._auditing: Final = Auditing(reader.store, people_of)

    # --- which run -----------------------------------------------------------------------------

    def seen(self, who: Who, name: str, action: Action = Action.READ) -> RunRow:
        """Return the run that an id, the beginning of one, `@latest` or `@latest:FLOW` names.

        Raises:
            RunNotFound: there is none, or not for this caller.
            PermissionDenied: the caller sees it and may not do this.
            InvalidInput: several runs begin so.
        """
        row = self.reader.resolve(name, visible(who.caller))
        require(who.caller, action, people_of(row), run=to_text(row.id))
        return row

    def search(self, who: Who, asked: Search, after: str = "") -> Json:
        """Return a page of the events that the caller may see and looks for, in the order of the log.

        Raises:
            RunNotFound: it is of a run that is not there, or not for this caller.
            InvalidInput: no such type of event. InvalidCursor: it is of another search.
        """
        return self._auditing.search(who, asked, self.seen(who, asked.run) if asked.run else None, after)

    # --- runs ----------------------------------------------------------------------------------

    def run(self, who: Who, name: str) -> Json:
        """Return the document of one run; its `log.head` is the tag of this state."""
        return self.document(self.seen(who, name))

    def document(self, row: RunRow) -> Json:
        """Return a run's document whose parts are of one moment."""
        for _ in range(LOOKS):
            if self.reader.ends(row).seq == row.seq:
                break
            row = self._store.run(row.id) or row
        return self.reader.document(row)

    def runs(self, who: Who, query: RunQuery, *, page: str = "", total: bool = False) -> Json:
        """Return a page of runs; `page` is the cursor that the page before gave.

        Raises:
            InvalidCursor: the cursor is not one of this listing.
            InvalidInput: an offset beside a cursor.
        """
        if page and query.offset:
            raise InvalidInput("`offset` and `cursor` exclude each other")
        listing = {
            name: value for name, value in msgspec.structs.asdict(query).items() if name not in _PAGING
        }
        query = msgspec.structs.replace(query, visible=visible(who.caller))
        after = None
        if page:
            value, last = place(listing, page, _AfterRun)
            after = (value, from_text(last))
        rows = self._store.runs(msgspec.structs.replace(query, after=after, limit=query.limit + 1))
        shown, more = rows[: query.limit], len(rows) > query.limit
        next_cursor = None
        if more:
            next_cursor = cursor(listing, [getattr(shown[-1], query.order_by), to_text(shown[-1].id)])
        answer = {
            "runs": [self.reader.document(row) for row in shown],
            "has_next": more,
            "next_cursor": next_cursor,
        }
        return answer | ({"total": self._store.count(query)} if total else {})

    # --- one run -------------------------------------------------------------------------------

    def entries(self, who: Who, name: str, *, limit: int, offset: int = 0, page: str = "") -> Json:
        """Return a page of a run's log, from its beginning on."""
        if page and offset:
            raise InvalidInput("`offset` and `cursor` exclude each other")
        row = self.seen(who, name)
        listing = ["entries", to_text(row.id)]
        after = place(listing, page, _Number) if page else offset
        flow = self.reader.flow_of(row.definition)
        found: list[Json] = []
        last = after
        for entry in self.reader.history(row, after):
            if len(found) == limit:
                return {"entries": found, "has_next": True, "next_cursor": cursor(listing, last)}
            found.append(entry_of(entry, flow))
            last = entry.seq
        return {"entries": found, "has_next": False, "next_cursor": None}

    def tasks(self, who: Who, name: str) -> Json:
        """Return every task of a run with its attempts."""
        return {"tasks": self.reader.tasks(self.seen(who, name))}

    def task(self, who: Who, name: str, task: str, item: int | None = None) -> Json:
        """Return one task by its id, key or step; of several tasks of a step the one with index `item`.

        Raises:
            TaskNotFound: there is none.
        """
        row = self.seen(who, name)
        tasks = self.reader.tasks(row)
        matches = [one for one in tasks if task in (one["id"], one["key"])]
        of_step = [one for one in tasks if one["step"] == task]
        if item is not None:
            of_step = matches = [one for one in of_step if one["index"] == item + 1]
        found = matches or of_step
        if not found:
            raise TaskNotFound(f"run {to_text(row.id)} has no task {task[:80]}")
        return {"count": max(1, len(of_step)), **found[0]}

    def output(
        self, who: Who, name: str, task: str, stream: str, item: int | None = None, attempt: int | None = None
    ) -> Bytes:
        """Return where a task's captured stream is: of the last attempt, or of the one that is named.

        Raises:
            TaskNotFound, NotFound: there is no such task or attempt.
        """
        attempts = self.task(who, name, task, item)["attempts"]
        number = len(attempts) if attempt is None else attempt
        if not 0 < number <= len(attempts):
            raise NotFound(f"task {task[:80]} has no attempt {number or 'yet'}")
        chosen = attempts[number - 1]
        log = chosen.get(stream)
        if log and log.get("blob"):
            return self._kept(stream, log["blob"], cut=bool(log.get("truncated")))
        if chosen["status"] == "running":
            return Bytes(stream, path=self._places.stream(chosen["id"], stream))
        return Bytes(stream)

    def files(self, who: Who, name: str) -> Json:
        """Return every file of a run, each with its digest."""
        return {"files": self.reader.files(self.seen(who, name))}

    def file(self, who: Who, name: str, file: str) -> Bytes:
        """Return one file of a run: an output's name, a path, TASK/PATH, ROLE/NAME, a digest, or
        DIGEST/PATH of a file in a folder.

        Raises:
            NotFound: there is none. InvalidInput: several of different content.
        """
        row = self.seen(who, name)
        digest, inside, path = file.partition("/")
        if inside and is_digest(digest):
            for entry in self._folder(row, digest) or ():
                if entry.path == path:
                    return self._kept(os.path.basename(path), entry.blob)
            raise NotFound(f"run {to_text(row.id)} has no {path[:200]} in {digest}")
        outputs = self.reader.document(row)["outputs"] or {}
        output = outputs.get(file)
        if isinstance(output, dict) and ("$file" in output or "$dir" in output):
            return self._kept(output["name"], output.get("$file") or output["$dir"])
        found = {
            one["blob"]: one["path"]
            for one in self.reader.files(row)
            if file
            in (
                one["path"],
                one["blob"],
                f"{one['task']}/{one['path']}",
                f"{one['role']}/{one['name']}",
            )
        }
        if not found:
            raise NotFound(f"run {to_text(row.id)} has no file {file[:200]}", hint="see its list of files")
        if len(found) > 1:
            raise InvalidInput(f"{file[:200]} names several files of run {to_text(row.id)}: put TASK/ before")
        ((digest, path),) = found.items()
        return self._kept(os.path.basename(path), digest)

    def folder(self, who: Who, name: str, digest: str) -> list[trees.Entry] | None:
        """Return the files of a folder of a run, ordered by path; None if the digest is that of none."""
        return self._folder(self.seen(who, name), digest)

    def _folder(self, row: RunRow, digest: str) -> list[trees.Entry] | None:
        return trees.entries(self.reader.blobs.get(digest)) if digest in self._folders(row) else None

    def _folders(self, row: RunRow) -> set[str]:
        """Return the digests of the folders that a run took, gave and made on the way."""
        document = self.reader.document(row)
        values = {"in": document["inputs"] or {}, "out": document["outputs"] or {}}
        taken = {named.digest for named in blobs_in_value(values) if named.form == "tree"}
        attempts = [attempt for task in self.reader.tasks(row) for attempt in task["attempts"]]
        made = [file for attempt in attempts for file in (attempt.get("outputs") or {}).values()]
        return taken | {file["blob"] for file in made if file["tree"]}

    def lineage(self, who: Who, name: str) -> Json:
        """Return which file of a run came from which, as a graph and in words."""
        return self.reader.lineage(self.seen(who, name))

    def across(self, who: Who, blob: str, direction: Direction, depth: int) -> Json:
        """Return which runs that the caller may see made a content and which used it, and on from there.

        Of what is not here, and of what only others may see, the answer is the same.
        """
        return self.reader.across(blob, direction, depth, visible(who.caller))

    def audit(self, who: Who, name: str, after: int = 0) -> Json:
        """Return the events of a run from after `after` on, as the record holds them."""
        return {"events": self.reader.audit(self.seen(who, name), after)}

    # --- flows ---------------------------------------------------------------------------------

    def flows(self, who: Who, namespace: str) -> Json:
        """Return the flows of a namespace."""
        require(who.caller, Action.READ, People(namespace))
        return {"flows": [flow_document(row) for row in self._store.flows(namespace)]}

    def flow(self, who: Who, name: str, namespace: str) -> Json:
        """Return what a flow's name means now.

        Raises:
            FlowNotFound: nothing.
        """
        return flow_document(self.flow_row(who, name, namespace))

    def flow_row(self, who: Who, name: str, namespace: str, action: Action = Action.READ) -> FlowRow:
        """Return a flow's row if the caller may do this in its namespace."""
        require(who.caller, action, People(namespace))
        return self.reader.flow(name, namespace)

    def versions(self, who: Who, name: str, namespace: str) -> Json:
        """Return every definition that a flow's name ever meant, newest first."""
        self.flow_row(who, name, namespace)
        return {"versions": self.reader.versions(name, namespace)}

    def flow_diff(self, who: Who, name: str, namespace: str, was: str, now: str) -> Json:
        """Return what changed between two versions of a flow, by label or hash: of the newest if `now` is
        empty, since the one before that if `was` is.

        Raises:
            FlowNotFound: there is no such flow or version.
        """
        row = self.flow_row(who, name, namespace)
        new = self.reader.version(name, now, namespace) if now else row.definition
        old = self.reader.version(name, was, namespace) if was else self.reader.before(name, new, namespace)
        changed = changes(self.reader.value(old), self.reader.value(new))
        return {"flow": name, "namespace": namespace, "from": old, "to": new, "changes": changed}

    def definition(self, who: Who, digest: str) -> Json:
        """Return a definition by its hash, for whoever may read somewhere.

        Raises:
            FlowNotFound: there is none.
        """
        self.require_somewhere(who)
        if not self.is_definition(digest):
            raise FlowNotFound(f"no definition {digest}")
        return self.reader.value(digest)

    def is_definition(self, digest: str) -> bool:
        """Tell whether a blob is a definition: valid, and in its canonical form."""
        if digest not in self._definitions:
            try:
                self.reader.definition(digest)
            except (BlobNotFound, FlowNotFound):
                return False
            if len(self._definitions) >= DEFINITIONS_HELD:
                self._definitions.clear()
            self._definitions.add(digest)
        return self.reader.blobs.has(digest)

    def blob(self, who: Who, digest: str) -> Bytes:
        """Return a blob by its digest, for whoever may read somewhere: the digest is hard to guess.

        Raises:
            BlobNotFound: it is not here.
        """
        self.require_somewhere(who)
        return self._kept(digest.removeprefix("sha256:"), digest)

    def _kept(self, name: str, digest: str, *, cut: bool = False) -> Bytes:
        self.reader.blobs.size(digest)
        return Bytes(name, digest, self._places.blob(digest), cut)

    def shows(self, who: Who, row: RunRow) -> bool:
        """Tell whether the caller may see a run."""
        return visible(who.caller).shows(people_of(row))

    def reads(self, who: Who, namespace: str) -> bool:
        """Tell whether the caller may read all of a namespace."""
        return Action.READ in granted(who.caller, People(namespace))

    def require_somewhere(self, who: Who) -> None:
        """Let pass who may read the runs of some namespace.

        Raises:
            PermissionDenied: the caller may not.
        """
        shown = visible(who.caller)
        if not shown.everything and not shown.namespaces:
            require(who.caller, Action.READ, People("*"))


def flow_document(row: FlowRow) -> Json:
    """Return what a flow's name means now, as a document."""
    return {
        "flow": row.name,
        "flow_id": row.id,
        "namespace": row.namespace,
        "definition_hash": row.definition,
        "version": row.version or None,
        "title": row.title or None,
        "description": row.description or None,
        "versions": row.versions,
        "changed_at": time_text(row.changed_at),
    }
