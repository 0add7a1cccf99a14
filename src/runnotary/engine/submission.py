"""What may be said about a run: words of a submission or an update, checked; repeats; a client's own key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager
from typing import Any, Final, Literal

import msgspec

from runnotary.core import events as ev
from runnotary.core.chain import ledger_stream
from runnotary.core.decide import CHANGEABLE
from runnotary.core.definition import Words
from runnotary.core.errors import InvalidInput, VersionTaken
from runnotary.core.hashing import canonical, digest
from runnotary.core.ids import to_text
from runnotary.core.principals import principal
from runnotary.core.rows import RunRow
from runnotary.ports import Store

Json = Any
WORD_MAX: Final = 256
WORDS_MAX: Final = 64
REASON_MAX: Final = 1000


class Wishes(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What somebody may say about a run beside what it is of; the same words at every door."""

    namespace: str = "default"
    label: str = ""
    tags: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    monitors: tuple[str, ...] = ()
    managers: tuple[str, ...] = ()
    max_concurrency: int = 0
    on_failure: Literal["continue", "stop"] | None = None


class Submission(Wishes, frozen=True, kw_only=True):
    """A request for one run of a definition whose blobs are already kept.

    `words` name the flow that the definition becomes. With a `flow_id` it is that flow already, whatever
    its name means now. `previous` is the run that this one repeats.
    """

    definition: str
    words: Words = Words()
    flow_id: str = ""
    previous: str = ""
    inputs: dict[str, Json] = {}
    trigger: ev.Trigger = ev.Trigger()
    source: dict[str, Json] = {}


def again(row: RunRow, created: ev.RunCreated, inputs: dict[str, Json], trigger: ev.Trigger) -> Submission:
    """Return the request that repeats a run: same definition, same inputs, and what is said about it now.

    The flow's name goes on to mean what it means: of an older definition nothing is registered.
    """
    read = msgspec.json.decode
    return Submission(
        definition=created.definition,
        words=Words(flow=created.flow, title=created.title, description=created.description),
        flow_id=created.flow_id,
        previous=to_text(row.id),
        inputs=inputs,
        trigger=trigger,
        source=created.source,
        namespace=row.namespace,
        label=row.label,
        tags=tuple(read(row.tags)),
        labels=read(row.labels),
        monitors=tuple(read(row.monitors)),
        managers=tuple(read(row.managers)),
        max_concurrency=created.max_concurrency,
        on_failure=created.on_failure,
    )


def check_words(said: Wishes) -> None:
    """Check what people say about a run: its first event stays small, and who is named can be somebody.

    Raises:
        InvalidInput: a text over 256 letters, a control character in one, more than 64 of a kind, or a
            monitor or manager that is no principal.
    """
    texts = {"label": (said.label,), "namespace": (said.namespace,), "tag": said.tags}
    people = {"monitor": said.monitors, "manager": said.managers}
    labels = {"label name": tuple(said.labels), "label value": tuple(said.labels.values())}
    for what, held in (texts | people | labels).items():
        if len(held) > WORDS_MAX:
            raise InvalidInput(f"{len(held)} {what}s; at most {WORDS_MAX}")
        for text in held:
            _check_word(what, text)
    for who in (*said.monitors, *said.managers):
        principal(who)


def check_changes(set: dict[str, Json]) -> None:
    """Check the new values of an update; which names may be changed at all is said in `core/decide.py`.

    Raises:
        InvalidInput: a value is not of its kind, or as in `check_words`.
    """
    known = {name: value for name, value in set.items() if name in CHANGEABLE}
    try:
        check_words(msgspec.convert(known, Wishes))
    except msgspec.ValidationError as wrong:
        raise InvalidInput(f"what is to be changed: {wrong}") from None


def check_key(key: str) -> None:
    """Check a client's own key.

    Raises:
        InvalidInput: over 256 letters, or a control character in it.
    """
    _check_word("idempotency key", key)


def checked(reason: str) -> str:
    """Return a reason that somebody gave.

    Raises:
        InvalidInput: over 1,000 letters, or no text.
    """
    if len(reason) > REASON_MAX:
        raise InvalidInput(f"the reason has {len(reason)} letters; at most {REASON_MAX}")
    if any("\ud800" <= letter <= "\udfff" for letter in reason):
        raise InvalidInput("the reason is no text in UTF-8")
    return reason


def body_of(submission: Submission) -> str:
    """Return the digest of what a submission asks for; where its flow file lay does not count."""
    plain = msgspec.to_builtins(msgspec.structs.replace(submission, source={}, trigger=ev.Trigger()))
    return digest(canonical(plain))


def _check_word(what: str, text: str) -> None:
    if len(text) > WORD_MAX or not text.isprintable():
        shown = text[:40] + ("…" if len(text) > 40 else "")
        raise InvalidInput(f"{what} {shown!r}: at most {WORD_MAX} printable letters")


class Turns:
    """One at a time for each name; whoever comes later waits for those before."""

    def __init__(self) -> None:
        self._locks: dict[Hashable, tuple[asyncio.Lock, int]] = {}

    @asynccontextmanager
    async def turn(self, name: Hashable) -> AsyncIterator[None]:
        """Wait for one's turn, and hold it."""
        lock, waiting = self._locks.get(name, (asyncio.Lock(), 0))
        self._locks[name] = lock, waiting + 1
        try:
            async with lock:
                yield
        finally:
            lock, waiting = self._locks[name]
            if waiting == 1:
                del self._locks[name]
            else:
                self._locks[name] = lock, waiting - 1


def see_version_is_free(store: Store, namespace: str, words: Words, definition: str) -> None:
    """Refuse a label that already stands for another definition of the flow.

    Raises:
        VersionTaken: it does.
    """
    for record in store.read(ledger_stream(namespace)):
        event = record.event
        if not isinstance(event, ev.DefinitionChanged) or event.definition == definition:
            continue
        if (event.flow, event.version) == (words.flow, words.version):
            what = f"version {words.version} of flow {words.flow} already means {event.definition}"
            raise VersionTaken(what, hint="give the new definition another version")
