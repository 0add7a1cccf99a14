"""A request as a value: what to send, and how to read the answer. Making one sends nothing."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final, Generic, TypeVar
from urllib.parse import quote

import msgspec

Json = Any
T = TypeVar("T")
API: Final = "/api/v1"
JSON_TYPE: Final = "application/json"

_encode: Final = msgspec.json.Encoder().encode


class Answer(msgspec.Struct, frozen=True):
    """A whole answer; the names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Request(Generic[T]):
    """What to send, and how to read what comes back.

    `repeatable`: sent twice it does no more than sent once, so it may be sent again when nobody knows whether
    it arrived. `wait` are seconds that the server may take on purpose, beside the time it needs.
    """

    method: str
    path: str
    decode: Callable[[Answer], T]
    params: tuple[tuple[str, str], ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    repeatable: bool = False
    wait: float = 0.0


def get(
    path: str,
    decode: Callable[[Answer], T],
    *,
    params: Mapping[str, Json] | None = None,
    headers: Mapping[str, str] | None = None,
    wait: float = 0.0,
) -> Request[T]:
    """Make a question, which may always be asked again."""
    return Request("GET", API + path, decode, words(params or {}), headers or {}, repeatable=True, wait=wait)


def send(
    method: str,
    path: str,
    decode: Callable[[Answer], T],
    document: Json = None,
    *,
    params: Mapping[str, Json] | None = None,
    headers: Mapping[str, str] | None = None,
    repeatable: bool = False,
) -> Request[T]:
    """Make a command with a JSON document."""
    body = b"" if document is None else _encode(document)
    typed = {"content-type": JSON_TYPE} if body else {}
    head = typed | dict(headers or {})
    return Request(method, API + path, decode, words(params or {}), head, body, repeatable)


def segment(text: str) -> str:
    """Write a name as one part of a path."""
    return quote(text, safe="@:")


def key_header(key: str) -> dict[str, str]:
    """Return the header that makes a POST repeatable."""
    return {"idempotency-key": key} if key else {}


def words(given: Mapping[str, Json]) -> tuple[tuple[str, str], ...]:
    """Write words of a query: a list repeats its word, nothing and the empty list are left out."""
    return tuple(
        (name, _text(one))
        for name, value in given.items()
        for one in (value if isinstance(value, list | tuple | set | frozenset) else (value,))
        if one is not None and one != ""
    )


def _text(value: Json) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if isinstance(value, date) else str(value)
