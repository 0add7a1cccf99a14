"""A connection that carries one JSON object per line, in a selector loop, never blocking.

Standard library only: the keeper, which is a script, imports it as its sibling.
"""

import json
import selectors
import socket
from collections.abc import Callable

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

LONGEST = 16 << 20


class Lines:
    """One peer. `closed` may become true within any call; from then on nothing is received or sent."""

    def __init__(
        self,
        connection: socket.socket,
        selector: selectors.BaseSelector,
        on_message: "Callable[[Lines, dict[str, Any]], None]",
        on_close: "Callable[[Lines], None]",
    ) -> None:
        self.closed = False
        self.greeted = False  # this, `env` and `ready` are for the one who serves
        self.env: dict[bytes, bytes] = {}
        self.ready: dict[str, Any] = {}
        self._connection = connection
        self._selector = selector
        self._on_message = on_message
        self._on_close = on_close
        self._parts: list[bytes] = []
        self._unsent = b""
        self._delivering = False
        self._events = selectors.EVENT_READ
        connection.setblocking(False)
        selector.register(connection, self._events, self._ready)

    def send(self, message: "dict[str, Any]") -> None:
        """Sends what the socket takes now and the rest later; a peer that does not read is dropped."""
        if not self.closed:
            self._unsent += json.dumps(message).encode() + b"\n"
            if not self._delivering:
                self._flush()

    def close(self) -> None:
        """Ends the connection and tells its owner, once."""
        if not self.closed:
            self.closed = True
            self._selector.unregister(self._connection)
            self._connection.close()
            self._on_close(self)

    def _ready(self, events: int) -> None:
        if events & selectors.EVENT_WRITE and not self.closed:
            self._flush()
        if events & selectors.EVENT_READ and not self.closed:
            try:
                data = self._connection.recv(1 << 16)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            self._received(data)

    def _received(self, data: bytes) -> None:
        self._parts.append(data)
        if not data:
            self.close()
        elif b"\n" in data:
            *lines, rest = b"".join(self._parts).split(b"\n")
            self._parts = [rest]
            self._delivering = True  # the answers to lines that came together go together
            for line in lines:
                self._deliver(line)
            self._delivering = False
            if not self.closed and self._unsent:
                self._flush()
        elif sum(map(len, self._parts)) > LONGEST:
            self._reject("the line is too long")

    def _deliver(self, line: bytes) -> None:
        if self.closed:
            return
        try:
            message = json.loads(line)
        except (ValueError, RecursionError):
            message = None
        if isinstance(message, dict):
            self._on_message(self, message)
        else:
            self._reject("not a JSON object")

    def _reject(self, why: str) -> None:
        self._delivering = False
        self.send({"ok": False, "error": "bad_request", "detail": why})
        self.close()

    def _flush(self) -> None:
        try:
            self._unsent = self._unsent[self._connection.send(self._unsent) :]
        except BlockingIOError:
            pass
        except OSError:
            return self.close()
        if len(self._unsent) > LONGEST:
            return self.close()
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._unsent else 0)
        if events != self._events:
            self._events = events
            self._selector.modify(self._connection, events, self._ready)
        return None
