"""What a home says about the engine that begins to work in it, before anything else is written."""

from __future__ import annotations

from runnotary.core import chain, profile
from runnotary.core.errors import Damaged
from runnotary.core.events import EngineNoted
from runnotary.ports import Append, Chance, Clock, Refusal
from runnotary.store.connection import Connection
from runnotary.store.sealing import LEDGER
from runnotary.store.streams import Streams


def note_profile(connection: Connection, name: str, clock: Clock, chance: Chance) -> None:
    """Note under which profile the home is worked in from now on, if it was another one before.

    Raises:
        Damaged: the ledger takes no fact.
    """
    before: str = profile.STANDARD.name
    for seq, envelope, body in connection.ask("noted", (LEDGER,)).fetchall():
        event = None if body is None else chain.opened(seq, envelope, body).event
        if isinstance(event, EngineNoted) and event.kind == profile.NOTED:
            before = event.data["profile"]
    if before == name:
        return
    streams = Streams(connection, chance)
    noted = EngineNoted(profile.NOTED, {"profile": name})
    append = Append(LEDGER, streams.end(LEDGER).seq, (noted,), clock.now(), chain.ENGINE_ACTOR)
    commit, (result,) = streams.draft([append], trusting=False)
    if isinstance(result, Refusal):
        raise Damaged([f"the ledger refuses what is said of the profile: {result.message}"])
    commit.write(connection, (), ())
    connection.ask("commit")
