"""The family of events: codes never change, fields are only ever added, bodies stay readable."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from runnotary.core import events as ev

RELEASES = sorted((Path(__file__).parents[1] / "replay").glob("*.json"))
BY_NAME = {name: kind for kind, name in ev.NAMES.items()}

# Frozen: a line is never changed or taken away. 5, 6 and 34 to 36 are reserved.
FROZEN = {
    "run.created": (1, 1),
    "run.updated": (2, 1),
    "run.held": (3, 1),
    "run.cancel_requested": (4, 1),
    "run.finished": (7, 1),
    "run.annotated": (8, 1),
    "task.started": (16, 1),
    "task.bound": (17, 1),
    "task.reported": (18, 1),
    "task.waiting": (19, 1),
    "task.signalled": (20, 1),
    "task.stopping": (21, 1),
    "task.ended": (22, 1),
    "task.settled": (23, 1),
    "task.expanded": (24, 1),
    "definition.changed": (32, 1),
    "access.changed": (33, 1),
    "stream.erased": (37, 1),
    "engine.noted": (38, 1),
    "key.changed": (39, 1),
}


def test_the_codes_are_frozen() -> None:
    assert {ev.NAMES[kind]: pair for kind, pair in ev.CODES.items()} == FROZEN
    assert ev.name(22, 1) == "task.ended"
    assert ev.name(999, 2) == "type 999.2"


def every_event() -> list[type[ev.Event]]:
    return ev.Event.__subclasses__()


def test_every_event_has_a_code_and_a_name() -> None:
    assert set(every_event()) == set(ev.CODES) == set(ev.NAMES)
    assert len(set(ev.CODES.values())) == len(ev.CODES) == len(set(ev.NAMES.values()))


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.stem)
def test_fields_are_only_ever_added(release: Path) -> None:
    for name, recorded in json.loads(release.read_text())["types"].items():
        fields = {field.encode_name: field for field in msgspec.structs.fields(BY_NAME[name])}
        assert {key for key, field in fields.items() if field.required} == set(recorded["required"]), name
        assert set(recorded["optional"]) <= set(fields), name


@pytest.mark.parametrize("kind", every_event(), ids=lambda kind: ev.NAMES[kind])
def test_a_field_from_the_future_is_ignored(kind: type[ev.Event]) -> None:
    minimal: dict[str, Any] = {
        field.encode_name: example(field.type) for field in msgspec.structs.fields(kind) if field.required
    }
    body = msgspec.json.encode({**minimal, "from_the_future": [1]})
    decoded = ev.decode(*ev.CODES[kind], body)
    assert type(decoded) is kind
    # Defaults are not written: what is read back is what was said.
    assert msgspec.json.decode(ev.encode(decoded)) == minimal


def example(kind: Any) -> Any:
    simple: dict[Any, Any] = {str: "x", int: 1, ev.By: {"principal": "user:x"}}
    if kind in simple:
        return simple[kind]
    if msgspec.inspect.type_info(kind).__class__.__name__ == "LiteralType":
        return kind.__args__[0]
    return {} if "dict" in str(kind) else []


@pytest.mark.parametrize(
    ("code", "version", "body"),
    [
        (0, 1, b"{}"),
        (1, 2, b"{}"),
        (1, 1, b"{}"),
        (1, 1, b"not json"),
        (38, 1, b'{"kind": 1}'),
        (38, 1, b'{"kind": "\xff"}'),
        (38, 1, b'{"kind": "x", "data": {"a": ' + b"[" * 100_000),
    ],
)
def test_what_is_not_an_event_of_this_release_is_refused(code: int, version: int, body: bytes) -> None:
    with pytest.raises(ev.UnknownEvent):
        ev.decode(code, version, body)
