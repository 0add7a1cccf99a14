"""A way to a database that can be cut at any point of a conversation."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Final, Literal

Side = Literal["asked", "answered"]


class Proxy:
    """Passes bytes on between clients and a port of this host, until it is told to cut."""

    def __init__(self, port: int) -> None:
        self._to: Final = port
        self._listening: Final = socket.create_server(("127.0.0.1", 0))
        self.port: Final[int] = self._listening.getsockname()[1]
        self._armed: tuple[int, Side, int] | None = None
        self._guard: Final = threading.Lock()
        self.cuts = 0
        self._open: Final[list[socket.socket]] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, client: int, side: Side, after: int) -> None:
        """Cut the connection from a client's port instead of passing on its piece number `after` from now."""
        with self._guard:
            self._armed = (client, side, after)

    def close(self) -> None:
        self._listening.close()
        for one in self._open:
            _end(one)

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, (_, client) = self._listening.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
                self._open.extend((near, far))
                for side, source, target in (("asked", near, far), ("answered", far, near)):
                    passing = (client, side, source, target)
                    threading.Thread(target=self._pass, args=passing, daemon=True).start()

    def _pass(self, client: int, side: Side, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while piece := source.recv(65_536):
                if self._cuts(client, side):
                    break
                target.sendall(piece)
        _end(source)
        _end(target)

    def _cuts(self, client: int, side: Side) -> bool:
        with self._guard:
            if self._armed is None or self._armed[:2] != (client, side):
                return False
            after = self._armed[2] - 1
            self._armed = (client, side, after) if after else None
            self.cuts += not after
            return not after


def _end(one: socket.socket) -> None:
    with suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
