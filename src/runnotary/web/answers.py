"""What a page answers with, and the headers that every answer carries.

Rules of this file:

1. The browser is told to run and to load nothing but our own files: no inline script, no inline style.
2. Nothing here is kept by a cache, except static files, whose address holds their hash.
"""

from __future__ import annotations

from typing import Final

import msgspec

CONTENT_POLICY: Final = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
EVERYWHERE: Final = (
    ("content-security-policy", CONTENT_POLICY),
    ("cross-origin-resource-policy", "same-origin"),
    ("referrer-policy", "same-origin"),
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
)
HTML: Final = "text/html; charset=utf-8"
KEPT_BY_NOBODY: Final = ("cache-control", "no-store")

Headers = tuple[tuple[str, str], ...]


class Answer(msgspec.Struct, frozen=True):
    """One response: status, body, its media type, and headers beside those of every answer."""

    body: bytes = b""
    status: int = 200
    media_type: str = HTML
    headers: Headers = ()

    def all_headers(self) -> Headers:
        """Return every header to send, media type included."""
        kept = any(name == "cache-control" for name, _ in self.headers)
        caching = () if kept else (KEPT_BY_NOBODY,)
        return (("content-type", self.media_type), *EVERYWHERE, *caching, *self.headers)


def see_other(location: str, headers: Headers = ()) -> Answer:
    """Send the browser on after a change, so that reloading repeats nothing."""
    return Answer(status=303, headers=(("location", location), *headers))
