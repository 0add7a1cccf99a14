"""How durations and shares are written: the short forms a person types, and the one canonical form.

A duration is `500ms`, `2s`, `10m`, `1h30m`, `1d`, or a number of seconds; its canonical form is whole
milliseconds as text, `90000ms`, which reads back as itself.
"""

from __future__ import annotations

import re
from typing import Any, Final

DURATION_MAX_MS: Final = 366 * 86_400_000
AGE_MAX_MS: Final = 9_999 * 86_400_000
AGE_FORM: Final = "an age such as 90m, 12h, 30d or 3650d"
DURATION_FORM: Final = "a duration such as 500ms, 2s, 10m, 1h30m or 1d, or a number of seconds"

_UNITS: Final = {"d": 86_400_000, "h": 3_600_000, "m": 60_000, "s": 1000, "ms": 1}
_DURATION: Final = re.compile(
    r"(?:(\d{1,4})d)?(?:(\d{1,6})h)?(?:(\d{1,8})m(?!s))?(?:(\d{1,9}(?:\.\d{1,3})?)s)?(?:(\d{1,12})ms)?",
    re.ASCII,
)


def milliseconds(value: Any, most: int = DURATION_MAX_MS) -> int | None:
    """Return a duration in ms, or None if the value is not one of at most `most` ms."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return round(value * 1000) if 0 <= value <= most / 1000 else None
    if not isinstance(value, str) or not value:
        return None
    found = _DURATION.fullmatch(value.strip())
    if found is None or not any(found.groups()):
        return None
    parts = zip(found.groups(), _UNITS.values(), strict=True)
    total = sum(round(float(number) * unit) for number, unit in parts if number)
    return total if total <= most else None


def canonical_duration(ms: int) -> str:
    """Write a duration in its canonical form."""
    return f"{ms}ms"


def percent(value: Any) -> int | None:
    """Return a share in percent: `10` and `10%` are percent, `0.1` is a part of one."""
    if isinstance(value, str) and re.fullmatch(r"\d{1,3}%", value, re.ASCII):
        value = int(value[:-1])
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    share = value if isinstance(value, int) else round(value * 100)
    return share if 0 <= share <= 100 else None
