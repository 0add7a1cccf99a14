"""The servers on one database: who works, who works on which run, and who gives positions.

    register → renew … renew → leave          a row of `servers`; its number is the fencing token
    expired, or known to be dead → given up    by any other server, which takes the runs over

Rules of this file:

1. A server that was given up can commit nothing more: its commits ask for its row. It registers anew, with
   another number, and begins as if it had just started.
2. The time of a lease is the database's, so clocks of servers may differ. A database that was away itself
   gives every server a whole lease to say that it lives.
3. Whoever can lock a server's folder on the same host knows that its process is dead, and waits for no lease.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import nullcontext
from typing import Final

import msgspec

from runnotary.core.errors import Conflict
from runnotary.store.connection import transaction
from runnotary.store.moved import refuse_moved
from runnotary.store.postgresql.connections import PostgresConnection
from runnotary.store.postgresql.schema import not_waiting

LEASE_SECONDS: Final = 10.0

log = logging.getLogger("runnotary.store")


class Server(msgspec.Struct, frozen=True):
    """What a server says about itself."""

    name: str
    """Of its folder: `<home>/servers/<name>`."""
    host: str
    """Where its attempts run; two servers of one host see each other's folders and processes."""
    lease_seconds: float = LEASE_SECONDS
    takes_over: bool = False
    """It goes on with runs on which no server works."""
    is_dead: Callable[[str], bool] = lambda name: False
    """Tells whether the process of another server on this host is known to be dead."""


class Registration:
    """A server's row, from `enter` to `leave`; used on the writer's connection, in its thread."""

    def __init__(self, connection: PostgresConnection, server: Server, channel: str) -> None:
        """`channel` is where servers notify each other."""
        self._channel: Final = channel
        self._connection: Final = connection
        self.server: Final = server
        self.number = 0
        self.others = False
        """There are other servers, to be told of commits."""

    def enter(self) -> None:
        """Take part, from now on; who is known to be dead is given up first.

        Raises:
            Conflict: the record was moved elsewhere, or somebody moves it now. Who took part before has a
                number that is given up, and can commit nothing.
        """
        server = self.server
        try:
            with nullcontext() if self.number else not_waiting(), transaction(self._connection):
                self._bury()
                row = self._connection.ask(
                    "register", (server.name, server.host, server.lease_seconds)
                ).fetchone()
                refuse_moved(self._connection)  # last: whoever moves a record lets nobody register meanwhile
        except Conflict as moved:
            if not self.number:
                raise
            log.error("this server can do nothing any more: %s", moved)
            return
        self.number = row[0]
        self._connection.act_as(self.number)
        self.look()

    def renew(self) -> bool:
        """Say that this server lives; False if it was given up."""
        renewed = self._connection.ask("renew", (self.server.lease_seconds, self.number)).rowcount == 1
        self.look()
        return renewed

    def look(self) -> None:
        self.others = len(self._connection.ask("servers").fetchall()) > 1

    def leave(self) -> None:
        self._connection.ask("leave", (self.number,))

    def give_up_expired(self) -> None:
        """Give up the servers whose lease is over, and those that are known to be dead."""
        for number, _, _ in self._connection.ask("expired", (self.server.lease_seconds,)).fetchall():
            self._connection.ask("give_up", (number,))
        self._bury()

    def claim(self, run_id: bytes) -> bool:
        """Take a run on which no server works, or which is ours; False if another does, or it is over."""
        self._bury()
        return self._take(run_id)

    def claim_left(self) -> list[bytes]:
        """Take all runs on which no server works; return those that are ours since."""
        left = [row[0] for row in self._connection.ask("left_runs", (-1,)).fetchall()]
        return [run for run in left if self._take(run)]

    def hand_over(self, run_id: bytes, name: str) -> bool:
        """Let a run of ours be another server's; False if none of that name is alive."""
        handed = self._connection.ask("hand_over", (name, run_id, self.number)).rowcount == 1
        if handed:
            self.tell("handed")
        return handed

    def tell(self, word: str) -> None:
        """Say a word to the other servers; inside a transaction they hear it when it is committed."""
        self._connection.ask("tell", (self._channel, word))

    def own_runs(self) -> list[bytes]:
        """Return the open runs that are ours."""
        return [row[0] for row in self._connection.ask("own_runs", (self.number,))]

    def _take(self, run_id: bytes) -> bool:
        return self._connection.ask("take_run", (self.number, run_id, self.number)).rowcount == 1

    def _bury(self) -> None:
        for number, name, host, _ in self._connection.ask("servers").fetchall():
            if number != self.number and host == self.server.host and self.server.is_dead(name):
                self._connection.ask("bury", (number,))
