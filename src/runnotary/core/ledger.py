"""A namespace's ledger, folded: what each flow's name means now, and who may do what.

Rules of this file:

1. Pure, like `core/fold.py`: the events decide, nothing else. `verify` folds a ledger again and compares.
2. A name whose definition did not change has no new version, even if its title did.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from runnotary.core import access
from runnotary.core.chain import Recorded
from runnotary.core.events import (
    AccessChanged,
    DefinitionChanged,
    EngineNoted,
    KeyChanged,
    StreamErased,
)
from runnotary.core.rows import FlowRow

HOME: Final = "home"
"""Kind of the first event of `ledger/default`; its data holds the salt of the home's actor ids."""

SALT: Final = "salt"
"""Kind of an event with another salt, for all actors from then on; the one before it was erased."""


class Ledger:
    """The working state of one namespace's ledger; private to whoever folds it."""

    def __init__(self, namespace: str) -> None:
        self.namespace: Final = namespace
        self.seq = 0
        self.at = 0
        self.salt = b""
        self.flows: dict[str, FlowRow] = {}
        self.access: Final = access.AccessState()
        self.erased: list[StreamErased] = []
        self.keys: dict[str, KeyChanged] = {}


def changed(before: FlowRow | None, event: DefinitionChanged, at: int) -> FlowRow:
    """Return the row of a flow after its definition changed."""
    new = before is None or before.definition != event.definition
    return FlowRow(
        namespace=event.namespace,
        name=event.flow,
        id=event.flow_id,
        definition=event.definition,
        version=event.version,
        title=event.title,
        description=event.description,
        versions=(before.versions if before else 0) + new,
        changed_at=at,
    )


def fold(ledger: Ledger, record: Recorded) -> None:
    """Apply one event of the ledger's stream."""
    event = record.event
    ledger.seq, ledger.at = record.seq, record.at
    if isinstance(event, DefinitionChanged):
        if event.namespace != ledger.namespace:
            raise ValueError(f"a definition of {event.namespace!r} in the ledger of {ledger.namespace!r}")
        ledger.flows[event.flow] = changed(ledger.flows.get(event.flow), event, record.at)
    elif isinstance(event, AccessChanged):
        access.fold(ledger.access, ledger.namespace, event, record.at)
    elif isinstance(event, StreamErased):
        ledger.erased.append(event)
    elif isinstance(event, KeyChanged):
        ledger.keys[event.key] = event
    elif isinstance(event, EngineNoted):
        ledger.salt = salt_of((record,)) or ledger.salt
    else:
        raise ValueError(f"{type(event).__name__} has no place in a ledger")


def salt_of(recorded: Iterable[Recorded]) -> bytes:
    """Return the salt of actor ids that the last of these events with one tells; empty if none does."""
    salt = b""
    for record in recorded:
        event = record.event
        if isinstance(event, EngineNoted) and (
            event.kind == SALT or (event.kind == HOME and record.seq == 1)
        ):
            salt = bytes.fromhex(event.data["salt"])
    return salt


def replay(namespace: str, recorded: Iterable[Recorded]) -> Ledger:
    """Fold a ledger's whole stream."""
    ledger = Ledger(namespace)
    for record in recorded:
        fold(ledger, record)
    return ledger
