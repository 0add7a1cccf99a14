"""What a browser asks for, apart from any framework."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

import msgspec

FIELDS_MAX: Final = 1000

Fields = dict[str, tuple[str, ...]]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One request. `headers` have lower-case names; `params` are the parts of the path that vary."""

    method: str = "GET"
    path: str = "/"
    params: dict[str, str] = {}
    query: Fields = {}
    form: Fields = {}
    headers: Mapping[str, str] = {}
    secure: bool = False

    def word(self, name: str, default: str = "") -> str:
        """Return one word of the query."""
        return self.query.get(name, (default,))[0]

    def field(self, name: str, default: str = "") -> str:
        """Return one field of the form."""
        return self.form.get(name, (default,))[0]

    @property
    def live(self) -> bool:
        """Tell whether only the part of the page that changes by itself is wanted."""
        return self.word("part") == "live"


def fields(text: str) -> Fields:
    """Read a query string or the body of a form.

    Raises:
        ValueError: too many fields.
    """
    found: dict[str, list[str]] = {}
    for name, value in parse_qsl(text, keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="replace"):
        found.setdefault(name, []).append(value)
    return {name: tuple(values) for name, values in found.items()}
