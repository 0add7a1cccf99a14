"""Events in words, with times of day as this machine's clock on the wall shows them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from runnotary.core import telling
from runnotary.core.chain import Recorded
from runnotary.core.flow import Flow
from runnotary.core.telling import Told as Told

Json = Any


def clock(at: int) -> str:
    """Write a moment as this machine's time of day."""
    return datetime.fromtimestamp(at / 1_000_000, UTC).astimezone().strftime("%H:%M:%S")


def told(entry: Recorded, flow: Flow) -> list[Told]:
    """Return what one event says to a person; nothing if it says nothing new."""
    return telling.told(entry, flow, clock)


def entry_of(entry: Recorded, flow: Flow) -> Json:
    """Return an entry of the run's log: time, code, description, details."""
    return telling.entry_of(entry, flow, clock)
