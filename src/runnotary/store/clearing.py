"""What looks through a whole store: searches, what is to be erased, and that nothing of that is left."""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from runnotary.core import chain
from runnotary.core.events import StreamErased
from runnotary.ports import Change
from runnotary.store.blobs import LocalBlobs
from runnotary.store.connection import Connection
from runnotary.store.erased import ledgers_of, tombstone_of
from runnotary.store.sqlite import whole
from runnotary.store.unused import Unnamed, groups_with
from runnotary.store.writer import Writer

_END: Final = 2**62


class Clearing:
    """The part of a store that searches and erasures need; see the port `Store`."""

    home: Path
    blobs: LocalBlobs

    @abstractmethod
    def _reader(self) -> Connection: ...

    @abstractmethod
    def _own_writer(self) -> Writer: ...

    def walk(self, at: int | None, *, newest: bool, stream: bytes = b"", limit: int) -> list[Change]:
        """Return commits from a position on, forwards or backwards; see `Store.walk`."""
        name = f"walk{'_stream' if stream else ''}_{'backwards' if newest else 'forwards'}"
        begin = at if at is not None else _END if newest else 0
        values = (stream, begin, limit) if stream else (begin, limit)
        return [Change(*row) for row in self._reader().ask(name, values)]

    def ledgers(self) -> list[str]:
        """Return the namespaces that have a ledger."""
        return ledgers_of(self._reader())

    def tombstone(self, run_id: bytes) -> tuple[str, int, StreamErased] | None:
        """Return what was said when a run was erased, in whose ledger and when; None if it was not."""
        stream = chain.run_stream(run_id)
        if self._reader().ask("head", (stream,)).fetchone() is None:
            return None
        return tombstone_of(self._reader(), chain.stream_name(stream), ledgers_of(self._reader()))

    def saying(self, text: bytes) -> Iterator[tuple[bytes, list[bytes]]]:
        """Yield each stream with bodies that hold these bytes; see `Store.saying`. Reads the whole log."""
        return groups_with(self._reader, text)

    async def prune(self) -> int:
        """Let go of every blob that nothing in the record names; see `Store.prune`."""
        writer = self._own_writer()
        every = await asyncio.to_thread(self.blobs.every)
        unused = await asyncio.to_thread(Unnamed(self._reader, self.blobs, every, ()).among, every)
        ended = writer.position + 1
        return len(await self.blobs.discard([(digest, ended) for digest in sorted(unused)], unused))

    async def scrub(self, at_most: int = 0) -> bool:
        """Write the database anew, so that no free space in it holds what was erased; see `Store.scrub`."""
        writer = self._own_writer()
        with whole(self.home):
            return await writer.do(lambda: writer.scrub(at_most))
