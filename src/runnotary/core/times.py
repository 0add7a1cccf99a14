"""Times and durations as text. Inside, a time is µs since 1970 UTC and a duration is ms."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_text(at: int) -> str:
    """Write a time as `2026-01-31T12:00:00.000000Z`."""
    return (_EPOCH + timedelta(microseconds=at)).isoformat(timespec="microseconds")[:26] + "Z"


def maybe(at: int | None) -> str | None:
    """Write a time that may be missing; 0 counts as missing."""
    return to_text(at) if at else None


def from_text(text: str) -> int:
    """Read a time as `to_text` writes it; any other form with an offset of its own is read too.

    Raises:
        ValueError: it is no time, or does not say where on Earth it is meant.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text} names no time zone; write {text}Z for UTC")
    return (moment - _EPOCH) // _MICROSECOND


def elapsed(us: int) -> str:
    """Write a duration for people: `0.4s`, `12s`, `3m 20s`, `2h 5m`."""
    seconds = us / 1_000_000
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    if seconds < 60:
        return f"{seconds:.0f}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {rest}s" if rest else f"{minutes}m"
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h {minutes}m" if minutes else f"{hours}h"
