"""A record made from a backup of one.

    copy → say so in the ledger → sign under a new name and key → put in its place

Rules of this file:

1. Never over a record: where a database is, nothing is restored.
2. The tree goes on; its name does not. What the lost home signed after the backup and what this one signs are
   then two logs, and no size has two roots. The backup's newest checkpoint stands in the event, so it is
   provably a beginning of what follows.
3. A checkpoint outside that is newer than the backup names entries that are lost. That is agreed to, and
   recorded with that checkpoint, or nothing is done.
4. Until the database is in its place no record is there, and the checkpoint of the lost one stays until then:
   whoever is interrupted begins again.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec

from runnotary.core import chain, notes
from runnotary.core.errors import Damaged, RolledBack
from runnotary.core.events import By, EngineNoted, KeyChanged
from runnotary.core.ledger import replay
from runnotary.core.notes import Checkpoint
from runnotary.ports import Chance, Clock, Signer
from runnotary.store import migrate, outside, tree, uses
from runnotary.store.backup import backup
from runnotary.store.carrying import put_checkpoint, put_files
from runnotary.store.connection import transaction
from runnotary.store.log import SqliteStore
from runnotary.store.noting import drafted
from runnotary.store.places import Place
from runnotary.store.sealing import LEDGER, RESTORED
from runnotary.store.sqlite import connect_reader, connect_writer
from runnotary.store.sqlite_place import SqlitePlace
from runnotary.store.verify import verify

GROWING: Final = ".restoring"
CHECK: Final = "runnotary verify --deep --home"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked for: by whom, why, and whether entries that the backup lacks may be lost.

    `copies` are the files beside `<home>/checkpoint` that hold the newest checkpoint.
    """

    by: By
    reason: str = ""
    accept_loss: bool = False
    copies: tuple[Path, ...] = ()


class Restored(msgspec.Struct, frozen=True):
    """What became of it: log entries taken over, entries known to be lost, the size that was signed."""

    entries: int
    lost: int
    size: int


def restore(
    source: Path,
    target: Path | Place,
    wanted: Wanted,
    *,
    clock: Clock,
    chance: Chance,
    signer_of: Callable[[Path], Signer],
) -> Restored:
    """Make a record in `target` (of a home: in its own database) from the backup `source`; the caller holds
    the lock of the home.

    Raises:
        FileMissing: there is no backup.
        Conflict: there is a record in `target`.
        RolledBack: a checkpoint outside is newer than the backup, or of another log.
        Damaged: the backup does not verify.
    """
    place: Place = SqlitePlace(target) if isinstance(target, Path) else target
    place.refuse_taken()
    home = place.home
    growing = home / GROWING
    shutil.rmtree(growing, ignore_errors=True)
    try:
        backup(source, growing)
        _bring_forward(growing)
        if findings := verify(growing, deep=True).findings:
            raise Damaged([f"the backup does not verify: {findings[0]}"], hint=f"see: {CHECK} {source}")
        entries, newest = _end(growing)
        lost = _lost(growing, home, wanted)
        _say(growing, wanted, newest, lost, clock, chance)
        note = asyncio.run(_signed(growing, clock, chance, signer_of(growing)))
        place.adopt(growing, lambda: put_files(growing, home))
        put_checkpoint(growing, home)
    finally:
        shutil.rmtree(growing, ignore_errors=True)
    for path in wanted.copies:
        outside.write(path, note)
    missing = max(0, _read(lost).size - entries) if lost else 0
    return Restored(entries, missing, _read(note).size)


def _bring_forward(copy: Path) -> None:
    """Let the copy have the schema of this release."""
    connection = connect_writer(copy)
    try:
        migrate.prepare(connection, lambda _: None, moved=uses.fill(copy))
        tree.complete_now(connection)
    finally:
        connection.close()


def _end(copy: Path) -> tuple[int, str]:
    """Return how long the log of the backup is, and its newest checkpoint."""
    connection = connect_reader(copy)
    try:
        row = connection.ask("newest_checkpoint").fetchone()
        return connection.ask("last_pos").fetchone()[0], "" if row is None else row[1]
    finally:
        connection.close()


def _lost(copy: Path, home: Path, wanted: Wanted) -> str:
    """Return the largest checkpoint outside that the backup does not lead to; nothing if it leads to all.

    Raises:
        RolledBack: there is one, and nobody has agreed to that.
    """
    connection = connect_reader(copy)
    beyond: list[str] = []
    try:
        for path in (home / outside.FILE, *wanted.copies):
            made = outside.published(path)
            if made is None or not (wrong := outside.contradiction(connection, made, path)):
                continue
            if not wanted.accept_loss:
                hint = "take a newer backup, or let the record say what is lost: --accept-loss"
                raise RolledBack([wrong], hint=hint)
            beyond.append(path.read_text("utf-8"))
    finally:
        connection.close()
    return max(beyond, key=lambda text: _read(text).size, default="")


def _read(note: str) -> Checkpoint:
    return notes.read_checkpoint(notes.read_note(note).text)


def _say(copy: Path, wanted: Wanted, newest: str, lost: str, clock: Clock, chance: Chance) -> None:
    """Write into the copy's ledger that it was restored, and that no key of before signs any more.

    The event that opens the log anew ends its commit: its hash is the head that gives the log its name.
    """
    connection = connect_writer(copy)
    try:
        noted = connection.ask("noted", (LEDGER,)).fetchall()
        ledger = replay("default", (chain.opened(*row) for row in noted if row[2] is not None))
        data = {
            "by": msgspec.to_builtins(wanted.by),
            "reason": wanted.reason,
            "checkpoint": newest,
            "lost": lost,
        }
        ended = (
            KeyChanged(key, "retired", wanted.by, "restored")
            for key, last in ledger.keys.items()
            if last.state == "active"
        )
        actor = chain.actor_id(ledger.salt, wanted.by.principal)
        commit = drafted(connection, (*ended, EngineNoted(RESTORED, data)), actor, clock, chance)
        with transaction(connection):
            commit.write(connection, (), ())
    finally:
        connection.close()


async def _signed(copy: Path, clock: Clock, chance: Chance, signer: Signer) -> str:
    """Make the copy's own key and sign what it is; return the checkpoint."""
    store = SqliteStore.open(copy, clock=clock, chance=chance, signer=signer)
    try:
        return await store.checkpoint()
    finally:
        store.close()
