"""When a request is sent again, and after how long. Pure: what happened and the time come in as arguments.

1. What never reached a server may always be sent again.
2. What may have reached it is sent again only if it is repeatable: a question, or a command that does no more
   when it arrives twice (a POST with its idempotency key).
3. A server that has answered before is waited for as long as a request may take: it is being restarted. One
   that never has is tried for `STRANGER` seconds only: its address is more likely wrong.
4. `Retry-After` counts if it is longer than our own pause.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx2

from runnotary.client.request import Answer, Request

FIRST: Final = 0.1
LONGEST: Final = 2.0
STRANGER: Final = 2.0
NOT_SENT: Final = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
TOO_MANY: Final = 429
AWAY: Final = frozenset({502, 503, 504})


@dataclass(slots=True)
class Tries:
    """The tries of one request: how many there were, and for how many seconds more there may be."""

    patience: float
    count: int = 0

    def after_failure(self, request: Request[Any], failure: Exception, spent: float) -> float | None:
        """Return the pause before the next try, in seconds; None if there is none.

        `spent` are the seconds since the first try.
        """
        if not (isinstance(failure, NOT_SENT) or request.repeatable):
            return None
        return self._pause(spent)

    def after_answer(self, request: Request[Any], answer: Answer, spent: float) -> float | None:
        """Return the pause before the next try if the answer is not yet the real one; None if it is."""
        if answer.status != TOO_MANY and not (answer.status in AWAY and request.repeatable):
            return None
        return self._pause(spent, at_least=retry_after(answer.headers))

    def _pause(self, spent: float, at_least: float = 0.0) -> float | None:
        pause = max(backoff(self.count), at_least)
        self.count += 1
        return pause if spent + pause <= self.patience else None


def backoff(count: int) -> float:
    """Return the pause after the try of this number, from 0, in seconds."""
    return min(LONGEST, FIRST * 2.0 ** min(count, 16))


def retry_after(headers: Mapping[str, str]) -> float:
    """Return the seconds a server asks us to wait; 0 if it says nothing that we understand."""
    text = headers.get("retry-after", "")
    return float(text) if text.isdecimal() else 0.0
