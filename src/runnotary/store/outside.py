"""The newest checkpoint outside the database: what tells a home from an older copy of it.

    <home>/checkpoint        beside the database, always
    more files               by setting: another disk, a synchronised folder
    a witness                by setting: a command that takes the note and answers with signature lines

Rules of this file:

1. A note goes out only after the commit that keeps it is durable, so no crash makes a home look rolled back.
2. Going out holds nobody up: one thread takes the newest note there is, and skips those it was too slow for.
3. What cannot be written or reached is logged, and tried again with the next note. It stops no run.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from subprocess import PIPE
from typing import Final

from runnotary.core import merkle, notes
from runnotary.core.errors import Damaged, RolledBack
from runnotary.core.notes import BadNote, Checkpoint
from runnotary.store import files
from runnotary.store.connection import Connection
from runnotary.store.tree import Nodes

FILE: Final = "checkpoint"
WITNESS_SECONDS: Final = 30
CLOSING_SECONDS: Final = 5
"""How long a home that closes waits for a witness."""
HELP: Final = (
    "bring back the newest record; if there is none, move this one away and restore a backup, which records "
    "what is lost: runnotary admin restore BACKUP --home DIR"
)

log = logging.getLogger("runnotary.checkpoints")


class Outside:
    """Takes notes out of one home, from the first one on to `close`."""

    def __init__(
        self,
        home: Path,
        *,
        copies: Sequence[Path] = (),
        witness: Sequence[str] = (),
        witnessed: Callable[[str], None] = lambda note: None,
    ) -> None:
        """`witnessed` is called, in a thread of this class, with a note that the witness has signed too."""
        self.home: Final = home
        self._paths: Final = (home / FILE, *copies)
        self._witness: Final = tuple(witness)
        self._witnessed: Final = witnessed
        self._changed: Final = threading.Condition()
        self._note = self._shown = ""
        self._closing = self._given_up = False
        self._asked: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None

    def publish(self, note: str) -> None:
        """Take a note whose row is durable."""
        with self._changed:
            self._note = note
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="runnotary-checkpoints", daemon=True)
                self._thread.start()
            self._changed.notify()

    def close(self) -> None:
        """Take out what was published, and end; a witness that takes longer than that is given up."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(CLOSING_SECONDS)
            with self._changed:
                self._given_up = True
                if self._asked is not None:
                    _kill(self._asked)
            self._thread.join()

    def _run(self) -> None:
        while note := self._next():
            for path in self._paths:
                write(path, note)
            text = note.partition("\n\n")[0]
            if self._witness and text != self._shown:
                self._shown = text
                self._ask(note)

    def _next(self) -> str:
        with self._changed:
            while not self._note and not self._closing:
                self._changed.wait()
            note, self._note = self._note, ""
            return note

    def _ask(self, note: str) -> None:
        """Let the witness sign; what it answers is part of the note from then on, in the home and outside."""
        try:
            signed = _with_lines(note, self._answer(note).decode())
        except (OSError, subprocess.SubprocessError, ValueError) as wrong:
            log.warning("the witness did not sign: %s", wrong)
            return
        if signed != note:
            for path in self._paths:  # at once: a home that closes keeps no row any more
                write(path, signed)
            self._witnessed(signed)

    def _answer(self, note: str) -> bytes:
        """Run the witness; return what it writes.

        Raises:
            OSError, SubprocessError: it cannot be run, fails, takes too long, or was given up.
        """
        with self._changed:
            if self._given_up:
                raise subprocess.SubprocessError("the home closes")
            self._asked = subprocess.Popen(
                self._witness, stdin=PIPE, stdout=PIPE, stderr=PIPE, start_new_session=True
            )
        with self._asked as asked:
            try:
                answer, _ = asked.communicate(note.encode(), WITNESS_SECONDS)
            finally:
                with self._changed:
                    self._asked = None
                    _kill(asked)
        if asked.returncode:
            raise subprocess.CalledProcessError(asked.returncode, self._witness)
        return answer


def _kill(asked: subprocess.Popen[bytes]) -> None:
    """End a witness with all that it started, unless it has ended."""
    if asked.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(asked.pid, signal.SIGKILL)


def _with_lines(note: str, lines: str) -> str:
    """Return a note with more signature lines.

    Raises:
        BadNote: they are something else, such as the note itself; the text would be another one.
    """
    longer = notes.read_note(note + lines)
    if longer.text != notes.read_note(note).text:
        raise BadNote("it answered with something else than signature lines")
    return str(longer)


def write(path: Path, note: str) -> None:
    """Put a note in the place of the one before it, durably; what cannot be written is logged."""
    growing = path.with_name(f"{path.name}.{os.getpid()}-{threading.get_ident()}.growing")
    try:
        with suppress(FileNotFoundError):
            growing.unlink()
        with files.arriving(growing) as file:
            files.write_all(file.handle, note.encode())
            os.fsync(file.handle)
            os.fchmod(file.handle, 0o644)
            if not _is_older(note, path):
                growing.rename(path)
        files.sync_folder(path.parent)
    except OSError as wrong:
        log.warning("%s: the checkpoint cannot be written: %s", path, wrong)


def _is_older(note: str, path: Path) -> bool:
    """Tell whether a newer note of the same log went out already: another server was quicker."""
    with suppress(OSError, Damaged):
        there, here = published(path), notes.read_checkpoint(notes.read_note(note).text)
        return there is not None and there.origin == here.origin and there.size > here.size
    return False


def fuller(home: Path, note: str) -> str:
    """Return a note with the lines that witnesses added outside, once the home had closed; else as it is."""
    with suppress(OSError, ValueError):
        here, there = notes.read_note(note), notes.read_note((home / FILE).read_text("utf-8"))
        if there.text == here.text and there.signatures[: len(here.signatures)] == here.signatures:
            return str(there)
    return note


def published(path: Path) -> Checkpoint | None:
    """Read a checkpoint that went out; None if there is none.

    Raises:
        Damaged: the file is no checkpoint.
    """
    try:
        return notes.read_checkpoint(notes.read_note(path.read_text("utf-8")).text)
    except FileNotFoundError:
        return None
    except (BadNote, UnicodeDecodeError) as wrong:
        hint = "put back a copy of it; without one, a rollback of this home cannot be seen"
        raise Damaged([f"{path}: {wrong}; {hint}"]) from None


def refuse_rollback(home: Path, connection: Connection | None, copies: Sequence[Path] = ()) -> None:
    """Refuse a home whose record ends before, or goes otherwise than, a checkpoint that went out says.

    Without a connection there is no database. A copy on a disk that is away says nothing.

    Raises:
        RolledBack: it does.
        Damaged: a checkpoint cannot be read.
    """
    for path in (home / FILE, *copies):
        try:
            made = published(path)
        except OSError as wrong:
            log.warning("%s: the checkpoint cannot be read: %s", path, wrong)
            continue
        if made is None:
            continue
        if connection is None:
            gone = f"{home}: the record is gone, and {path} says that it had {made.size} log entries"
            raise RolledBack([gone], hint=HELP)
        if wrong_with := contradiction(connection, made, path):
            raise RolledBack([f"{home}: {wrong_with}"], hint=HELP)


def contradiction(connection: Connection, made: Checkpoint, path: Path) -> str:
    """Tell what of a log does not fit a checkpoint that a file holds; nothing if all does."""
    tables = {name for _, name, *_ in connection.ask("schema")}
    size = connection.ask("last_pos").fetchone()[0] if "log" in tables else 0
    if size < made.size:
        return f"the log has {size} entries, and {path} says that it had {made.size}: this is an older copy"
    if "checkpoints" not in tables:
        return f"the record is of a release before the one that made {path}: this is an older copy"
    row = connection.ask("checkpoint", (made.size,)).fetchone()
    with suppress(BadNote, TypeError):
        if row is not None and notes.read_note(row[0]).text == made.text:
            return ""
    try:
        root = merkle.span_root(0, made.size, Nodes(connection))
    except Damaged as wrong:
        return str(wrong)
    return "" if root == made.root else f"the log had another root at {made.size} entries than {path} says"
