"""Who asks: from the Authorization header of a request to a principal. Bodies follow within the hour."""

from __future__ import annotations

from runnotary.config import Settings
from runnotary.core.events import By
from runnotary.core.permissions import Who
from runnotary.engine.access import Access
from runnotary.ports import Clock


class Identity:
    """Tells who asks. `local` is whoever owns the home, if requests without credentials are theirs."""

    def __init__(
        self, access: Access, settings: Settings, clock: Clock, *, local: By | None = None
    ) -> None: ...

    async def of(self, authorization: str | None) -> Who:
        """Return who asks.

        Raises:
            Unauthenticated: no credentials, or none that count; `challenge` is the WWW-Authenticate.
            Unreachable: the keys of the identity provider cannot be had.
        """
        raise NotImplementedError
