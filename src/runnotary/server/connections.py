"""One connection over HTTP/1.1: uvicorn's, which also ends when its client takes nothing any more.

uvicorn lets an answer wait for ever for a client that does not read, and closes such a connection only after
that client has read what is buffered. So it would be held until the client goes, with what it was sent.
"""

from __future__ import annotations

import asyncio
from typing import ClassVar

from uvicorn.protocols.http.h11_impl import H11Protocol


class Connection(H11Protocol):
    """A connection that is cut when its buffer stays full, and none of it is taken, for `stall_s` seconds.

    What waits for the client meanwhile is the buffer of its transport (64 KiB) and the piece that filled it.
    """

    stall_s: ClassVar[float] = 30.0
    _watch: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        """Be told that the buffer is full: whoever answers waits from now on."""
        super().pause_writing()
        self._look_again()

    def resume_writing(self) -> None:
        """Be told that the client has taken most of the buffer."""
        super().resume_writing()
        self._look_away()

    def connection_lost(self, exc: Exception | None) -> None:
        """Be told that the connection is over."""
        self._look_away()
        super().connection_lost(exc)

    def _look_again(self) -> None:
        left = self.transport.get_write_buffer_size()
        self._watch = self.loop.call_later(self.stall_s, self._looked, left)

    def _look_away(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    def _looked(self, before: int) -> None:
        if self.transport.get_write_buffer_size() < before:
            self._look_again()
        else:
            self.transport.abort()
