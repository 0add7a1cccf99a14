"""What of a ledger names a person, and what whoever erases it must say again.

    events of the ledger  →  `forget`  →  the seqs whose bodies go, and the facts to be said again

Rules of this file:

1. Pure. The ledger without the bodies that go, and with what was said again, folds to what was in force
   before, but for what the person themselves had: roles, tokens, places in groups.
2. Of a change of access all that was said of its subject goes, and its present state is said anew: `was` of
   each change follows from the one before. What is not in force any more is not said again.
3. From the first change of a flow that names the person on, all of them are said again in their order: its
   versions are counted. Each says in `source` who said it first and when, unless that was the person.
4. What a name in a text was is `ERASED` afterwards. Changes of the log's own key, and restores, stay as they
   are: strangers check signatures with them. `Forgotten.kept` names them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final, TypeVar

import msgspec

from runnotary.core import access
from runnotary.core.access import TokenSaid
from runnotary.core.chain import Recorded
from runnotary.core.errors import Conflict
from runnotary.core.events import (
    NAMES,
    AccessChanged,
    By,
    DefinitionChanged,
    EngineNoted,
    Event,
    KeyChanged,
    StreamErased,
)
from runnotary.core.ledger import HOME, SALT
from runnotary.core.principals import is_principal
from runnotary.core.times import to_text as time_text

Json = Any
T = TypeVar("T", bound=Event)
Subject = tuple[str, str, str]

ERASED: Final = "(erased)"
TEXTS: Final = frozenset({"reason", "title", "description", "name"})
"""Fields in which people write what they like."""

_PART: Final = r"[\w@+~|:=-]"
"""What a name goes on with; a dot may also end a sentence, or begin the ending of a file."""

_NO_KIND: Final = "".join(rf"(?<!\b{kind}:)" for kind in ("user", "service", "group", "role"))
"""Before a bare name: with another kind it is somebody else's."""

SEQS_MAX: Final = 5_000
"""Events that one tombstone names at most, for it to stay well under the size of an event."""


class Person:
    """A principal, and how to find them in what was recorded."""

    def __init__(self, principal: str) -> None:
        self.principal: Final = principal
        kind, _, name = map(re.escape, principal.partition(":"))
        self._whole: Final = re.compile(rf"(?<!{_PART}){kind}:{name}(?!\.?{_PART})")
        bare = f"{_NO_KIND}(?i:{name})"
        self._word: Final = re.compile(rf"(?<![\w.@-])(?:{kind}:{name}|{bare})(?!\.?[\w@-])")
        self._mention: Final = re.compile(rf"(?<!\w){name}(?!\w)", re.IGNORECASE)

    def is_in(self, value: Json, field: str = "") -> bool:
        """Tell whether a value names the person; where people write what they like, the bare name counts."""
        if isinstance(value, str):
            pattern = self._word if field in TEXTS else self._whole
            return pattern.search(value.replace(ERASED, "")) is not None
        if isinstance(value, dict):
            return any(self.is_in(part, name) or self.is_in(name) for name, part in value.items())
        if isinstance(value, list | tuple):
            return any(self.is_in(part) for part in value)
        return False

    def names(self, event: Event) -> bool:
        """Tell whether an event names the person."""
        return self.is_in(msgspec.to_builtins(event))

    def is_written_in(self, value: Json) -> bool:
        """Tell whether a value has the whole name, kind included, anywhere."""
        return any(self._whole.search(text) for text in _texts(value))

    def is_mentioned_in(self, value: Json) -> bool:
        """Tell whether a value has the bare name as a word, whoever it means, beside names of others."""
        return any(self._mention.search(text) for text in _texts(value) if not is_principal(text))

    def without(self, event: T) -> T:
        """Return an event with the name out of its texts."""
        return msgspec.convert(self._clean(msgspec.to_builtins(event), ""), type(event))

    def _clean(self, value: Json, field: str) -> Json:
        if isinstance(value, str):
            return self._word.sub(ERASED, value) if field in TEXTS else self._whole.sub(ERASED, value)
        if isinstance(value, dict):
            return {name: self._clean(part, name) for name, part in value.items()}
        if isinstance(value, list | tuple):
            return [self._clean(part, "") for part in value]
        return value


def _texts(value: Json) -> Iterator[str]:
    """Yield every text in a value, names of fields as well."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for name, part in value.items():
            yield name
            yield from _texts(part)
    elif isinstance(value, list):
        for part in value:
            yield from _texts(part)


class Forgotten(msgspec.Struct, frozen=True):
    """What forgetting a person does to one ledger."""

    seqs: tuple[int, ...]
    again: tuple[Event, ...]
    kept: tuple[str, ...] = ()


def forget(namespace: str, recorded: Sequence[Recorded], person: Person, by: By, now: int) -> Forgotten:
    """Return which bodies of a ledger go and what is to be said again; `now` in µs since 1970.

    Raises:
        Conflict: something names the person that cannot be said again.
    """
    named = [record for record in recorded if person.names(record.event)]
    going, again, kept = _by_rules(namespace, recorded, named, person, by)
    subjects = dict.fromkeys(_subject(one.event) for one in named if isinstance(one.event, AccessChanged))
    state = access.AccessState()
    for record in recorded:
        if isinstance(record.event, AccessChanged):
            access.fold(state, namespace, record.event, record.at)
            if _subject(record.event) in subjects:
                going.add(record.seq)
    again += _access_again(state, subjects, person, by, now)
    if left := [event for event in again if person.names(event)]:
        raise Conflict(f"{NAMES[type(left[0])]} in the ledger of {namespace} cannot be said without the name")
    return Forgotten(tuple(sorted(going)), tuple(again), tuple(kept))


def _by_rules(
    namespace: str, recorded: Sequence[Recorded], named: Sequence[Recorded], person: Person, by: By
) -> tuple[set[int], list[Event], list[str]]:
    """Return what goes, what is said again and what is kept, apart from changes of access."""
    going: set[int] = set()
    again: list[Event] = []
    kept: list[str] = []
    flows: dict[str, int] = {}
    for record in named:
        event = record.event
        if isinstance(event, DefinitionChanged):
            flows.setdefault(event.flow, record.seq)
        elif isinstance(event, StreamErased):
            going.add(record.seq)
            again.append(msgspec.structs.replace(person.without(event), by=by))
        elif isinstance(event, KeyChanged | EngineNoted):
            kept.append(f"{NAMES[type(event)]} of {time_text(record.at)}")
        elif not isinstance(event, AccessChanged):
            raise Conflict(f"{NAMES[type(event)]} in the ledger of {namespace} cannot be said again")
    for record in recorded:
        event = record.event
        if isinstance(event, DefinitionChanged) and record.seq >= flows.get(event.flow, record.seq + 1):
            going.add(record.seq)
            again.append(_flow_again(record.at, event, person, by))
    return going, again, kept


def salts(recorded: Sequence[Recorded]) -> tuple[int, ...]:
    """Return the events that tell a salt: without it nobody can be found by their actor id."""
    return tuple(
        record.seq
        for record in recorded
        if isinstance(record.event, EngineNoted) and record.event.kind in (HOME, SALT)
    )


def tombstones(stream: str, seqs: Sequence[int], by: By, reason: str) -> Iterator[StreamErased]:
    """Yield what licenses the bodies of a ledger's events to be missing."""
    for start in range(0, len(seqs), SEQS_MAX):
        yield StreamErased(stream, by, reason, seqs=tuple(seqs[start : start + SEQS_MAX]))


def _subject(event: AccessChanged) -> Subject:
    return event.kind, event.namespace, event.subject


def _flow_again(at: int, event: DefinitionChanged, person: Person, by: By) -> DefinitionChanged:
    first = {"first_said": time_text(at), **event.source}
    if event.by.principal != person.principal:
        first = {"first_said": time_text(at), "first_said_by": event.by.principal, **event.source}
    return msgspec.structs.replace(person.without(event), by=by, source=person._clean(first, ""))


def _access_again(
    state: access.AccessState,
    subjects: Iterable[Subject],
    person: Person,
    by: By,
    now: int,
) -> Iterator[AccessChanged]:
    """Yield what is still in force of these subjects, each as if nothing had been said of it before."""
    for kind, namespace, subject in subjects:
        was: Json = {}
        said: Json = None
        if kind == "namespace":
            said = {"title": state.namespaces[subject].title}
        elif kind == "roles" and subject != person.principal:
            held = state.roles.get(subject, {}).get(namespace)
            was, said = access.said_roles(()), access.said_roles(held) if held else None
        elif kind == "group":
            said = access.said_members(state.groups[subject] - {person.principal})
        elif kind == "token":
            said = _token_again(state.tokens[subject], person, now)
        if said is not None:
            change = AccessChanged(kind, namespace, subject, by, "said again", was, said)  # type: ignore[arg-type]
            yield person.without(change)


def _token_again(token: access.Token, person: Person, now: int) -> Json:
    if token.principal == person.principal or token.status(now) != "live":
        return None
    limits = token.scopes
    said = TokenSaid(
        principal=token.principal,
        name=token.name,
        hash=token.hash,
        last4=token.last4,
        actions=None if limits.actions is None else tuple(sorted(limits.actions)),
        namespaces=None if limits.namespaces is None else tuple(sorted(limits.namespaces)),
        expires_at=token.expires_at,
    )
    return msgspec.to_builtins(said)
