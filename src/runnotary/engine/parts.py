"""The ports that the rooms of the engine share, given once by whoever composes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from runnotary.core.flow import Flow
from runnotary.core.profile import STANDARD, Profile
from runnotary.ports import Blobs, Chance, Clock, Store


@dataclass(frozen=True)
class Parts:
    """Store, blobs, time and chance of one home, its definitions by digest, and what its profile demands."""

    store: Store
    blobs: Blobs
    clock: Clock
    chance: Chance
    flow_of: Callable[[str], Flow]
    profile: Profile = STANDARD
