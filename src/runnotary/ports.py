"""What the engine asks of the outside, and nothing else: Store, Blobs, Executor, Clock, Chance.

The engine owns these protocols; `store` and `executors` satisfy them, `app` connects the two and the
simulator replaces every one of them. They speak core's words only: no path, socket or pid.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Generator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, Literal, Protocol, TypeVar

import msgspec

from runnotary.core.attempts import Attempt, Outcome
from runnotary.core.chain import Recorded
from runnotary.core.errors import Conflict, NotRecorded, RunnotaryError, Unreachable
from runnotary.core.events import By, Event, StreamErased
from runnotary.core.notes import PublicKey
from runnotary.core.queries import ContentQuery, RunQuery
from runnotary.core.rows import FlowRow, KeyRow, Row, RunRow, TaskRow

Json = Any
T = TypeVar("T", covariant=True)


class Erasure(msgspec.Struct, frozen=True):
    """A run that goes: its whole stream, if it still ends there, and every row made from it.

    `key` is the principal and key of its row of `keys`, if it has one; `blobs` are the SHA-256 of all that it
    names, its rows of `uses` among them.
    """

    run: bytes
    seq: int
    head: bytes
    key: tuple[str, str] | None = None
    blobs: tuple[bytes, ...] = ()
    bodies: bool = False
    """Only what its events say goes; that they were stays."""


class Append(msgspec.Struct, frozen=True):
    """Events for one stream, conditional on its length, with the rows that follow from them.

    `erase` names the runs that these events are the tombstones of: all go in the same commit, or none and
    nothing is appended. `blank` are events of this very stream whose bodies go with it.
    """

    stream: bytes
    expected_seq: int
    events: tuple[Event, ...]
    at: int
    actor: bytes
    rows: tuple[Row, ...] = ()
    erase: tuple[Erasure, ...] = ()
    blank: tuple[int, ...] = ()


class Appended(msgspec.Struct, frozen=True):
    """The stream has grown: its last seq, its head, its position in the log."""

    stream: bytes
    seq: int
    head: bytes
    pos: int


class Refusal(msgspec.Struct, frozen=True):
    """The stream was not written. `conflict`: its length differs; `failed`: this can never be written;
    `unwritten`: the store failed to; `away`: the database cannot be reached, or is too busy.
    """

    stream: bytes
    code: str
    message: str = ""
    actual_seq: int = 0

    def error(self, what: str) -> RunnotaryError:
        """Return what to raise for it; `what` says what was not done."""
        if self.code == "unwritten":
            hint = "nothing of it happened; look at the disk of the home, then ask again"
            return NotRecorded(f"{what}: {self.message}", hint=hint)
        if self.code == "away":
            hint = "see whether it happened once the database is back, or ask again with an idempotency key"
            return Unreachable(f"{what}: {self.message}", hint=hint)
        return Conflict(f"{what}: {self.message or self.code}")


class Change(msgspec.Struct, frozen=True):
    """A stream grew in one commit: from `from_seq` to `seq`, at the position `pos` of the log."""

    pos: int
    stream: bytes
    from_seq: int
    seq: int


class Signer(Protocol):
    """The key of a home. Raises `OSError`, or an error of the product, if it cannot be used."""

    def public_key(self, name: str, active: Collection[str]) -> PublicKey:
        """Return the public half; a home without a key gets one of this name.

        `active` are the keys in use by the ledger's word: it decides whether a change that was interrupted
        took place.
        """

    def sign(self, data: bytes) -> bytes:
        """Sign with the key that `public_key` told last."""

    def draw(self, name: str) -> PublicKey:
        """Make the next key, beside the one in use."""

    def renew(self) -> None:
        """Let the next key be the one in use."""


class Beside(Protocol):
    """What goes on beside a commit; nothing of it may raise."""

    def meanwhile(self) -> None:
        """Called in the caller's loop when only the disk is still at work, or not at all."""

    def durable(self) -> None:
        """Called once all of the batch is durable, before `append` returns, in whichever thread: be quick."""


class Meter(Protocol):
    """Told what a store does, in whichever thread does it: be quick, and raise nothing."""

    def committed(self, seconds: float, events: int) -> None:
        """A durable commit of so many events took this long."""

    def kept(self, size: int) -> None:
        """So many bytes that were not here are kept as a blob."""


class Unnamed(Protocol):
    """Blobs that nothing in the record names, as of the last time that somebody asked."""

    def among(self, digests: Iterable[str]) -> set[str]:
        """Return which of these are such ones by now.

        The first call reads the whole log, later ones what was committed since: not in a loop.
        """


class Sharing(Protocol):
    """An engine that shares its record with others; told in its loop."""

    def grown(self, changes: Sequence[Change]) -> None:
        """Somebody committed, perhaps this engine itself."""

    def taken(self, runs: Sequence[bytes]) -> None:
        """These open runs are this engine's from now on: whoever worked on them is gone."""

    def given_up(self) -> None:
        """This engine was taken for dead: all its runs are others' by now."""

    def answers(self) -> None:
        """The record can be reached; told every now and then."""


class Store(Protocol):
    """The log and its read tables."""

    async def append(self, batch: Sequence[Append], beside: Beside | None = None) -> list[Appended | Refusal]:
        """Write the batch in one commit (shared with whoever asks meanwhile); durable on return.

        Small blobs put before the call and not yet durable become durable in the same commit.
        """

    def read(self, stream: bytes, after: int = 0) -> Iterator[Recorded]:
        """Read a stream in order, from `after` + 1 on."""

    def head(self, stream: bytes) -> tuple[int, bytes]:
        """Return length and head of a stream; (0, 32 zero bytes) if it does not exist."""

    def share(self, engine: Sharing) -> None:
        """Tell an engine, in the loop that is running now, what others do; nobody else writes to a home."""

    async def claim(self, run_id: bytes) -> bool:
        """Let an open run be this engine's; False if it is another's, who is alive, or over."""

    async def hand_over(self, run_id: bytes, place: str) -> bool:
        """Let an open run of ours be the engine's of that place; False if none is at work there."""

    def is_ours(self, run_id: bytes) -> bool:
        """Tell whether this engine is the last that worked on a run."""

    def open_runs(self) -> list[bytes]:
        """Return the ids of runs that are not terminal, oldest first."""

    def run(self, run_id: bytes) -> RunRow | None: ...

    def runs(self, query: RunQuery) -> list[RunRow]:
        """Return one page of runs, in the order asked for."""

    def count(self, query: RunQuery) -> int:
        """Return how many runs there are, whatever page was asked for."""

    def tally(self, query: RunQuery) -> dict[str, int]:
        """Return how many runs there are of each definition."""

    def keyed(self, principal: str, key: str) -> KeyRow | None:
        """Return the run that a client's own key stands for."""

    def runs_with(self, query: ContentQuery) -> list[RunRow]:
        """Return runs that made a content, or were given it."""

    def feed(self, after: int, limit: int = 1000) -> list[Change]:
        """Return what was committed after the position `after`, in the order of the log."""

    def walk(self, at: int | None, *, newest: bool, stream: bytes = b"", limit: int) -> list[Change]:
        """Return commits from a position on, this one included, forwards or with `newest` backwards; of one
        stream if it is named. None is the end that the walk begins at.
        """

    def position(self) -> int:
        """Return the last position of the log."""

    def sealed(self) -> int:
        """Return how many entries of the log the newest checkpoint covers."""

    def placed(self, stream: bytes, seq: int) -> int:
        """Return the position in the log of the commit that brought an event; 0 if there is none."""

    def tombstone(self, run_id: bytes) -> tuple[str, int, StreamErased] | None:
        """Return what was said when a run was erased, in whose ledger and when (µs since 1970); None if it
        was not.
        """

    def ledgers(self) -> list[str]:
        """Return the namespaces that have a ledger."""

    def saying(self, text: bytes) -> Iterator[tuple[bytes, list[bytes]]]:
        """Yield each stream with bodies that hold these bytes, in whatever case, and these bodies.

        Reads the whole log.
        """

    async def prune(self) -> int:
        """Let go of every blob that nothing in the record names, while nobody is at work; return how many."""

    async def scrub(self, at_most: int = 0) -> bool:
        """Write the database anew, so that no free space in it holds what was erased; False if it is larger
        than `at_most` bytes, and was left as it is. Nothing is committed meanwhile.

        Raises:
            NotRecorded: there is no room for it; it was left as it is.
        """

    def watch(self, called: Callable[[Sequence[Change]], None]) -> None:
        """Call `called` after each commit from now on, in the loop that is running now."""

    def unnamed(self, digests: Collection[str], without: Collection[bytes]) -> Unnamed:
        """Return those of these blobs that nothing in the record names, the streams `without` left aside."""

    def tasks(self, run_id: bytes) -> list[TaskRow]: ...

    def waiting(
        self, query: RunQuery, after: tuple[bytes, str] | None = None, limit: int = 50
    ) -> list[TaskRow]:
        """Return tasks that wait for somebody, of open runs that the filters leave, by run and key."""

    def flow(self, namespace: str, name: str) -> FlowRow | None: ...

    def flows(self, namespace: str) -> list[FlowRow]: ...

    def home_salt(self) -> bytes:
        """Return the salt of this home's actor ids (`core.chain.actor_id`)."""


KeyEnd = Literal["retired", "revoked"]
"""How a key goes out of use: in good order, or because somebody else may have it."""


class Log(Protocol):
    """The log as a whole: what was signed of it, and what can be proven with that."""

    async def checkpoint(self) -> str:
        """Return a signed note that covers all that is committed; durable on return.

        Raises:
            Damaged: nothing may be signed any more.
        """

    def note(self, size: int = 0) -> str:
        """Return the newest checkpoint, or that of a size; nothing if there is none."""

    def entry(self, pos: int) -> tuple[bytes, int, bytes] | None:
        """Return an entry of the log, counted from 1: the stream, its length then and its head."""

    def stored(self, stream: bytes) -> Iterator[tuple[int, bytes, bytes | None]]:
        """Read a stream as it lies: seq, envelope and body, which is None if it was erased."""

    def rows(self, stream: bytes) -> list[tuple[int, int, int, bytes]]:
        """Return the entries of a stream in the log, oldest first: pos, first and last event, head."""

    async def signed(self, text: str) -> str:
        """Return the manifest of a bundle as a note, signed by the key in use.

        Raises:
            Damaged: nothing may be signed any more.
        """

    def noted(self) -> Iterator[Recorded]:
        """Read what the home says about itself and its keys (`engine.noted`, `key.changed`)."""

    def inclusion(self, pos: int, size: int) -> list[bytes]:
        """Return the path from an entry to the root of the first `size` entries.

        Raises:
            ValueError: there is no such entry among them.
        """

    def consistency(self, old: int, new: int) -> list[bytes]:
        """Return the proof that the log of `new` entries continues that of `old` ones.

        Raises:
            ValueError: it is the smaller one, or the old one is empty.
        """

    async def change_key(self, name: str, state: KeyEnd, by: By, reason: str) -> PublicKey:
        """Put a new key in the place of the one in use, which is then `state`; return the new one.

        Raises:
            Damaged: nothing may be signed any more.
        """


class Export(msgspec.Struct, frozen=True):
    """A run in a form of its own, as a file: its name and media type, and its bytes in pieces."""

    name: str
    media_type: str
    pieces: Iterator[bytes]


class Exporter(Protocol):
    """Writes runs in other forms than ours."""

    async def export(self, run: bytes, form: str) -> Export:
        """Return a run in a form; what can go wrong went wrong before the first piece.

        Raises:
            InvalidInput: there is no such form.
            RunNotFound: there is no such run; RunErased: and the form needs what it said.
            NotEnded: the form is for runs that are over.
            BlobNotFound, Damaged: the record of the run is not whole.
        """


class Blobs(Protocol):
    """Bytes under their own hash."""

    def put(self, data: bytes) -> str:
        """Keep small bytes; durable with the next append, or at once if large. Returns the digest."""

    def put_file(self, path: Path, *, known: str = "") -> tuple[str, int]:
        """Keep a file's content (reflink, else copy; fsync; rename). Returns digest and size."""

    def take_file(self, path: Path) -> tuple[str, int]:
        """Keep a file that nobody needs where it is: a large one may be gone from there afterwards."""

    def get(self, digest: str) -> bytes:
        """Return the bytes, checked against the digest.

        Raises:
            BlobNotFound: not here.
            Damaged: the bytes are not those of the digest.
        """

    def stage(self, digest: str, target: Path, *, executable: bool = False) -> None:
        """Make the content available at `target` as a file of its own (reflink, else copy)."""

    def has(self, digest: str) -> bool: ...

    def size(self, digest: str) -> int: ...

    def want(self, digest: str) -> None:
        """Say that something is about to name these bytes: who discards blobs now leaves them."""

    async def discard(self, named: Sequence[tuple[str, int]], unused: Collection[str]) -> list[str]:
        """Let go of those blobs that nothing names any more; return those that went.

        `named` are all blobs that the purged runs named, each with the position in the log where the last
        of these ended; what names others stands before them. A blob that somebody put or wanted after that
        stays, and so does all that is behind it: whoever did may be about to name it.
        """


class Ended(msgspec.Struct, frozen=True):
    """Observation: the attempt has ended and can be collected."""

    attempt: str


class Report(msgspec.Struct, frozen=True):
    """Observation: a running attempt said something about itself."""

    attempt: str
    progress: int | None = None
    message: str = ""
    metrics: dict[str, Json] = {}


Observation = Ended | Report


class Done(Awaitable[T]):
    """What an awaitable would bring, brought already: whoever sees it need not give way to others first."""

    def __init__(self, result: T) -> None:
        self.result: Final = result

    def __await__(self) -> Generator[Any, None, T]:
        yield from ()
        return self.result


class Executor(Protocol):
    """Where attempts run. Every call names the attempt by id and may be repeated.

    What is quick is done by the call itself; what is left is in the awaitable, which is `Done` if nothing is.
    """

    def observe(self, notify: Callable[[Observation], None]) -> None:
        """Send observations to `notify`, in the engine's loop, from now on."""

    def prepare(self, attempt: Attempt) -> None:
        """Get ready for a start whose intent is being written, if that is quick; nobody outside may notice.

        `start` or `release` follows, unless the engine dies.
        """

    def begin(self, attempt_id: str) -> None:
        """Start what was prepared, in whichever thread: its intent is durable, and `start` follows.

        Does nothing to what was not prepared.
        """

    def start(self, attempt: Attempt) -> Awaitable[None]:
        """Stage inputs and start; done once it is claimed. Never starts an id twice; raises only later.

        An attempt that cannot be started is reported as `Ended` and explains itself in `collect`.

        Raises:
            Unreachable: what it needs cannot be read now; nothing was started.
        """

    def reach(self, attempt: Attempt) -> str:
        """Return the place that alone can tell how an attempt stands; nothing if it is here."""

    async def find(self, attempt: Attempt) -> bool:
        """Take up an attempt that an earlier engine may have started (`engine.md` C13).

        True: it lives, has ended, or is lost, and `Ended` will be observed (once more, if it was before).
        False: it never started.
        """

    async def stop(self, attempt_id: str, grace_ms: int) -> None:
        """Ask it to end, then make it; the end arrives as `Ended`."""

    def collect(self, attempt_id: str) -> Awaitable[Outcome]:
        """Read the outcome from the attempt's own record; hash and keep what it left."""

    def leftovers(self) -> list[str]:
        """Return the ids of attempts for which something is still held, whoever started them."""

    def release(self, attempt_id: str, *, keep: bool) -> Awaitable[None]:
        """Give up everything held for it; `keep` leaves its folder for `run shell`."""


class Clock(Protocol):
    """Time as the engine sees it, in µs since 1970, and one alarm."""

    def now(self) -> int: ...

    def stepped(self) -> int:
        """Return by how many µs the clock was set forward (or back, negative) since the last call.

        0 for what the ordinary slewing of a clock explains.
        """

    def alarm(self, at: int | None, ring: Callable[[], None]) -> None:
        """Call `ring` once at or after `at`; replaces the alarm set before."""


class Chance(Protocol):
    """Randomness as an argument: ids, nonces, jitter."""

    def token(self, size: int) -> bytes: ...
