"""Checking the record alone, nearly as fast as it can be hashed: every event, every chain, every log row.

What is made from the record (the read tables) and what it names (blobs) is left to the whole verification:
here no event is decoded and no run is folded. It only tells which streams look wrong; what is wrong with one,
if anything, `verify_streams.py` says.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from hashlib import sha256
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from runnotary.core import chain
from runnotary.store.connection import Connection
from runnotary.store.report import Notebook

Fields = tuple[Any, ...]
_DIGEST_AT: Final = chain.ENVELOPE_SIZE - 32
_NUMBERS: Final = tuple(seq.to_bytes(8, "big") for seq in range(1 << 12))


def suspects(connection: Connection, notebook: Notebook, erased: Container[bytes]) -> Iterator[bytes]:
    """Walk over all events, and the log beside them; yield the streams that are not plainly right, and those
    of which bodies were erased.

    One is plainly right if its events are numbered without a gap, none is older than the one before it, each
    body has the digest in its envelope, its log rows follow each other, and the chain passes through every
    head in them and ends in the last.
    """
    of_stream = itemgetter(0)
    log = groupby(connection.ask("all_log"), of_stream)
    noted, rows = next(log, (None, ()))
    streams = count = 0
    for stream, events in groupby(connection.ask("all_events"), of_stream):
        while noted is not None and noted < stream:  # in the log, and its events are gone
            yield noted
            noted, rows = next(log, (None, ()))
        heads: dict[int, bytes] | None = None
        if noted == stream:
            heads = _heads(rows)
            noted, rows = next(log, (None, ()))
        length = _length(stream, events, heads) if heads and stream not in erased else -1
        streams, count = streams + 1, count + max(length, 0)
        if length < 0:
            yield stream
    notebook.counts |= {"streams": streams, "events": count}
    if noted is not None:
        yield noted
        yield from (name for name, _ in log)


def _heads(rows: Iterable[Fields]) -> dict[int, bytes] | None:
    """Return a stream's heads by the events that they stand after; None if its log rows are not in order."""
    heads: dict[int, bytes] = {}
    seq = pos = 0
    for _, first, last, head, at in rows:
        if first != seq + 1 or last < first or at <= pos:
            return None
        heads[last] = head
        seq, pos = last, at
    return heads


def _length(stream: bytes, events: Iterable[Fields], heads: dict[int, bytes]) -> int:
    """Return how many events a stream has; -1 if something is wrong with one of them."""
    prefix = b"".join((chain.DOMAIN, bytes((len(stream),)), stream))
    prev, last, before = chain.GENESIS, 0, b""
    end = next(reversed(heads))
    try:
        for _, seq, envelope, body in events:
            last += 1
            at = envelope[:8]
            number = _NUMBERS[seq] if seq < len(_NUMBERS) else seq.to_bytes(8, "big")
            prev = sha256(b"".join((prefix, number, prev, envelope))).digest()
            if (
                seq != last
                or at < before
                or sha256(body).digest() != envelope[_DIGEST_AT:]
                or heads.pop(seq, prev) != prev
            ):
                return -1
            before = at
    except (TypeError, ValueError, OverflowError):  # a body that was erased, or a value of another type
        return -1
    return -1 if heads or last != end else last
