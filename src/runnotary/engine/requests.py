"""What doors may ask for, as structs: the words of the wire and of a client are the fields here."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from runnotary.engine.submission import Wishes

Json = Any
Word = Annotated[str, Meta(max_length=256)]
Words = Annotated[tuple[Word, ...], Meta(max_length=64)]
Labels = Annotated[dict[Word, Word], Meta(max_length=64)]
Source = Annotated[dict[Word, Word | int], Meta(max_length=16)]
Count = Annotated[int, Meta(ge=0, le=100_000)]


class RunRequest(Wishes, frozen=True, omit_defaults=True, kw_only=True, forbid_unknown_fields=True):
    """A run that somebody wants: of a flow by its name, or of a definition by its hash.

    With both, the name must mean that definition. `source` tells where the definition came from, for the
    record: a file's name and digest, a revision.

    An input that is a file is `{"$file": "sha256:…"}` of a blob that is here; `name` and `size` may be added.
    """

    flow: Annotated[str, Meta(max_length=128)] | None = None
    definition: Annotated[str, Meta(pattern="^sha256:[0-9a-f]{64}$")] | None = None
    inputs: dict[str, Json] = msgspec.field(default_factory=dict)
    namespace: Annotated[str, Meta(max_length=64)] = ""
    label: Word = ""
    tags: Words = ()
    labels: Labels = msgspec.field(default_factory=dict)
    monitors: Words = ()
    managers: Words = ()
    max_concurrency: Count = 0
    on_failure: Literal["continue", "stop"] | None = None
    idempotency_key: Word = ""
    source: Source = msgspec.field(default_factory=dict)


class Changes(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, forbid_unknown_fields=True):
    """What may be changed about a run; what is absent stays as it is."""

    label: Word | UnsetType = UNSET
    tags: Words | UnsetType = UNSET
    labels: Labels | UnsetType = UNSET
    monitors: Words | UnsetType = UNSET
    managers: Words | UnsetType = UNSET
