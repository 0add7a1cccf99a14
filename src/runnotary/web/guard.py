"""Whether a request that changes something comes from a page of ours, and not from somebody else's.

Rules of this file:

1. A browser says where a request comes from, in `Sec-Fetch-Site` or at least in `Origin`. What says neither,
   or another place, changes nothing here; programs use the API.
2. Where a cookie tells who asks, a form also brings a key that only our own pages know.
"""

from __future__ import annotations

import hmac
from urllib.parse import urlsplit

from runnotary.core.errors import PermissionDenied
from runnotary.web.asked import Asked

SAFE_METHODS = ("GET", "HEAD")


class Foreign(PermissionDenied):
    """A change that was not asked for on one of our pages."""

    code = "foreign_request"


def checked(asked: Asked, key: str) -> None:
    """Let a request pass, or refuse it. `key` is that of the visitor's session, empty without one.

    Raises:
        Foreign: it changes something and does not come from one of our pages.
    """
    if asked.method in SAFE_METHODS:
        return
    if not _from_here(asked) or not hmac.compare_digest(asked.field("form_token").encode(), key.encode()):
        raise Foreign("this request does not come from a page of this server", hint="load the page again")


def _from_here(asked: Asked) -> bool:
    site, origin = asked.headers.get("sec-fetch-site"), asked.headers.get("origin")
    if site is not None and site != "same-origin":
        return False
    if origin is not None:
        return urlsplit(origin).netloc == asked.headers.get("host") and origin != "null"
    return site == "same-origin"
