"""Who has signed in with a browser: a cookie that stands for a token, as long as this process lives.

Rules of this file:

1. The cookie holds chance, never the token; here lies its hash. Signing out, a restart or a day without a
   visit ends it. A token that is revoked ends it at once: each visit asks about the token anew.
2. A cookie opens pages, and what the API lets its holder read; it changes nothing through the API.
"""

from __future__ import annotations

import hashlib
import hmac
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from http.cookies import CookieError, SimpleCookie
from typing import Final

import msgspec

from runnotary.web.asked import Asked

LIFETIME_US: Final = 24 * 3600 * 1_000_000
MOST: Final = 1_000
NAME: Final = "runnotary"


class _Held(msgspec.Struct):
    authorization: str
    until: int


class Sessions:
    """Everybody who is signed in. `chance` gives that many random bytes."""

    def __init__(self, chance: Callable[[int], bytes]) -> None:
        self._chance: Final = chance
        self._key: Final = chance(32)
        self._held: dict[bytes, _Held] = {}

    def open(self, authorization: str, now: int) -> str:
        """Return the value of a new cookie that stands for an Authorization header."""
        self._held = {name: held for name, held in self._held.items() if held.until > now}
        while len(self._held) >= MOST:
            del self._held[next(iter(self._held))]
        drawn = urlsafe_b64encode(self._chance(33)).decode()
        value = f"{drawn}.{self._seal('cookie', drawn)}"
        self._held[_hashed(value)] = _Held(authorization, now + LIFETIME_US)
        return value

    def authorization(self, cookie: str, now: int) -> str | None:
        """Return what a cookie stands for; None if for nothing (any more)."""
        drawn, _, seal = cookie.partition(".")
        if not hmac.compare_digest(seal.encode(), self._seal("cookie", drawn).encode()):
            return None
        held = self._held.get(_hashed(cookie))
        if held is None or held.until <= now:
            return None
        held.until = now + LIFETIME_US
        return held.authorization

    def close(self, cookie: str) -> None:
        """Let a cookie stand for nothing from now on."""
        self._held.pop(_hashed(cookie), None)

    def form_token(self, cookie: str) -> str:
        """Return what the forms of a visitor's pages bring back."""
        return self._seal("form", cookie)

    def once(self) -> str:
        """Return a word that no other form holds: what is sent twice with it is done once."""
        return f"form:{urlsafe_b64encode(self._chance(18)).decode()}"

    def _seal(self, purpose: str, text: str) -> str:
        return hmac.new(self._key, f"{purpose}:{text}".encode(), hashlib.sha256).hexdigest()


def _hashed(value: str) -> bytes:
    return hashlib.sha256(value.encode()).digest()


def cookie_name(headers: Mapping[str, str]) -> str:
    """Return the cookie's name; cookies know no ports, so that of the server stands in it."""
    port = headers.get("host", "").rpartition(":")[2]
    return f"{NAME}_{port}" if port.isdigit() else NAME


def cookie_of(headers: Mapping[str, str]) -> str:
    """Return the value of our cookie, or nothing."""
    read: SimpleCookie = SimpleCookie()
    try:
        read.load(headers.get("cookie", ""))
    except CookieError:
        return ""
    found = read.get(cookie_name(headers))
    return found.value if found else ""


def set_cookie(asked: Asked, value: str) -> tuple[str, str]:
    """Return the header that gives a cookie, or takes it away if the value is empty."""
    parts = [f"{cookie_name(asked.headers)}={value}", "Path=/", "HttpOnly", "SameSite=Strict"]
    parts += ["Secure"] if asked.secure else []
    parts += [] if value else ["Max-Age=0"]
    return "set-cookie", "; ".join(parts)
