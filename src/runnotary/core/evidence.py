"""Which blobs an event vouches for: every digest whose bytes must be there for the record to be whole.

Rules of this file:

1. A digest counts where the format says that a blob stands (`docs/format.md`): in `File`, `Log`, `Large`,
   `definition`, and in values as `{"$file": …}` or `{"$dir": …}`. Text that looks like one does not, nor do
   words that people or steps choose: labels, where a request came from, metrics.
2. No recursion: a value may be nested as deeply as its writer liked.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, Literal, NamedTuple

from msgspec import structs

from runnotary.core import events as ev
from runnotary.core.hashing import is_digest

Json = Any


class Named(NamedTuple):
    """A digest and what its bytes are: any bytes, the manifest of a tree, or a JSON value."""

    digest: str
    form: Literal["bytes", "tree", "value"]


_BARREN: Final = (
    int,
    int | None,
    str,
    tuple[str, ...],
    tuple[int, ...],
    tuple[ev.Link, ...],
    ev.By,
    ev.Trigger,
)
_WORDS: Final = frozenset({"labels", "source", "was", "set", "metrics", "environment"})
_HOLDERS: Final = {
    kind: tuple(
        field.name for field in structs.fields(kind) if field.type not in _BARREN and field.name not in _WORDS
    )
    for kind in ev.CODES
}
"""The fields of each event in which a blob may stand: none whose type has no room for one, and no words."""


def blobs_in(event: ev.Event) -> Iterator[Named]:
    """Yield what the event names."""
    if isinstance(event, ev.RunCreated | ev.DefinitionChanged):
        yield Named(event.definition, "bytes")
    for field in _HOLDERS[type(event)]:
        value = getattr(event, field)
        if isinstance(value, ev.Large):
            yield Named(value.blob, "value")
        elif isinstance(value, ev.Log):
            if value.blob:
                yield Named(value.blob, "bytes")
        elif value and isinstance(value, dict | list):
            yield from blobs_in_value(value)


def blobs_in_value(value: Json) -> Iterator[Named]:
    """Yield what a JSON value names as files and trees."""
    left = [value]
    while left:
        item = left.pop()
        if isinstance(item, ev.File):
            yield Named(item.blob, "tree" if item.tree else "bytes")
        elif isinstance(item, dict):
            yield from _marked(item)
            left += [inner for inner in item.values() if isinstance(inner, dict | list | ev.File)]
        elif isinstance(item, list):
            left += [inner for inner in item if isinstance(inner, dict | list)]


def _marked(item: dict[str, Json]) -> Iterator[Named]:
    file, tree = item.get("$file"), item.get("$dir")
    if isinstance(file, str) and is_digest(file):
        yield Named(file, "bytes")
    if isinstance(tree, str) and is_digest(tree):
        yield Named(tree, "tree")
