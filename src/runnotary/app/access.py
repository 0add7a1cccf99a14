"""Who may do what, asked and changed by commands: in the home, by the engine next door, or on a server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from runnotary.app import home
from runnotary.app.system import SystemClock, operating_user
from runnotary.config import Settings
from runnotary.core.errors import InvalidInput
from runnotary.core.events import By
from runnotary.engine.access import Access
from runnotary.engine.access_view import AccessView

Json = Any
QUESTIONS: Final = ("namespaces", "namespace", "history", "groups", "tokens", "whoami")
CHANGES: Final = ("create_namespace", "grant", "revoke", "set_group", "create_token", "revoke_token")


async def answered(access: Access, by: By, verb: str, words: Mapping[str, Json]) -> Json:
    """Make one of `CHANGES` and return its document; that of a new token holds its `secret`.

    Raises:
        InvalidInput: it is none of them, or takes other words.
    """
    if verb not in CHANGES:
        raise InvalidInput(f"access knows no change called {verb}")
    try:
        changing = getattr(access, verb)(access.who(by), **words)
    except TypeError as wrong:
        raise InvalidInput(f"{verb}: {wrong}", hint="the other engine may be of another release") from None
    done = await changing
    if verb != "create_token":
        return done
    document, secret = done
    return {**document, "secret": secret}


def asked(settings: Settings, verb: str, **words: Json) -> Json:
    """Return the answer to one of `QUESTIONS`.

    Raises:
        RunNotFound: nothing was ever recorded in the home.
        Unreachable: the server does not answer.
    """
    if settings.url:
        from runnotary.app.remote import connection
        from runnotary.app.remote_access import access_request

        there = connection(settings)
        try:
            return there.ask(access_request(verb, words))
        finally:
            there.close()
    with home.reading(settings) as reader:
        view = AccessView(reader.store, SystemClock())
        return getattr(view, verb)(view.who(operating_user()), **words)


def own_name(settings: Settings) -> str:
    """Return the principal as whom commands ask.

    Raises:
        Unreachable: the server does not answer.
    """
    return asked(settings, "whoami")["principal"] if settings.url else operating_user().principal
