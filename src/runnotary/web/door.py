"""`/sign-in` and `/sign-out`: where a home asks for a token, a browser keeps a cookie that stands for it."""

from __future__ import annotations

from runnotary.core.errors import Unauthenticated
from runnotary.web import sessions
from runnotary.web.answers import Answer, see_other
from runnotary.web.visit import Visit


def sign_in_form(visit: Visit) -> Answer:
    """Ask for a token; who is known already has nothing to do here."""
    if visit.who is not None:
        return see_other(_onward(visit.asked.word("next")))
    return visit.page("sign_in.html", next=visit.asked.word("next"), problem="")


async def sign_in(visit: Visit) -> Answer:
    """Take a token, give a cookie."""
    asked = visit.asked
    authorization = f"Bearer {asked.field('token').strip()}"
    try:
        await visit.site.identify(authorization)
    except Unauthenticated as wrong:
        return visit.page("sign_in.html", wrong.http_status, next=asked.field("next"), problem=wrong.message)
    value = visit.site.sessions.open(authorization, visit.now)
    return see_other(_onward(asked.field("next")), (sessions.set_cookie(asked, value),))


async def sign_out(visit: Visit) -> Answer:
    """End the session that the cookie stands for."""
    visit.site.sessions.close(visit.cookie)
    return see_other("/sign-in", (sessions.set_cookie(visit.asked, ""),))


def _onward(wanted: str) -> str:
    """Return where to go on: a path of this server, never another one."""
    plain = wanted.isascii() and wanted.isprintable() and "\\" not in wanted
    return wanted if plain and wanted.startswith("/") and not wanted.startswith("//") else "/"
