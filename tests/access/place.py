"""A home whose access is asked and changed, with a clock that stands still until it is moved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from runnotary.app.signing import HomeKey
from runnotary.app.system import SystemChance
from runnotary.core import definition
from runnotary.core.events import By
from runnotary.core.permissions import Who
from runnotary.engine.access import Access
from runnotary.engine.access_view import AccessView
from runnotary.engine.parts import Parts
from runnotary.store.log import SqliteStore
from runnotary.store.verify import verify

SECOND = 1_000_000
DAY = 24 * 3600 * SECOND
START = 1_800_000_000 * SECOND
OWNER = By("user:owner")


class Ticks:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.at = START

    def now(self) -> int:
        return self.at

    def stepped(self) -> int:
        return 0

    def alarm(self, at: int | None, ring: Callable[[], None]) -> None:
        raise AssertionError("nothing here waits")


class Place:
    """One home, opened."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = Ticks()
        self.store = SqliteStore.open(
            path, clock=self.clock, chance=SystemChance(), signer=HomeKey(path), durability="normal"
        )
        self.parts = Parts(self.store, self.store.blobs, self.clock, SystemChance(), definition.compile)
        self.access = Access(self.parts)

    @property
    def owner(self) -> Who:
        return self.access.who(OWNER)

    def who(self, principal: str, *groups: str) -> Who:
        """Somebody whom an identity provider vouches for."""
        return self.access.who(By(principal, "oidc"), groups)

    def bearer(self, secret: str) -> Who:
        """Somebody who came with a token."""
        by = self.access.token(secret)
        assert by is not None
        return self.access.who(by)

    def again(self) -> AccessView:
        """The same home, read anew."""
        return AccessView(self.store, self.clock)

    def close(self) -> None:
        """Close the home and check its record."""
        self.store.close()
        report = verify(self.path, deep=True)
        assert report.ok, report.findings
