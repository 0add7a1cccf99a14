"""Which attempts hold a slot, and which runs would start more if one were free.

Slots are leases owned by open attempts, never a counter: what is given back twice or dropped with its
run cannot leak. Runs that found no room are asked again in the order in which they went hungry.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec


class Lease(msgspec.Struct, frozen=True):
    """One open attempt: whose it is."""

    run: bytes
    key: str
    number: int


class Load(msgspec.Struct, frozen=True):
    """How much is under way, for whoever watches; nothing decides by it.

    Open runs, their tasks that are ready and found no room, attempts that hold a slot, and slots.
    """

    runs: int
    queued: int
    used: int
    slots: int


class Leases:
    """The slots of one engine."""

    def __init__(self, slots: int) -> None:
        self.slots: Final = slots
        self._held: dict[str, Lease] = {}
        self._of_run: dict[bytes, set[str]] = {}
        self._hungry: dict[bytes, None] = {}

    @property
    def free(self) -> int:
        """How many attempts may be started now."""
        return max(0, self.slots - len(self._held))

    @property
    def used(self) -> int:
        """How many attempts hold a slot."""
        return len(self._held)

    def take(self, attempt: str, lease: Lease) -> None:
        """Let an attempt hold a slot; recovered attempts may exceed the number of slots."""
        self._held[attempt] = lease
        self._of_run.setdefault(lease.run, set()).add(attempt)

    def of(self, attempt: str) -> Lease | None:
        """Return whose attempt it is, if it is open here."""
        return self._held.get(attempt)

    def give_back(self, attempt: str) -> None:
        """Free the slot of an attempt."""
        lease = self._held.pop(attempt, None)
        if lease is not None:
            self._of_run[lease.run].discard(attempt)

    def drop(self, run: bytes) -> None:
        """Free everything a run holds or waits for."""
        for attempt in self._of_run.pop(run, ()):
            self._held.pop(attempt, None)
        self._hungry.pop(run, None)

    def hungry(self, run: bytes, waits: bool) -> None:
        """Note whether a run has keys that found no room."""
        if waits:
            self._hungry.setdefault(run)
        else:
            self._hungry.pop(run, None)

    def next_hungry(self) -> Iterator[bytes]:
        """Yield runs to ask again, at most one for every free slot, the longest waiting first."""
        for run in list(self._hungry)[: self.free]:
            del self._hungry[run]
            yield run
