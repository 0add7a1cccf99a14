"""Following runs: which events are new, where to go on after a break, and when it is over. Pure.

The server sends each event with an `id`. After a break we name the last one that we have, and the server goes
on behind it; what it sends twice all the same is dropped here.
"""

from __future__ import annotations

from typing import Any, Final

import httpx2
import msgspec

from runnotary.client.request import API, Request, segment
from runnotary.client.results import RunEvent, json_of, one_of

Json = Any
SILENCE: Final = 45.0
"""Seconds: a server says something at least every 15."""
PATIENCE: Final = 300.0
"""Seconds that a server may stay away before following it ends."""
END: Final = "end"


def of_run(run_id: str) -> str:
    """Return where the events of one run are."""
    return f"{API}/runs/{segment(run_id)}/events"


def of_all() -> str:
    """Return where the events of all runs are."""
    return f"{API}/events"


class Following:
    """One feed being followed, over as many connections as it takes; `reached` is about the present one."""

    def __init__(self, path: str, after: int) -> None:
        self.path: Final = path
        self.last = after
        self.over = False
        self.reached = False

    def request(self) -> Request[None]:
        """Return the request that goes on behind the last event."""
        headers = {"accept": "text/event-stream", "cache-control": "no-store"}
        if self.last:
            headers["last-event-id"] = str(self.last)
        return Request("GET", self.path, lambda _: None, (), headers, repeatable=True)

    def take(self, sent: httpx2.ServerSentEvent) -> RunEvent | None:
        """Return the event that was sent; None if we have it already, or if there is nothing more."""
        if sent.event == END:
            self.over = True
            return None
        position = int(sent.id) if sent.id.isdecimal() else 0
        if not position or position <= self.last:
            return None
        self.last = position
        event = one_of(RunEvent, json_of(sent.data.encode()))
        event.id = sent.id
        return msgspec.structs.replace(event, type=event.type or sent.event)
