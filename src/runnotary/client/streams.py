"""Following runs: which events are new, where to go on after a break, and when it is over. Pure.

The server sends each event with an `id`. After a break we name the last one that we have, and the server goes
on behind it; what it sends twice all the same is dropped here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal

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
LATEST: Final = "latest"
POSITION: Final = "runnotary-position"
After = int | Literal["latest"]


def of_run(run_id: str) -> str:
    """Return where the events of one run are."""
    return f"{API}/runs/{segment(run_id)}/events"


def of_all() -> str:
    """Return where the events of all runs are."""
    return f"{API}/events"


class Following:
    """One feed being followed, over as many connections as it takes; `reached` is about the present one.

    `after` is the id of an event, 0 for the beginning, or `latest`: only what happens from now on.
    """

    def __init__(self, path: str, after: After) -> None:
        self.path: Final = path
        self.last = 0 if after == LATEST else after
        self.over = False
        self.reached = False
        self._from_now = after == LATEST

    def request(self) -> Request[None]:
        """Return the request that goes on behind the last event."""
        headers = {"accept": "text/event-stream", "cache-control": "no-store"}
        if self.last:
            headers["last-event-id"] = str(self.last)
        params = (("after", LATEST),) if self._from_now else ()
        return Request("GET", self.path, lambda _: None, params, headers, repeatable=True)

    def reach(self, headers: Mapping[str, str]) -> None:
        """Note that the server has begun to send, and where `latest` was."""
        self.reached = True
        if self._from_now and headers.get(POSITION, "").isdecimal():
            self.last, self._from_now = int(headers[POSITION]), False

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
