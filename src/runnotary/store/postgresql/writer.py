"""The writer of one server: what a database with several of them needs besides.

    integrator      its commits have positions, after those of `pending` that are visible by then
    any other       its commits go to `pending`, and the integrator is told

Rules of this file:

1. Every commit asks for the server's own row (`be_held`) and, if it gives positions, for the integrator's
   (`be_integrator`); the locks last as long as the commit. So whoever was given up, or replaced, fails.
2. The key of `events` is the condition on each stream. Where it fails, the ends of all streams are read
   again, and those that grew come back `conflict`; the others are written.
3. A commit whose answer got lost is looked for before anything is written again.
4. Whoever has to sign becomes the integrator at once; the one before finds out with its next commit.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from typing import Final

import psycopg

from runnotary.core.errors import Conflict, Unreachable
from runnotary.core.events import Event
from runnotary.ports import Append, Chance, Change, Clock, Refusal, Sharing, Signer
from runnotary.store.commit import Commit
from runnotary.store.noting import profile_change
from runnotary.store.outside import Outside
from runnotary.store.postgresql.connections import COPIED_FROM, PostgresConnection, sent_together
from runnotary.store.postgresql.hindrances import (
    GIVEN_UP,
    NOT_ALONE,
    REPLACED,
    GivenUp,
    given_up,
    passes,
    pause,
    refusal,
)
from runnotary.store.postgresql.servers import Registration, Server
from runnotary.store.small_blobs import SmallBlobs
from runnotary.store.streams import Entry, Result, Unplaced, away
from runnotary.store.writer import Writer

TRIES_MAX: Final = 10
CLOSING_SECONDS: Final = 1.0
"""How long a database may be away for a server that ends."""
BEATS: Final = 4
"""How often a server says in the time of a lease that it lives."""
_TAKEN_MAX: Final = 4_096

log = logging.getLogger("runnotary.store")


class PostgresWriter(Writer):
    """The writer of one server."""

    def __init__(  # noqa: PLR0913 - all that a writer needs, and what several of them do
        self,
        connection: PostgresConnection,
        chance: Chance,
        clock: Clock,
        blobs: SmallBlobs,
        *,
        signer: Signer,
        outside: Outside,
        server: Server,
        channel: str,
        told: Callable[[Sequence[Change]], None],
    ) -> None:
        """`channel` is where servers notify each other; `told` is called with commits that have positions."""
        super().__init__(connection, chance, clock, blobs, signer=signer, outside=outside)
        self._postgres: Final = connection
        self.registration: Final = Registration(connection, server, channel)
        self.shared: Callable[[Callable[[Sharing], None]], None] | None = None
        """Tells the engine something, in its loop."""
        self._told: Final = told
        self._suspended = False
        """The engine does not know yet that it was given up: nothing that it asks for is written."""
        self._leading = False
        self._untaken = True
        """There may be entries that wait for positions."""
        self._taken: list[int] = []
        """Which of them get one in the commit that is being made; and whether there are more."""
        self._more = False
        self._tries = 0
        self._beaten = 0.0
        self.idle_seconds = server.lease_seconds / BEATS

    def enter(self, profile: str) -> None:
        """Take part, before `start`; another profile than before is noted before anything else is written."""
        self.registration.enter()
        self.registration.tell("log")
        self._stand()
        changed = profile_change(self._postgres, profile)
        if changed is not None:
            self._note((changed,))

    def checkpoint(self) -> str:
        for tried in range(TRIES_MAX):
            try:
                return super().checkpoint()
            except Conflict:
                if self._integrator() == self.registration.number:
                    raise
            pause(tried)  # another server needs one as well: let it finish
        return super().checkpoint()

    def take_handed(self) -> None:
        """Let the engine look for runs that others handed over to it; from any thread."""

        def look() -> None:
            own = self.registration.own_runs()
            if own and self.shared is not None:
                self.shared(lambda engine: engine.taken(own))

        self._asking.put(lambda: self._try(look))

    def integrate(self) -> None:
        """Give positions to what waits for them, if that is ours to do; from any thread."""

        def take() -> None:
            self._place()
            self._sign()
            self._try(self._beat)

        self._asking.put(take)

    def scrub(self, at_most: int) -> bool:
        return self._postgres.rewritten(at_most)

    def close(self) -> None:
        def finish() -> None:
            """Leave nothing without a position, if nobody else is there to give it one."""
            self._stand()
            self._place()

        self._postgres.patience = CLOSING_SECONDS
        self._asking.put(lambda: self._try(finish))
        super().close()

    def look_now(self) -> None:
        """See at once who is there, and who gives positions; from any thread."""

        def look() -> None:
            self._beaten = 0.0
            self._beat()

        self._asking.put(lambda: self._try(look))

    # --- being one of several ---------------------------------------------------------------------

    def is_alone(self) -> bool:
        self.registration.look()
        return not self.registration.others

    def _leads(self) -> bool:
        return self._leading

    def _lead(self) -> None:
        number = self.registration.number
        if not self._leading or self._integrator() != number:
            self._postgres.ask("integrate_now", (number,))
            self._led()
        self._place()

    def _place(self) -> None:
        """Give positions to all that waits for them, as far as the database goes along."""
        self._untaken, before = True, -1
        while self._leading and self._untaken and self.position != before:
            before = self.position
            self._settle([])

    def _stand(self) -> None:
        """Become the integrator if there is none."""
        if not self._leading and self._integrates():
            self._led()

    def _integrates(self) -> bool:
        number = self.registration.number
        return self._postgres.ask("integrate", (number, number)).rowcount == 1

    def _led(self) -> None:
        self._leading = self._untaken = True
        self._streams.forget()
        self.position = self._postgres.ask("last_pos").fetchone()[0]
        self.sealing.look()

    def _guard(self) -> None:
        self._postgres.ask("be_held", (self.registration.number,))
        if self._leading:
            self._postgres.ask("be_integrator", (self.registration.number,))

    def _keep_note(self) -> None:
        try:
            if self.sealing.pending and self._integrator() != self.registration.number:
                self._leading = False
                self.sealing.dropped()
            super()._keep_note()
        except (psycopg.Error, Unreachable) as error:
            log.warning("the checkpoint could not be kept: %s", error)
            self.sealing.dropped()

    def _integrator(self) -> int | None:
        number: int | None = self._postgres.ask("integrator").fetchone()[0]
        return number

    def _note(self, facts: tuple[Event, ...]) -> None:
        for tried in range(TRIES_MAX):
            try:
                return super()._note(facts)
            except Conflict:  # another server said something there meanwhile
                self._streams.forget()
                pause(tried)
        return super()._note(facts)

    def _beat(self) -> None:
        """Say that this server lives, and look after those that do not."""
        now = time.monotonic()
        if now - self._beaten < self.idle_seconds:
            return
        self._beaten = now
        if not self.registration.renew():
            self._start_anew()
        self.registration.give_up_expired()
        self._stand()
        self._place()
        if self.shared is not None:
            self.shared(lambda engine: engine.answers())
        if self.registration.server.takes_over and self.shared is not None:
            taken = self.registration.claim_left()
            if taken:
                log.info("took over %d runs of servers that are gone", len(taken))
                self.shared(lambda engine: engine.taken(taken))

    def _start_anew(self) -> None:
        log.warning("this server was away for longer than its lease: its runs are given up")
        self._leading = False
        self._forget()
        self.registration.enter()
        if self.shared is not None:
            self._suspended = True
            self.shared(self._give_up)

    def _give_up(self, engine: Sharing) -> None:
        """Let the engine know, in its loop; what it asked for before is refused, whatever came of it."""
        engine.given_up()
        self._asking.put(self._resume)

    def _resume(self) -> None:
        self._suspended = False

    def _committed(self) -> None:
        self._try(self._beat)

    def _idle(self) -> bool:
        self._try(self._beat)
        return False

    def _try(self, work: Callable[[], None]) -> None:
        try:
            work()
        except (psycopg.Error, Unreachable) as error:
            log.warning("tried again later: %s", error)
            self._forget()

    def _end(self) -> None:
        try:
            self.registration.leave()
            self.registration.tell("left")
        finally:
            self._postgres.close()

    # --- one commit ---------------------------------------------------------------------------------

    def _settle(self, appends: list[Append]) -> list[Result]:
        self._tries = 0
        try:
            return self._settled(appends)
        except (Unreachable, psycopg.Error) as error:
            return [away(append, str(error)) for append in appends]
        finally:
            self._forget_transaction()

    def _settled(self, appends: list[Append]) -> list[Result]:
        if not self._suspended:
            try:
                return super()._settle(appends)
            except GivenUp:
                self._start_anew()
        # What goes on with something may be another's by now; what begins is ours, under the new number.
        new = {append.stream for append in appends if append.expected_seq == 0}
        try:
            begun = iter(super()._settle([append for append in appends if append.stream in new]))
        except GivenUp:
            return [given_up(append) for append in appends]
        return [next(begun) if append.stream in new else given_up(append) for append in appends]

    def _draft(self, appends: list[Append], *, trusting: bool) -> tuple[Commit, list[Result]]:
        before: list[Entry] = []
        self._taken = []
        if self._leading and self._untaken:
            self._postgres.ask("begin")
            self._guard()
            waiting = self._postgres.ask("waiting_entries", (_TAKEN_MAX,)).fetchall()
            before, self._taken = [row[1:] for row in waiting], [row[0] for row in waiting]
            self._more = len(before) == _TAKEN_MAX
            self._untaken = bool(before)
        return self._streams.draft(appends, trusting=trusting, places=self._leading, before=before)

    def _write(self, commit: Commit, blobs: list[tuple[bytes, bytes]], leaving: list[bytes]) -> None:
        database = self._postgres
        rides = self._leading and self.sealing.pending
        try:
            with nullcontext() if len(commit.events) >= COPIED_FROM else sent_together(database):
                if not database.in_transaction:
                    database.ask("begin")
                    self._guard()
                self._fill(commit, blobs, leaving)
                if self._taken:
                    database.ask("drop_pending", (self._taken,))
                if rides:
                    self.sealing.keep()
                if self.registration.others and commit.log:
                    self.registration.tell("log" if commit.placed else "pending")
                self._tell_meanwhile()
                database.ask("commit")
        except psycopg.OperationalError as error:
            if not database.was_cut(error):
                raise
            database.again()
            if not self._took_place(commit):
                raise
        self._untaken = self._untaken and self._more
        if rides:
            self.sealing.kept()

    def _fill(self, commit: Commit, blobs: list[tuple[bytes, bytes]], leaving: list[bytes]) -> None:
        """Write a commit, provided that other servers do nothing that it could not stand beside."""
        for followed in commit.follows:
            self._postgres.ask("be_there", followed)
        for stream, erasure in commit.erased.items():
            self._postgres.ask("be_last", (stream, erasure.seq))
        commit.write(self._postgres, blobs, leaving)
        if leaving:
            self._postgres.ask("be_alone", (self.registration.number,))

    def _forget_transaction(self) -> None:
        """End what was begun and then not needed."""
        if self._postgres.in_transaction:
            with suppress(psycopg.Error):
                self._postgres.ask("rollback")

    def _took_place(self, commit: Commit) -> bool:
        """Tell whether a commit was made whose answer got lost; by its last entry, which was in no other."""
        if not commit.log:
            return False
        self._postgres.ask("outlast", (self.registration.number,))
        pos, stream, _, seq, head = commit.log[-1]
        if commit.placed:
            found = self._postgres.ask("placed", (pos, stream, seq, head))
        else:
            found = self._postgres.ask("entered", (stream, seq, head))
        took: bool = found.fetchone()[0]
        return took

    def _tell_watchers(self, changes: Sequence[Change]) -> None:
        if changes:
            self._told(changes)

    def _again(self, error: Exception) -> bool:
        """See `Writer`. Raises `GivenUp`: nothing of it may be written; `Unreachable`: no database."""
        if isinstance(error, Unreachable):
            raise error
        if isinstance(error, Unplaced):
            self._untaken, self._tries = True, self._tries + 1
            return self._tries < TRIES_MAX
        if not isinstance(error, psycopg.Error):
            return False
        if self._postgres.was_cut(error):
            self._postgres.again()
        if error.sqlstate == GIVEN_UP:
            raise GivenUp
        self._tries += 1
        if error.sqlstate == REPLACED:
            self._leading = False
        elif error.sqlstate == NOT_ALONE:
            self._blobs.stay()
        elif isinstance(error, psycopg.OperationalError):
            pause(self._tries)
        return self._tries < TRIES_MAX and passes(error)

    def _refusal(self, append: Append, error: Exception) -> Refusal:
        return refusal(append, error)
