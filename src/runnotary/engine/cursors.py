"""Where a page ended, as opaque text: the value and id of its last row, bound to the listing it came from.

A cursor is no secret and grants nothing: filters and permissions are applied again to the next page. The
checksum is there so that a cursor which was cut, changed or made for another listing is refused, and not read
as some other place.
"""

from __future__ import annotations

import binascii
import hashlib
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Annotated, Any, Final

import msgspec

from runnotary.core.errors import InvalidInput

Json = Any
Id = Annotated[str, msgspec.Meta(pattern="^[0-7][0-9A-HJKMNP-TV-Z]{25}$")]
"""The id of a run, where a place holds one: anybody can write a cursor."""

CHECK_SIZE: Final = 12
DOMAIN: Final = b"runnotary.cursor1"
MARK: Final = "c"  # base64 may begin with "-", which a command line reads as an option

_encode: Final = msgspec.json.Encoder(order="sorted").encode


class InvalidCursor(InvalidInput):
    """A cursor that was not given out for this listing."""

    code = "invalid_cursor"


def cursor(listing: Json, place: Json) -> str:
    """Write a place in a listing. Both are JSON values; `listing` is what the cursor is bound to."""
    data = _encode(place)
    return MARK + urlsafe_b64encode(_check(listing, data) + data).rstrip(b"=").decode()


def place(listing: Json, text: str, kind: Any = Json) -> Json:
    """Read a cursor back. `kind` is the type of a place in this listing.

    Raises:
        InvalidCursor: it is damaged, forged, or of another listing.
    """
    try:
        letters = text.removeprefix(MARK).encode("ascii")
        raw = urlsafe_b64decode(letters + b"=" * (-len(letters) % 4))
    except (ValueError, binascii.Error):
        raise _refused() from None
    check, data = raw[:CHECK_SIZE], raw[CHECK_SIZE:]
    if check != _check(listing, data):
        raise _refused()
    try:
        found = msgspec.json.decode(data, type=kind)
    except msgspec.DecodeError:  # anybody can compute a checksum
        raise _refused() from None
    if cursor(listing, found) != text:
        raise _refused()
    return found


def _check(listing: Json, data: bytes) -> bytes:
    return hashlib.sha256(DOMAIN + hashlib.sha256(_encode(listing)).digest() + data).digest()[:CHECK_SIZE]


def _refused() -> InvalidCursor:
    return InvalidCursor(
        "this cursor is not one of this listing", hint="go back to the first page; keep the filters the same"
    )
