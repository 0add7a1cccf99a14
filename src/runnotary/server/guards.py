"""Who may speak to this server at all, and the headers that every answer carries.

Without credentials one thing stands between a web page and the owner's runs: a browser tells where a request
comes from and whom it is for. So a server in local-owner mode answers only to its own names (no name that
somebody else's DNS lets point here) and only to pages of its own, or of `cors_origins`.
"""

from __future__ import annotations

import ipaddress
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from runnotary.core.errors import InvalidInput, PermissionDenied

LOCAL: Final = "localhost"
CONTENT_POLICY: Final = "default-src 'none'; frame-ancestors 'none'"
ALWAYS: Final = (
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("x-frame-options", "DENY"),
    ("cross-origin-resource-policy", "same-origin"),
    ("content-security-policy", CONTENT_POLICY),
    ("cache-control", "no-store"),
)


HEAD_MAX: Final = 32 * 1024
"""Bytes of path, query and headers; uvicorn refuses what is longer than 64 KiB only if it comes in parts."""


class HeadTooLarge(InvalidInput):
    """A request whose path, query and headers are longer than any that this server could use."""

    code = "head_too_large"
    http_status = 431


class WrongOrigin(PermissionDenied):
    """A request for another server, or from a page that has no business here."""

    code = "wrong_origin"


def is_loopback(host: str) -> bool:
    """Tell whether a name or address can only be this machine."""
    name = host.strip("[]").rstrip(".").lower()
    if name == LOCAL or name.endswith(f".{LOCAL}"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def host_of(address: str) -> str:
    """Return the name in `NAME`, `NAME:PORT` or `[ADDRESS]:PORT`; "" if it is none of these."""
    try:
        return urlsplit(f"//{address}").hostname or ""
    except ValueError:
        return ""


def place_of(origin: str) -> str:
    """Return the name and port in an origin; "" if it is none."""
    try:
        return urlsplit(origin).netloc
    except ValueError:
        return ""


def origins_of(setting: str) -> tuple[str, ...]:
    """Return the origins in the setting `cors_origins`."""
    return tuple(setting.replace(",", " ").split())


def admit_all(headers: Headers) -> None:
    """Let every request pass: credentials decide."""


def check_local(headers: Headers, allowed_origins: tuple[str, ...]) -> None:
    """Let a request pass in local-owner mode.

    Raises:
        WrongOrigin: it is for another name, or from a page elsewhere.
    """
    host = headers.get("host", "")
    if not is_loopback(host_of(host)):
        raise WrongOrigin(f"this server answers to localhost, not to {host[:80] or 'no name'}")
    origin = headers.get("origin")
    if origin is None or origin in allowed_origins:
        return
    if place_of(origin).lower() != host.lower():
        raise WrongOrigin(
            f"a page of {origin[:80]} may not speak to this server", hint="the setting: cors_origins"
        )


def check_head(scope: Scope) -> None:
    """Let a request pass whose head is not too large.

    Raises:
        HeadTooLarge: it is.
    """
    size = len(scope["raw_path"]) + len(scope["query_string"])
    size += sum(len(name) + len(value) for name, value in scope["headers"])
    if size > HEAD_MAX:
        raise HeadTooLarge(f"path, query and headers have at most {HEAD_MAX:,} bytes here")


class SecureHeaders:
    """Adds what every answer says to a browser, unless the answer says it itself."""

    def __init__(self, app: ASGIApp) -> None:
        self._app: Final = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in ALWAYS:
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, secured if scope["type"] == "http" else send)
