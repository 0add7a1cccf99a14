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
from runnotary.core import chain, lineage, notes
from runnotary.core.chain import Recorded
from runnotary.core.errors import Changed, InvalidInput
from runnotary.core.events import KeyChanged, StreamErased
from runnotary.core.ids import to_text
from runnotary.core.rows import RunRow
from runnotary.engine.reader import Reader
from runnotary.exports.material import LogRow, Material, Stored, Tombstone
from runnotary.ports import Export
from runnotary.store.log import SqliteStore

Json = Any
LOOKS: Final = 20
PIECE: Final = 1024 * 1024


class Exporting:
    """The exports of one home. Its loop is the one in which `export` is called."""

    def __init__(self, store: SqliteStore, reader: Reader) -> None:
        self._store: Final = store
        self._reader: Final = reader

    async def export(self, row: RunRow, form: str) -> Export:
        """Return a run in a form, whole or in pieces; what can go wrong went wrong before the first.

        Raises:
            InvalidInput: there is no such form.
            NotEnded: the form is for runs that are over.
            BlobNotFound, Damaged: the record of the run is not whole, or nothing may be signed any more.
        """
        from runnotary.exports.formats import FORMATS

        chosen = FORMATS.get(form)
        if chosen is None:
            raise InvalidInput(f"there is no format {form[:40]}", hint=f"one of: {', '.join(FORMATS)}")
        loop = asyncio.get_running_loop()
        material = await self._gathered(row, loop)
        made = await asyncio.to_thread(chosen.make, material)
        name = f"{material.run['flow'] or 'run'}-{to_text(row.id)}{chosen.suffix}"
        return Export(name, chosen.media_type, iter((made,)) if isinstance(made, bytes) else made)

    async def write(self, row: RunRow, form: str, target: Path) -> int:
        """Write a run in a form to a file that is not there yet; return its size in bytes.

        Raises:
            FileExistsError: it is there. All that `export` raises; then it is not.
        """
        export = await self.export(row, form)
        return await asyncio.to_thread(_write, export, target)

    async def _gathered(self, row: RunRow, loop: asyncio.AbstractEventLoop) -> Material:
        """Gather all of a run; one that grows meanwhile is looked at again, so often at most.

        Raises:
            Changed: it does not stand still.
        """
        for _ in range(LOOKS):
            note = await self._checkpoint(row)
            material = await asyncio.to_thread(self._material, row, note, loop)
            if material.run["log"]["events"] == len(material.events):
                return material
        raise Changed("the run went on while it was exported", hint="export it again")

    async def _checkpoint(self, row: RunRow) -> str:
        """Return the newest checkpoint if it covers the run and the key in use signed it, else a new one."""
        text = self._store.note()
        if text:
            note = notes.read_note(text)
            made, (key, _) = notes.read_checkpoint(note.text), self._keys()
            stream = chain.run_stream(row.id)
            end = self._store.placed(stream, self._store.head(stream)[0])
            if made.size >= end and any(key.made(one) for one in note.signatures):
                return text
        return await self._store.checkpoint()

    def _keys(self) -> tuple[notes.PublicKey, tuple[KeyChanged, ...]]:
        """Return the key in use, and all that the ledger says of keys."""
        events = tuple(one.event for one in self._store.noted() if isinstance(one.event, KeyChanged))
        active = [one.key for one in events if one.state == "active"]
        return notes.read_key(active[-1]), events

    def _material(self, row: RunRow, checkpoint: str, loop: asyncio.AbstractEventLoop) -> Material:
        """Gather what there is of a run; its documents may be of a later moment than its events."""
        stream, store, reader = chain.run_stream(row.id), self._store, self._reader
        size = notes.read_checkpoint(notes.read_note(checkpoint).text).size
        rows = tuple(LogRow(*one) for one in store.rows(stream) if one[0] <= size)
        events = tuple(Stored(*one) for one in store.stored(stream) if one[0] <= rows[-1].seq)
        row = store.run(row.id) or row
        run, tasks, flow = reader.document(row), reader.tasks(row), reader.flow_of(row.definition)
        key, keys = self._keys()
        return Material(
            run=run,
            tasks=tasks,
            definition=reader.value(row.definition),
            flow=flow,
            stream=stream,
            events=events,
            history=tuple(_readable(events)),
            lineage=lineage.graph(flow, run, tasks),
            rows=rows,
            checkpoint=checkpoint,
            path=tuple(store.inclusion(rows[-1].pos, size)),
            keys=keys,
            public_key=key.text,
            tombstones=tuple(self._tombstones(row, events, size)),
            engine_version=runnotary.__version__,
            blob=reader.blobs.get,
            blob_size=reader.blobs.size,
            has_blob=reader.blobs.has,
            blob_pieces=self._pieces,
            sign=partial(self._signed, loop),
        )

    def _tombstones(self, row: RunRow, events: tuple[Stored, ...], size: int) -> Iterator[Tombstone]:
        """Yield why bodies of a run are gone, each with the proof that the log has it."""
        if all(one.body is not None for one in events):
            return
        ledger, name = chain.ledger_stream(row.namespace), chain.stream_name(chain.run_stream(row.id))
        stored = [Stored(*one) for one in self._store.stored(ledger)]
        prev = chain.GENESIS
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

    def _signed(self, loop: asyncio.AbstractEventLoop, text: str) -> str:
        """Have a manifest signed, from a thread that is not the loop's."""
        return asyncio.run_coroutine_threadsafe(self._store.signed(text), loop).result()


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
