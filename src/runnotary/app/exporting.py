"""Runs in the forms of `exports`: gathers from a home what every export is made from, and has it made.

Rules of this file:

1. All of one export is of one moment: the run is read again if it grew meanwhile, and the checkpoint covers
   the last of what was read.
2. Nothing of this holds up the loop, or a commit: reading and hashing go on in threads.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final

import runnotary
from runnotary.core import chain, notes
from runnotary.core.chain import Recorded
from runnotary.core.errors import Changed, InvalidInput, RunErased, RunNotFound
from runnotary.core.events import KeyChanged, StreamErased
from runnotary.core.ids import to_text
from runnotary.core.rows import RunRow
from runnotary.engine.reader import Reader
from runnotary.exports.material import Evidence, LogRow, Material, Stored, Tombstone
from runnotary.ports import Export
from runnotary.store.records import Records

Json = Any
LOOKS: Final = 20
PIECE: Final = 1024 * 1024


class Exporting:
    """The exports of one home. Its loop is the one in which `export` is called."""

    def __init__(self, store: Records, reader: Reader) -> None:
        self._store: Final = store
        self._reader: Final = reader

    async def export(self, run: bytes, form: str) -> Export:
        """Return a run in a form, whole or in pieces; what can go wrong went wrong before the first.

        Raises:
            InvalidInput: there is no such form.
            RunNotFound: there is no such run; RunErased: and the form needs what it said.
            NotEnded: the form is for runs that are over.
            BlobNotFound, Damaged: the record of the run is not whole, or nothing may be signed any more.
        """
        from runnotary.exports import bundle
        from runnotary.exports.formats import FORMATS

        chosen = FORMATS.get(form)
        if chosen is None:
            raise InvalidInput(f"there is no format {form[:40]}", hint=f"one of: {', '.join(FORMATS)}")
        found = await self.gathered(run)
        if isinstance(found, Material):
            flow, made = found.run["flow"] or "run", await asyncio.to_thread(chosen.make, found)
        elif chosen.make is bundle.make:
            flow, made = "erased", await asyncio.to_thread(bundle.make, found)
        else:
            raise RunErased(f"run {to_text(run)} was erased", hint="what is left of it: --format bundle")
        pieces = iter((made,)) if isinstance(made, bytes) else made
        return Export(f"{flow}-{to_text(run)}{chosen.suffix}", chosen.media_type, pieces)

    async def write(self, run: bytes, form: str, target: Path) -> int:
        """Write a run in a form to a file that is not there yet; return its size in bytes.

        Raises:
            FileExistsError: it is there. All that `export` raises; then it is not.
        """
        export = await self.export(run, form)
        return await asyncio.to_thread(_write, export, target)

    # --- what there is ---------------------------------------------------------------------------

    async def gathered(self, run: bytes) -> Evidence:
        """Gather all of a run; one that grows meanwhile is looked at again, so often at most.

        Raises:
            RunNotFound: there is none. Changed: it does not stand still.
        """
        loop = asyncio.get_running_loop()
        for _ in range(LOOKS):
            note = await self._checkpoint(run)
            found = await asyncio.to_thread(self._look, run, note, loop)
            still = not isinstance(found, Material) or found.run["log"]["events"] == len(found.events)
            if still and _made(notes.read_key(found.public_key), note):
                return found
        raise Changed("the run, or the key, changed while it was exported", hint="export it again")

    async def _checkpoint(self, run: bytes) -> str:
        """Return the newest checkpoint if it covers the run, or all there is if that was erased, and the key
        in use signed it; else a new one.
        """
        text, store = self._store.note(), self._store
        if text:
            note, stream = notes.read_note(text), chain.run_stream(run)
            made, (key, _) = notes.read_checkpoint(note.text), self._keys()
            alive = store.run(run) is not None
            end = store.placed(stream, store.head(stream)[0]) if alive else store.position()
            if made.size >= end and _made(key, text):
                return text
        return await self._store.checkpoint()

    def _keys(self) -> tuple[notes.PublicKey, tuple[KeyChanged, ...]]:
        """Return the key in use, and all that the ledger says of keys."""
        events = tuple(one.event for one in self._store.noted() if isinstance(one.event, KeyChanged))
        active = [one.key for one in events if one.state == "active"]
        return notes.read_key(active[-1]), events

    def _look(self, run: bytes, checkpoint: str, loop: asyncio.AbstractEventLoop) -> Evidence:
        """Gather what there is of a run; its documents may be of a later moment than its events."""
        stream, store, reader = chain.run_stream(run), self._store, self._reader
        size = notes.read_checkpoint(notes.read_note(checkpoint).text).size
        rows = tuple(LogRow(*one) for one in store.rows(stream) if one[0] <= size)
        events = tuple(Stored(*one) for one in store.stored(stream))
        row = store.run(run)
        if not rows or not events:
            raise RunNotFound.named(to_text(run))
        key, keys = self._keys()
        evidence = Evidence(
            stream=stream,
            events=tuple(one for one in events if one.seq <= rows[-1].seq),
            rows=rows,
            checkpoint=checkpoint,
            path=tuple(store.inclusion(rows[-1].pos, size)),
            keys=keys,
            public_key=key.text,
            tombstones=() if row is not None else tuple(self._tombstones(run, size)),
            engine_version=runnotary.__version__,
            blob=reader.blobs.get,
            blob_size=reader.blobs.size,
            has_blob=reader.blobs.has,
            blob_pieces=self._pieces,
            sign=partial(self._signed, loop, key),
        )
        return evidence if row is None else self._words(evidence, row)

    def _words(self, evidence: Evidence, row: RunRow) -> Material:
        reader = self._reader
        run, tasks, flow = reader.document(row), reader.tasks(row), reader.flow_of(row.definition)
        return Material(
            **vars(evidence),
            run=run,
            tasks=tasks,
            definition=reader.value(row.definition),
            flow=flow,
            history=tuple(_readable(evidence.events)),
        )

    def _tombstones(self, run: bytes, size: int) -> Iterator[Tombstone]:
        """Yield why the bodies of an erased run are gone, each with the proof that the log has it."""
        name, said = chain.stream_name(chain.run_stream(run)), self._store.tombstone(run)
        if said is None:
            return
        ledger, prev = chain.ledger_stream(said[0]), chain.GENESIS
        stored = [Stored(*one) for one in self._store.stored(ledger)]
        for entry in (LogRow(*one) for one in self._store.rows(ledger)):
            part = stored[entry.from_seq - 1 : entry.seq]
            for one in _readable(part):
                if isinstance(one.event, StreamErased) and one.event.stream == name and entry.pos <= size:
                    body, path = stored[one.seq - 1].body or b"", self._store.inclusion(entry.pos, size)
                    envelopes = tuple(each.envelope for each in part)
                    yield Tombstone(ledger, prev, entry, envelopes, one.seq, body, tuple(path))
            prev = entry.head

    def _pieces(self, digest: str) -> Iterator[bytes]:
        """Yield the bytes of a blob, a large one from its file."""
        path = self._store.blobs.path(digest)
        if not path.is_file():
            yield self._reader.blobs.get(digest)
            return
        with path.open("rb", buffering=0) as file:
            while piece := file.read(PIECE):
                yield piece

    def _signed(self, loop: asyncio.AbstractEventLoop, key: notes.PublicKey, text: str) -> str:
        """Have a manifest signed, from a thread that is not the loop's.

        Raises:
            Changed: another key than that of the checkpoint is in use by now.
        """
        note = asyncio.run_coroutine_threadsafe(self._store.signed(text), loop).result()
        if not _made(key, note):
            raise Changed("the key was changed while a run was exported", hint="export it again")
        return note


def _made(key: notes.PublicKey, note: str) -> bool:
    return any(key.made(one) for one in notes.read_note(note).signatures)


def _write(export: Export, target: Path) -> int:
    with target.open("xb") as file:
        try:
            return sum(file.write(piece) for piece in export.pieces)
        except BaseException:
            target.unlink(missing_ok=True)
            raise


def _readable(events: tuple[Stored, ...] | list[Stored]) -> Iterator[Recorded]:
    for one in events:
        if one.body is not None:
            yield chain.opened(one.seq, one.envelope, one.body)
