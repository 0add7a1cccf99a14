"""Audit search: who did what, when and why, over every stream that the caller may read.

Rules of this file:

1. The log is walked in its order, newest or oldest first; nothing is indexed for it, so nothing is left out.
2. A page ends when it is full or has taken long enough; its cursor goes on where it stopped. So no search
   holds anybody up, however large the record, and a page may be empty and still have a next one.
3. Of a run its readers see everything. Of a ledger readers of the namespace see flows and erasures, its
   admins who may do what, admins of `*` the engine and its keys. The salt of actor ids and what is kept of a
   token's secret are shown to nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import takewhile
from time import monotonic
from typing import Annotated, Any, Final

import msgspec

from runnotary.core import events as ev
from runnotary.core.chain import LEDGER, RUN, Recorded, run_stream, stream_name
from runnotary.core.errors import Damaged, InvalidInput
from runnotary.core.findings import did_you_mean
from runnotary.core.ids import to_text
from runnotary.core.permissions import EVERYWHERE, Action, People, Visible, Who, granted, visible
from runnotary.core.rows import RunRow
from runnotary.core.times import to_text as time_text
from runnotary.engine.cursors import cursor, place
from runnotary.ports import Change, Store

Json = Any
PIECE: Final = 256
SECONDS: Final = 0.25
"""What one page may take."""

_Number = Annotated[int, msgspec.Meta(ge=0, lt=2**62)]
"""A position, or the seq of an event: anybody can write a cursor."""

ENGINE: Final = "engine"
HIDDEN: Final = {ev.EngineNoted: ("data", "salt"), ev.AccessChanged: ("set", "hash")}
OF_READERS: Final = (ev.DefinitionChanged, ev.StreamErased)
TYPES: Final = frozenset(ev.NAMES.values())
KINDS: Final = frozenset(name.partition(".")[0] for name in TYPES)
WORDS: Final = ("who", "what", "run", "namespace", "since", "until", "why", "newest")


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """What is looked for: AND between fields. `what` are types of events, or their first word; `why` is part
    of a reason, whatever the case; times are in µs since 1970, both included.
    """

    who: str = ""
    what: tuple[str, ...] = ()
    run: str = ""
    namespace: str = ""
    since: int | None = None
    until: int | None = None
    why: str = ""
    newest: bool = True
    limit: int = 50

    @property
    def listing(self) -> Json:
        """What a cursor is bound to."""
        return ["audit", *(getattr(self, name) for name in WORDS)]


class Auditing:
    """Searches of one home."""

    def __init__(self, store: Store, people_of: Callable[[RunRow], People]) -> None:
        self._store: Final = store
        self._people_of: Final = people_of

    def search(self, who: Who, asked: Search, run: RunRow | None, after: str = "") -> Json:
        """Return {events, next_cursor, complete}; `run` is the row of the run that is asked for.

        Raises:
            InvalidInput: there is no such type of event. InvalidCursor: it is of another search.
        """
        for name in asked.what:
            if name not in TYPES | KINDS:
                raise InvalidInput(f"no event {name[:80]}{did_you_mean(name, TYPES)}")
        start = place(asked.listing, after, tuple[_Number, _Number]) if after else None
        until, found = monotonic() + SECONDS, list[Json]()
        walk = _Walk(self._store, asked, run, who, self._people_of)
        for change, entry in walk.entries(start):
            if entry is not None and walk.is_meant(change, entry):
                found.append(walk.document(change, entry))
            if len(found) >= asked.limit or monotonic() >= until:
                seq = entry.seq if entry is not None else 0 if asked.newest else change.seq
                return {"events": found, "next_cursor": cursor(asked.listing, [change.pos, seq])}
        return {"events": found, "next_cursor": None}


class _Walk:
    """One page: the log in order, and what of it the caller may see."""

    def __init__(
        self,
        store: Store,
        asked: Search,
        run: RunRow | None,
        who: Who,
        people_of: Callable[[RunRow], People],
    ) -> None:
        self._store, self._asked, self._run, self._who = store, asked, run, who
        self._people_of = people_of
        self._shown: Visible = visible(who.caller)
        self._rows: dict[bytes, RunRow | None] = {}

    def entries(self, start: tuple[int, int] | None) -> Iterator[tuple[Change, Recorded | None]]:
        """Yield the events beyond a place (position and seq); of a commit without one to see, None."""
        newest = self._asked.newest
        stream = run_stream(self._run.id) if self._run is not None else b""
        pos, seq = start or (None, 0)
        while True:
            piece = self._store.walk(pos, newest=newest, stream=stream, limit=PIECE)
            for change in piece:
                yield from self._of(change, seq if change.pos == pos else None)
            if not piece or piece[-1].pos == pos:
                return
            pos = piece[-1].pos
            seq = 0 if newest else piece[-1].seq  # all of that commit was seen

    def _of(self, change: Change, beyond: int | None) -> Iterator[tuple[Change, Recorded | None]]:
        entries: list[Recorded] = []
        if self._may_read(change.stream):
            reading = self._store.read(change.stream, change.from_seq - 1)
            with suppress(Damaged):  # what cannot be read is for `verify` to say
                entries.extend(takewhile(lambda entry: entry.seq <= change.seq, reading))
        if self._asked.newest:
            entries.reverse()
        for entry in entries:
            if beyond is None or (entry.seq < beyond if self._asked.newest else entry.seq > beyond):
                yield change, entry
        if not entries and beyond is None:
            yield change, None

    # --- what may be seen ------------------------------------------------------------------------

    def _may_read(self, stream: bytes) -> bool:
        kind, name = stream[:1], stream[1:]
        if kind == RUN:
            row = self._row(name)
            wanted = self._asked.namespace
            return (
                row is not None
                and (not wanted or row.namespace == wanted)
                and self._shown.shows(self._people_of(row))
            )
        return kind == LEDGER and self._run is None

    def _row(self, run: bytes) -> RunRow | None:
        if run not in self._rows:
            if len(self._rows) > PIECE:
                self._rows.clear()
            self._rows[run] = self._store.run(run)
        return self._rows[run]

    def _is_shown(self, stream: bytes, event: ev.Event) -> bool:
        """Tell whether the caller may see an event of a stream that they may read."""
        if stream[:1] == RUN:
            return True
        namespace = self._namespace(stream, event)
        if isinstance(event, ev.AccessChanged):
            return self._has(Action.ADMINISTER, namespace)
        if isinstance(event, OF_READERS):
            return self._has(Action.READ, namespace)
        return self._has(Action.ADMINISTER, EVERYWHERE)

    def _has(self, action: Action, namespace: str) -> bool:
        return action in granted(self._who.caller, People(namespace))

    def _namespace(self, stream: bytes, event: ev.Event) -> str:
        if stream[:1] == RUN:
            row = self._row(stream[1:])
            return row.namespace if row is not None else ""
        return event.namespace if isinstance(event, ev.AccessChanged) else stream[1:].decode()

    # --- what is meant ---------------------------------------------------------------------------

    def is_meant(self, change: Change, entry: Recorded) -> bool:
        """Tell whether an event is what is looked for, and the caller may see it."""
        asked, event = self._asked, entry.event
        name = ev.NAMES[type(event)]
        return (
            (not asked.what or name in asked.what or name.partition(".")[0] in asked.what)
            and (asked.since is None or entry.at >= asked.since)
            and (asked.until is None or entry.at <= asked.until)
            and (not asked.who or asked.who == (_by(event).principal if _by(event) else ENGINE))
            and (not asked.why or asked.why.casefold() in _why(event).casefold())
            and (not asked.namespace or asked.namespace == self._namespace(change.stream, event))
            and self._is_shown(change.stream, event)
        )

    def document(self, change: Change, entry: Recorded) -> Json:
        """Return an event as a search tells it."""
        event, by = entry.event, _by(entry.event)
        said = _shown(event)
        return {
            "position": change.pos,
            "stream": stream_name(change.stream),
            "seq": entry.seq,
            "time": time_text(entry.at),
            "who": by.principal if by else ENGINE,
            "authenticated_by": by.auth if by else ENGINE,
            "role": (by.role or None) if by else None,
            "what": ev.NAMES[type(event)],
            "namespace": self._namespace(change.stream, event),
            "run": to_text(change.stream[1:]) if change.stream[:1] == RUN else None,
            "subject": _subject(event) or None,
            "why": _why(event) or None,
            "was": said.get("was"),
            "set": said.get("set"),
            "details": said,
        }


def _by(event: ev.Event) -> Any:
    return getattr(event, "by", None)


def _why(event: ev.Event) -> str:
    """Return the reason that a person gave; that of a state is none."""
    payload = getattr(event, "payload", None)
    if isinstance(payload, dict):
        return str(payload.get("reason") or "")
    return str(getattr(event, "reason", "")) if _by(event) is not None else ""


def _subject(event: ev.Event) -> str:
    names = ("subject", "flow", "stream", "key")
    return next((str(found) for name in names if (found := getattr(event, name, ""))), "")


def _shown(event: ev.Event) -> Json:
    """Return what an event says, but for what nobody is told."""
    said = msgspec.to_builtins(event)
    part, secret = HIDDEN.get(type(event), ("", ""))
    if part in said:
        said[part] = {name: value for name, value in said[part].items() if name != secret}
    return said
