"""A record moved from one kind of database to the other, byte for byte.

    hold → verify → copy → verify → compare → say so in both → the source ends → the target is there

Rules of this file:

1. Nobody writes to the source meanwhile. What it was before it still is: one event is added, the last one.
2. Both are verified, and what was counted and the end of the log are compared, before anything is said.
3. That it moved is one event with the same bytes in both, so there is one record and not two of a name: the
   source takes no event after it (`moved.py`), the target goes on.
4. The source says so first. Whoever is killed just then has a record that is not written to any more, and
   moves it again to the same place; at any earlier moment nothing has happened.
5. Blobs and the signing key are files of the home. If the target has another home they are copied.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import msgspec

from runnotary.core import chain
from runnotary.core.errors import Conflict, Damaged, InvalidInput
from runnotary.core.events import By, EngineNoted
from runnotary.core.ledger import replay
from runnotary.ports import Chance, Clock
from runnotary.store import carrying
from runnotary.store.connection import Connection
from runnotary.store.moved import MOVED, Moved, moved_away
from runnotary.store.noting import drafted
from runnotary.store.places import Opened, Place, copy_rows
from runnotary.store.report import Report
from runnotary.store.sealing import LEDGER
from runnotary.store.tree import grown
from runnotary.store.verify import verify

GROWING: Final = ".moving"
_RUNNING: Final = "SELECT count(*) FROM tasks WHERE status = 'running'"


class End(msgspec.Struct, frozen=True):
    """The end of a log: entries, root of the tree over them, head of the newest; digests in hex."""

    size: int
    root: str
    head: str


class Side(msgspec.Struct, frozen=True):
    """What one side of a move was found to be: what was checked, and the log's end with the move in it."""

    place: str
    home: str
    checked: dict[str, int]
    log: End


def move(
    source: Place,
    target: Place,
    *,
    by: By,
    reason: str,
    copies: Sequence[Path],
    clock: Clock,
    chance: Chance,
) -> tuple[Side, Side]:
    """Move a record; the caller holds the locks of the homes that have a database of their own. `copies` are
    files with its newest checkpoint. Return what both sides are.

    Raises:
        InvalidInput: both are of one kind.
        FileMissing: there is no record. HomeVersion: another release wrote it.
        Conflict: there is a record in `target`, or somebody works on that in `source`.
        Damaged: one does not verify, or they are not equal.
    """
    if source.kind == target.kind:
        raise InvalidInput(
            f"both are of the kind {source.kind}", hint="a copy: runnotary admin backup, and then restore"
        )
    target.refuse_taken()
    if carrying.is_stranger(target.home, source.home):
        raise Conflict(
            f"{target.home} has the key or a checkpoint of another record", hint="name another home"
        )
    growing = target.home / GROWING
    shutil.rmtree(growing, ignore_errors=True)
    said = Moved(by, source.kind, target.kind, target.name, reason)
    try:
        return _moved(source, target, growing, said, _Means(copies, clock, chance))
    finally:
        shutil.rmtree(growing, ignore_errors=True)


class _Means(NamedTuple):
    copies: Sequence[Path]
    clock: Clock
    chance: Chance


def _moved(source: Place, target: Place, growing: Path, said: Moved, means: _Means) -> tuple[Side, Side]:
    apart = source.home.absolute() != target.home.absolute()
    with source.held() as old:
        _refuse_unfit(old.connection, said.place)
        before = verify(Opened(source.record, source.home, old.connection), deep=True, copies=means.copies)
        _require("the record", before)
        growing.mkdir(parents=True)
        if apart:
            carrying.copy_blobs(source.home, growing)
            carrying.copy_identity(source.home, growing)
        with target.filling(growing) as new:
            copy_rows(old, new)
            arrived = Opened(target.record, growing if apart else target.home, new.connection)
            after = verify(arrived, deep=True, copies=means.copies)
            _require("what arrived", after)
            _require_equal((before, old.connection), (after, new.connection))
            if moved_away(old.connection) is None:
                _say(said, [old.connection, new.connection], means)
            ends = _end(old.connection), _end(new.connection)
            if apart:
                carrying.put_files(growing, target.home)
            old.commit()
            new.commit()
    carrying.put_checkpoint(growing, target.home)
    return (
        Side(source.name, str(source.home), before.checked, ends[0]),
        Side(said.place, str(target.home), after.checked, ends[1]),
    )


def _refuse_unfit(connection: Connection, place: str) -> None:
    """Refuse a record that went elsewhere, or one whose steps may be running now: nobody could find them."""
    gone = moved_away(connection)
    if gone is not None and gone[0].place != place:
        hint = f"if it never arrived there, name that place again: {gone[0].place}"
        raise Conflict(f"this record was moved to {gone[0].place}", hint=hint)
    count = connection.run(_RUNNING).fetchone()[0]
    if count:
        hint = "let them end first: runnotary up, or runnotary run cancel RUN"
        raise Conflict(f"steps of this record are running, or were interrupted: {count}", hint=hint)


def _require(what: str, report: Report) -> None:
    if not report.ok:
        raise Damaged([f"{what} does not verify: {finding}" for finding in report.findings[:5]])


def _require_equal(before: tuple[Report, Connection], after: tuple[Report, Connection]) -> None:
    """See that both sides have the same things, and the same log."""
    (one, here), (other, there) = before, after
    wrong = [
        f"{one.checked.get(name, 0)} {name} were to arrive, and {other.checked.get(name, 0)} did"
        for name in sorted({*one.checked, *other.checked})
        if one.checked.get(name, 0) != other.checked.get(name, 0)
    ]
    if _end(here) != _end(there):
        wrong.append(f"the log ends as {_end(here)}, and arrived as {_end(there)}")
    if wrong:
        raise Damaged(wrong, hint="nothing was moved")


def _say(said: Moved, sides: Sequence[Connection], means: _Means) -> None:
    """Write into the ledgers of both that the record moved: one event, with the same bytes."""
    connection = sides[0]
    noted = connection.ask("noted", (LEDGER,)).fetchall()
    ledger = replay("default", (chain.opened(*row) for row in noted if row[2] is not None))
    actor = chain.actor_id(ledger.salt, said.by.principal)
    event = EngineNoted(MOVED, msgspec.to_builtins(said))
    commit = drafted(connection, (event,), actor, means.clock, means.chance)
    for side in sides:
        commit.write(side, (), ())


def _end(connection: Connection) -> End:
    size = connection.ask("last_pos").fetchone()[0]
    _, _, head = connection.ask("leaves", (size - 1, size)).fetchone()
    return End(size, grown(connection).root().hex(), head.hex())
