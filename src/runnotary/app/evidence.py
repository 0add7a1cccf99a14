"""Checkpoints, proofs and keys for commands: of the home, of the engine next door, or of a server."""

from __future__ import annotations

import asyncio
from typing import Any

from runnotary.app import home
from runnotary.app.session import session
from runnotary.app.system import SystemChance, SystemClock, operating_user
from runnotary.config import Settings
from runnotary.core.errors import Conflict
from runnotary.core.profile import PROFILES
from runnotary.engine.access_view import AccessView
from runnotary.engine.parts import Parts

Json = Any


def change(settings: Settings, verb: str, **words: Json) -> Json:
    """Let whichever engine there is make one of `app.proving.CHANGES`; return its document."""

    async def made() -> Json:
        async with session(settings) as engine:
            return await engine.evidence(verb, words)

    return asyncio.run(made())


def asked(settings: Settings, verb: str, **words: Json) -> Json:
    """Return `checkpoint`, `proof`, `consistency` or `keys`, without an engine if none is needed.

    Raises:
        RunNotFound: nothing was ever recorded in the home.
        Unreachable: the server does not answer.
    """
    if settings.url:
        from runnotary.app.remote import evidence_there

        return evidence_there(settings, verb, words)
    with home.reading(settings) as reader:
        store, clock = home.store_of(reader), SystemClock()
        parts = Parts(store, store.blobs, clock, SystemChance(), reader.flow_of, PROFILES[settings.profile])
        proofs = home.proofs_of(settings, store, parts, reader)
        answer = getattr(proofs, verb)(AccessView(store, clock).who(operating_user()), **words)
        try:
            return asyncio.run(answer) if asyncio.iscoroutine(answer) else answer
        except Conflict:  # nothing covers it yet
            pass
    return change(settings, verb, **words)
