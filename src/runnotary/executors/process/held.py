"""What the executor holds in memory for one attempt, from its start or its finding until its release."""

from __future__ import annotations

from typing import Final

from runnotary.core.attempts import Attempt
from runnotary.executors.attempt_record import Record
from runnotary.executors.process.environment import Environment
from runnotary.executors.process.failures import Refused
from runnotary.executors.process.keeper_connection import Shot
from runnotary.executors.process.leaks import Leaks
from runnotary.executors.process.reports import Reports


class Held:
    """One attempt. Nothing here is needed to take it up again: the record and `shell.json` are on disk."""

    def __init__(self, attempt: Attempt, folder: str) -> None:
        self.attempt: Final = attempt
        self.folder: Final = folder
        self.state = "starting"
        """`starting`, `running` (its end will come), `ended` (it can be collected)."""
        self.shot: Shot | None = None
        """What starts it, once the keeper has been told how."""
        self.asked = False
        """Whether the keeper may know of it."""
        self.orphaned = False
        """Whether its keeper is another one than ours: its record must be looked at."""
        self.stop_grace_ms: int | None = None
        """The grace of the last stop, if one was asked for."""
        self.refused: Refused | None = None
        """Why there never was a process, if that is known without a record."""
        self.record: Record | None = None
        """The complete record, once it has been read after the end."""
        self.lost = ""
        """Why nothing is known about its end."""
        self.environment: Environment | None = None
        """All of it, if this engine started the attempt."""
        self.evidence = b""
        self.leaks: Leaks | None = None
        """None: its secrets cannot be looked up any more, so nothing can be searched for them."""
        self.reports: Reports | None = None
        self.silent = False
        """Whether it ended without a value or a report; known once it has been looked at."""
