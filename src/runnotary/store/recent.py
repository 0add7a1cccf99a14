"""Which blobs somebody put or wanted lately, and has perhaps not yet named in an event."""

from __future__ import annotations

import threading
from typing import Final

NOTED_MAX: Final = 65_536


class Recent:
    """The last blobs that somebody put or wanted, each with the position of the log at that time.

    Such a note is settled when a run that named the blob ended after it: then it was that run's.

    `guard` makes two steps one: to note a blob and find it here, and to see that nobody noted it and take it
    away. Without it a blob could go between the look of somebody who needs it and their event.
    """

    def __init__(self) -> None:
        self.guard: Final = threading.Lock()
        self._noted: dict[str, int] = {}

    def note(self, digest: str, position: int) -> None:
        """Note that somebody put a blob, or wants it. The caller holds the guard."""
        self._noted.pop(digest, None)
        self._noted[digest] = position
        if len(self._noted) > NOTED_MAX:
            del self._noted[next(iter(self._noted))]

    def settled(self, digest: str, ended: int) -> bool:
        """Tell whether nobody needs a blob but a run that ended there. The caller holds the guard."""
        if self._noted.get(digest, -1) >= ended:
            return False
        self._noted.pop(digest, None)
        return True
