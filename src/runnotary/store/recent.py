"""Which blobs somebody put or wanted lately: whoever did may be about to name them in an event."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

HELD_MAX: Final = 65_536


class Recent:
    """The last blobs that somebody put or wanted, with the time of each.

    `guard` makes two steps one: to note a blob and find it here, and to see that nobody noted it and take it
    away. Without it a blob could go between the look of somebody who needs it and their event.
    """

    def __init__(self, now: Callable[[], int]) -> None:
        self.guard: Final = threading.Lock()
        self._now: Final = now
        self._noted: dict[str, int] = {}

    def note(self, digest: str) -> None:
        """Note that somebody put a blob, or wants it. The caller holds the guard."""
        self._noted.pop(digest, None)
        self._noted[digest] = self._now()
        if len(self._noted) > HELD_MAX:
            del self._noted[next(iter(self._noted))]

    def after(self, digest: str, since: int) -> bool:
        """Tell whether somebody did after that time (µs). The caller holds the guard."""
        return self._noted.get(digest, -1) > since
