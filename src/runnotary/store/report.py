"""What a verification found: counts of what was checked, findings, and what no check could prove."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import msgspec

from runnotary.core.errors import RunnotaryError

FINDINGS_MAX: Final = 1_000


class Finding(msgspec.Struct, frozen=True, order=True):
    """One thing that does not hold. `where` names it: a stream and seq, a row and column, a digest."""

    code: str
    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


class Proven(msgspec.Struct, frozen=True, kw_only=True):
    """What the newest checkpoint says: it covers `size` entries of the log, and `uncovered` came after it.

    `key` is the name of the key that signed it, `pinned` whether the verifier brought a key that vouches for
    it, `witnesses` are those known to the verifier that have signed it too.
    """

    size: int
    uncovered: int
    key: str
    pinned: bool
    witnesses: tuple[str, ...]


class Restoration(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger says of a restore: when, by whom and why, after how many entries; what was lost.

    `lost` is the size of the newest checkpoint outside that the backup did not reach; 0 if it reached all.
    """

    time: str
    by: str
    reason: str
    entries: int
    lost: int

    def __str__(self) -> str:
        said = f"restored from a backup of {self.entries} log entries, {self.time} by {self.by}"
        said += f": {self.reason}" if self.reason else ""
        if self.lost > self.entries:
            said += f"; {self.lost - self.entries} entries that followed are lost"
        elif self.lost:
            said += f"; another history, signed at {self.lost} entries, is lost"
        return said


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome of a verification. `more` counts the findings beyond those listed."""

    checked: dict[str, int]
    findings: tuple[Finding, ...]
    more: int
    not_proven: tuple[str, ...]
    checkpoint: Proven | None = None
    restores: tuple[Restoration, ...] = ()
    erasures: tuple[str, ...] = ()
    """What was erased of which stream, when, by whom and why."""

    @property
    def ok(self) -> bool:
        return not self.findings


class Notebook:
    """Where the checks write down what they see."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.findings: list[Finding] = []
        self.more = 0
        self.restores: list[Restoration] = []
        self.erasures: list[str] = []

    def found(self, code: str, where: str, message: str) -> None:
        if len(self.findings) < FINDINGS_MAX:
            self.findings.append(Finding(code, where, message))
        else:
            self.more += 1

    @contextmanager
    def reading(self, what: str) -> Iterator[None]:
        """Turn what a damaged file does to its reader into a finding; the next check goes on.

        Only errors of the product pass, and a database that is merely busy.
        """
        try:
            yield
        except RunnotaryError:
            raise
        except sqlite3.DatabaseError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                raise
            self.found("database", what, f"cannot be read: {error}")
        except Exception as error:  # noqa: BLE001 - no damage may end a verification, not one nobody foresaw
            self.found("unforeseen", what, f"the check could not go on: {error!r}")
