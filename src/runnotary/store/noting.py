"""What a home says about the engine that begins to work in it, before anything else is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from runnotary.core import chain, profile
from runnotary.core.errors import Damaged
from runnotary.core.events import EngineNoted, Event
from runnotary.core.ledger import HOME
from runnotary.ports import Append, Chance, Clock, Refusal
from runnotary.store.commit import Commit
from runnotary.store.connection import Connection, transaction
from runnotary.store.sealing import LEDGER
from runnotary.store.streams import Streams

_SALT_SIZE: Final = 32


def found(connection: Connection, now: int, chance: Chance) -> None:
    """Write what a record begins with: the salt of its actor ids, as the first event of its ledger."""
    event = EngineNoted(kind=HOME, data={"salt": chance.token(_SALT_SIZE).hex()})
    nonce = chance.token(chain.NONCE_SIZE)
    sealed = chain.seal(LEDGER, 1, chain.GENESIS, now, chain.ENGINE_ACTOR, event, nonce)
    connection.ask_many("append_event", [(LEDGER, 1, sealed.envelope, sealed.body)])
    connection.ask_many("append_log", [(1, LEDGER, 1, 1, sealed.hash)])


def note_profile(connection: Connection, name: str, clock: Clock, chance: Chance) -> None:
    """Note under which profile the home is worked in from now on, if it was another one before.

    Raises:
        Damaged: the ledger takes no fact.
    """
    noted = profile_change(connection, name)
    if noted is None:
        return
    commit = drafted(connection, (noted,), chain.ENGINE_ACTOR, clock, chance)
    with transaction(connection):
        commit.write(connection, (), ())


def drafted(
    connection: Connection, facts: Sequence[Event], actor: bytes, clock: Clock, chance: Chance
) -> Commit:
    """Return the commit that puts facts at the end of the home's ledger, while no writer works on it.

    Raises:
        Damaged: the ledger takes no fact.
    """
    streams = Streams(connection, chance)
    append = Append(LEDGER, streams.end(LEDGER).seq, tuple(facts), clock.now(), actor)
    commit, (result,) = streams.draft([append], trusting=False)
    if isinstance(result, Refusal):
        raise Damaged([f"the ledger refuses {type(facts[-1]).__name__}: {result.message}"])
    return commit


def profile_change(connection: Connection, name: str) -> EngineNoted | None:
    """Return the fact that another profile holds from now on; None if it is the one of before."""
    before: str = profile.STANDARD.name
    for seq, envelope, body in connection.ask("noted", (LEDGER,)).fetchall():
        event = None if body is None else chain.opened(seq, envelope, body).event
        if isinstance(event, EngineNoted) and event.kind == profile.NOTED:
            before = event.data["profile"]
    return None if before == name else EngineNoted(profile.NOTED, {"profile": name})
