"""A server in place of a home: the questions of a reader, and its blobs, asked over HTTP.

Rules of this file:

1. Whatever looks at a run looks at a `Reader`, and cannot tell which kind it got: rows are read back from run
   documents and events from the audit (`core/wire.py`), so nothing is shown in two ways.
2. Bytes are checked against their digest when they arrive, as those of a home are.
3. Imported only when a server is set: no command without one pays for HTTP.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Final, TypeVar, cast

from runnotary import __version__
from runnotary.app.home import Flows
from runnotary.client import approvals as ask_approvals
from runnotary.client import evidence, records, runs
from runnotary.client import flows as ask_flows
from runnotary.client.places import Place, place
from runnotary.client.request import API, Answer, Request, get, segment
from runnotary.client.results import json_of
from runnotary.client.sync_client import Client
from runnotary.client.sync_connection import Connection
from runnotary.config import Settings
from runnotary.core import wire
from runnotary.core.chain import RUN, Recorded
from runnotary.core.errors import BlobNotFound, Damaged, FlowNotFound, NotFound, RunNotFound
from runnotary.core.hashing import PREFIX, digest
from runnotary.core.ids import to_text
from runnotary.core.lineage import DEPTH, Direction
from runnotary.core.permissions import Visible
from runnotary.core.rows import FlowRow, RunRow
from runnotary.engine.reader import Reader
from runnotary.ports import Blobs, Store

Json = Any
T = TypeVar("T")
PIECE: Final = 8 * 1024 * 1024
"""How much of a large blob is asked for at a time: a break costs no more than that."""
KEPT_IN_MEMORY: Final = 1024 * 1024
PARTIAL: Final = 206


def place_of(settings: Settings) -> Place:
    """Return where the server of these settings is; it is told that a person asks."""
    there = place(settings.url, settings.token, os.environ)
    return replace(there, headers={**there.headers, "user-agent": f"runnotary-cli/{__version__}"})


class KnownConnection(Connection):
    """A connection that knows what others of this process know: a server that has answered is waited for.

    One that never has is given up soon; its address is more likely wrong.
    """

    _known: ClassVar[set[str]] = set()

    def __init__(self, there: Place, *, timeout: float) -> None:
        super().__init__(there, timeout=timeout)
        self._answered = there.url in self._known

    def ask(self, request: Request[T]) -> T:
        answer = super().ask(request)
        self._known.add(self._place.url)
        return answer


def connection(settings: Settings, *, timeout: float = 30.0) -> Connection:
    """Return a connection to the server of these settings; nothing is sent yet."""
    return KnownConnection(place_of(settings), timeout=timeout)


@contextmanager
def reading_there(settings: Settings) -> Iterator[Reader]:
    """Ask a server as if it were a home.

    Raises:
        Unreachable: it does not answer.
    """
    there = connection(settings)
    try:
        yield RemoteReader(there)
    finally:
        there.close()


def ended_there(settings: Settings, run: str, interval: float, timeout: float | None) -> Json:
    """Return the document of a run when it is over; see `app/waiting.py`."""
    there = place_of(settings)
    whole = None if timeout is None else math.ceil(timeout * 1000) / 1000  # 499.98 ms is nobody's time-out
    with Client(there.url, token=settings.token) as client:
        return client.wait_for_run(run, interval, whole).raw


def evidence_request(verb: str, words: Mapping[str, Json]) -> Request[Json]:
    """Make the request of one of the questions and changes of `app/evidence.py`, or of `verify`."""
    asking: Request[Json] = getattr(evidence, verb)(**words)
    return asking


def evidence_there(settings: Settings, verb: str, words: Mapping[str, Json]) -> Json:
    """Ask a server for a checkpoint, a proof, keys, or a verification.

    Raises:
        Unreachable: it does not answer.
    """
    there = connection(settings)
    try:
        return there.ask(evidence_request(verb, words))
    finally:
        there.close()


class RemoteReader(Reader):
    """The read side of a server. It knows the document of every run that it has named."""

    def __init__(self, there: Connection) -> None:
        self._there: Final = there
        blobs = cast(Blobs, HttpBlobs(there))
        self._store: Final = HttpStore(there)
        super().__init__(cast(Store, self._store), blobs, Flows(blobs))

    def resolve(self, name: str, shown: Visible | None = None) -> RunRow:
        return self._store.named(name)

    def document(self, row: RunRow) -> Json:
        return self._store.document(row)

    def tasks(self, row: RunRow) -> list[Json]:
        return [task.raw for task in self._there.ask(records.tasks(to_text(row.id)))]

    def files(self, row: RunRow) -> list[Json]:
        return [file.raw for file in self._there.ask(records.files(to_text(row.id)))]

    def lineage(self, row: RunRow) -> Json:
        return self._there.ask(records.lineage(to_text(row.id)))

    def across(
        self, blob: str, direction: Direction = "both", depth: int = DEPTH, shown: Visible | None = None
    ) -> Json:
        return self._there.ask(records.across(blob, direction, depth))

    def output(self, task: Json, number: int, kind: str, after: int) -> bytes:
        """Return what an attempt has written to a stream beyond so many bytes; nothing if none is there."""
        path = f"{API}/runs/{segment(task['run'])}/tasks/{segment(task['id'])}/{kind}"
        request = _rest(path, after, params=(("attempt", str(number)),))
        try:
            return self._there.ask(request)
        except NotFound:
            return b""

    def page(self, words: Mapping[str, Json]) -> Json:
        """Return a page of run documents; its runs need not be asked for again."""
        said = {name: value for name, value in words.items() if value not in (False, 0)}
        answer = self._there.ask(get("/runs", decoded, params=said))
        for document in answer["runs"]:
            self._store.take(document)
        return answer

    def approvals(self, words: Mapping[str, Json]) -> Json:
        """Return a page of requests to people."""
        return self._there.ask(ask_approvals.listing(dict(words))).raw

    def approval(self, run: str, task: str) -> Json:
        """Return one request."""
        return self._there.ask(ask_approvals.show(run, task)).raw

    def versions(self, name: str, namespace: str = "default") -> list[Json]:
        return self._there.ask(ask_flows.versions(name, namespace))


class HttpStore:
    """The questions of the port `Store` that a reader asks."""

    def __init__(self, there: Connection) -> None:
        self._there: Final = there
        self._documents: Final[dict[bytes, Json]] = {}

    def named(self, name: str) -> RunRow:
        """Return the run of an id, of the beginning of one, or of `@latest`."""
        return self.take(self._there.ask(runs.show(name)).raw)

    def take(self, document: Json) -> RunRow:
        """Keep a document; return its row."""
        row = wire.run_row(document)
        self._documents[row.id] = document
        return row

    def document(self, row: RunRow) -> Json:
        """Return the document of a row: the one it was made from, or a newer one."""
        known = self._documents.get(row.id)
        if known is None or known["log"]["events"] < row.seq:
            self.named(to_text(row.id))
        return dict(self._documents[row.id])

    def run(self, run_id: bytes) -> RunRow | None:
        try:
            return self.named(to_text(run_id))
        except RunNotFound:
            return None

    def read(self, stream: bytes, after: int = 0) -> Iterator[Recorded]:
        """Read a run's stream in order, from `after` + 1 on."""
        assert stream[:1] == RUN, "a server tells the events of runs only"
        path = f"/runs/{to_text(stream[1:])}/audit"
        for entry in self._there.ask(get(path, decoded, params={"after": after or None}))["events"]:
            yield wire.recorded(entry)

    def flow(self, namespace: str, name: str) -> FlowRow | None:
        try:
            return wire.flow_row(self._there.ask(ask_flows.show(name, namespace)).raw)
        except FlowNotFound:
            return None

    def flows(self, namespace: str) -> list[FlowRow]:
        return [wire.flow_row(flow.raw) for flow in self._there.ask(ask_flows.listing(namespace))]


class HttpBlobs:
    """The blobs of a server. What is there already is not sent again."""

    def __init__(self, there: Connection) -> None:
        self._there: Final = there
        self._small: Final[dict[str, bytes]] = {}

    def put(self, data: bytes) -> str:
        """Keep bytes there; return their digest."""
        name = digest(data)
        if not self.has(name):
            self._there.ask(records.keep(data))
        return name

    def put_file(self, path: Path, *, known: str = "") -> tuple[str, int]:
        """Keep a file's content there; return digest and size."""
        with path.open("rb") as file:
            name = known or PREFIX + hashlib.file_digest(file, "sha256").hexdigest()
            size = os.fstat(file.fileno()).st_size
            if not self.has(name):
                file.seek(0)
                kept = self._there.ask(records.keep(file.read()))
                name, size = kept["digest"], kept["size"]
        return name, size

    def get(self, digest: str) -> bytes:
        """Return the bytes, checked.

        Raises:
            BlobNotFound: they are not there. Damaged: they are not those of the digest.
        """
        known = self._small.get(digest)
        if known is None:
            known = self._there.ask(records.blob(digest))
            _check(hashlib.sha256(known), digest)
            if len(known) <= KEPT_IN_MEMORY:
                self._small[digest] = known
        return known

    def stage(self, digest: str, target: Path, *, executable: bool = False) -> None:
        """Write the content to a file of its own, a piece at a time."""
        size, state = self.size(digest), hashlib.sha256()
        with target.open("xb") as file:
            while (at := file.tell()) < size:
                piece = self._there.ask(_rest(_blob(digest), at, str(at + PIECE - 1)))
                state.update(piece)
                file.write(piece)
        _check(state, digest)
        target.chmod(0o755 if executable else 0o644)

    def has(self, digest: str) -> bool:
        try:
            self.size(digest)
        except NotFound:
            return False
        return True

    def size(self, digest: str) -> int:
        """Return the size in bytes.

        Raises:
            BlobNotFound: the blob is not there.
        """
        try:
            return self._there.ask(Request("HEAD", _blob(digest), _length, repeatable=True))
        except NotFound:
            raise BlobNotFound(f"no blob {digest} on the server") from None


def decoded(answer: Answer) -> Json:
    """Read a JSON answer as it is."""
    return json_of(answer.body)


def _blob(digest: str) -> str:
    return f"{API}/blobs/{segment(digest)}"


def _length(answer: Answer) -> int:
    return int(answer.headers["content-length"])


def _rest(path: str, at: int, upto: str = "", params: tuple[tuple[str, str], ...] = ()) -> Request[bytes]:
    """Ask for bytes from a place on; a server that knows no ranges sends all, of which we take the rest."""

    def decode(answer: Answer) -> bytes:
        return answer.body if answer.status == PARTIAL else answer.body[at:]

    headers = {"range": f"bytes={at}-{upto}"}
    return Request("GET", path, decode, params, headers, repeatable=True)


def _check(state: hashlib._Hash, digest: str) -> None:
    if PREFIX + state.hexdigest() != digest:
        raise Damaged([f"{digest}: what the server sent is not what this digest names"])
