"""A query string as a struct: every word known, every value of its type, or a refusal that says which.

A list may be given as `status=failed,cancelled` or by repeating the word. Any other word may come once.
"""

from __future__ import annotations

import types
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache
from typing import Annotated, Any, Final, TypeVar, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl

import msgspec

from runnotary.core.errors import InvalidInput
from runnotary.core.findings import did_you_mean

FIELDS_MAX: Final = 200
T = TypeVar("T", bound=msgspec.Struct)


class UnknownParameter(InvalidInput):
    """A word in the query that the route does not know."""

    code = "unknown_parameter"


class InvalidParameter(InvalidInput):
    """A value in the query that is not of its type."""

    code = "invalid_parameter"


@cache
def lists_of(kind: type[msgspec.Struct]) -> frozenset[str]:
    """Return the names of the parameters that are lists."""
    return frozenset(name for name, hint in get_type_hints(kind).items() if _is_list(hint))


def _is_list(hint: Any) -> bool:
    origin = get_origin(hint)
    if origin is Annotated or origin is types.UnionType:
        return any(_is_list(arg) for arg in get_args(hint))
    return origin is tuple


def parameters(kind: type[T], query: bytes) -> T:
    """Read a query string.

    Raises:
        UnknownParameter, InvalidParameter: with the word that is meant.
    """
    return _converted(kind, _gathered(kind, _pairs(query)))


def _pairs(query: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(
            query.decode("ascii"),
            keep_blank_values=True,
            encoding="utf-8",
            errors="strict",
            max_num_fields=FIELDS_MAX,
        )
    except ValueError as wrong:
        raise InvalidParameter(f"the query cannot be read: {wrong}") from None


def _gathered(kind: type[msgspec.Struct], pairs: Iterable[tuple[str, str]]) -> dict[str, Any]:
    known, lists = kind.__struct_encode_fields__, lists_of(kind)
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name not in known:
            there = ", ".join(known) or "none"
            raise UnknownParameter(
                f'no parameter "{name[:80]}"{did_you_mean(name[:80], known)}', hint=f"there are: {there}"
            )
        if name in lists:
            found.setdefault(name, []).extend(part for part in value.split(",") if part)
        elif name in found:
            raise InvalidParameter(f"{name}: given twice; it takes one value")
        else:
            found[name] = value
    return found


def _converted(kind: type[T], found: dict[str, Any]) -> T:
    try:
        return msgspec.convert(found, kind, strict=False)
    except msgspec.ValidationError as wrong:
        message, _, place = str(wrong).partition(" - at ")
        name = place.strip("`").removeprefix("$.").partition("[")[0]
        raise InvalidParameter(f"{name}: {message[:1].lower()}{message[1:]}") from None


def moment(name: str, text: str | None) -> int | None:
    """Read a time as µs since 1970: RFC 3339, or a date that means its first moment in UTC.

    Raises:
        InvalidParameter: it is none.
    """
    if text is None:
        return None
    try:
        read = datetime.fromisoformat(text)
        at = read if read.tzinfo else read.replace(tzinfo=UTC)
        us = round(at.timestamp() * 1_000_000)
    except (ValueError, OverflowError):
        us = -1
    if us < 0:
        raise InvalidParameter(f"{name}: write a time such as 2026-01-31T12:00:00Z, or a date, from 1970 on")
    return us
