"""A bundle: the record of one run as one file, for whoever has none of this product (docs/bundles.md).

Rules of this file:

1. The same run, with the same checkpoint, is the same file, byte for byte: nothing in it is of now.
2. Whatever can go wrong goes wrong before the first piece: every blob is hashed once for the manifest, and
   again while it is written, so nobody gets half a bundle that looks like one.
3. A blob is never held in memory, unless an event says that it holds names of other blobs.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Iterator
from functools import partial
from hashlib import sha256
from typing import Any, Final, NamedTuple

from runnotary.core import chain, notes
from runnotary.core.errors import Damaged, NotEnded
from runnotary.exports import html
from runnotary.exports.bundle_program import program
from runnotary.exports.bundle_record import RUN_FINISHED, Event, closure, run_of, tasks_of, written
from runnotary.exports.bundle_zip import (
    EVENTS,
    KEY,
    KEYS,
    LOG,
    MANIFEST,
    PROOF,
    README,
    REPORT,
    RUN,
    TASKS,
    TOMBSTONES,
    VERIFIER,
    Layout,
    blob_name,
)
from runnotary.exports.material import Evidence, Material, Stored, Tombstone

Json = Any
README_TEXT: Final = """The record of one run, as Runnotary {version} kept it.

    run        {run}
    status     {status}
    log        {size} entries, signed with {key}

report.html is for reading, and so are run.json and tasks.json, which say what the events say. events.jsonl
holds those events, each as its bytes were hashed when it happened. blobs/ holds every file, log and
definition that they name.

To check all of it (Python 3.11 or newer, and its package `cryptography`):

    python verify.py THIS.zip --key KEY

KEY is the public key of whoever ran it, from them and not from here, or a file with it. Without --key you
learn that nothing in here contradicts anything else, not whose word it is. Take verify.py from a release of
Runnotary, not from here, if you do not trust whoever gave you this file: `runnotary verify THIS.zip` is the
same program.
"""


class Piece(NamedTuple):
    """A member: how long it is, its checksums, and its bytes if they are few, else the digest of a blob."""

    size: int
    crc: int
    digest: str
    data: bytes | None


def make(material: Evidence) -> Iterator[bytes]:
    """Return the bundle of a run, in pieces.

    Raises:
        NotEnded: the run goes on.
        BlobNotFound, Damaged: the record of the run is not whole.
    """
    events = [_event(material, one) for one in material.events]
    if not any(event.code == RUN_FINISHED for event in events):
        raise NotEnded("the run goes on; a bundle is the record of one that is over")
    members = {name: _small(data) for name, data in _texts(material, events).items()}
    for digest in closure(events, material.blob):
        members[blob_name(digest)] = _blob(material, digest)
    lines = [f"{members[name].digest} {members[name].size} {name}" for name in sorted(members)]
    text = "\n".join([notes.BUNDLE, f"run {material.stream[1:].hex()}", *lines, ""])
    members[MANIFEST] = _small(material.sign(text).encode())
    return _pieces(material, members)


def _pieces(material: Evidence, members: dict[str, Piece]) -> Iterator[bytes]:
    layout = Layout()
    for name in sorted(members):
        member = members[name]
        yield layout.add(name, member.crc, member.size)
        if member.data is not None:
            yield member.data
            continue
        hashed = sha256()
        for piece in material.blob_pieces(member.digest):
            hashed.update(piece)
            yield piece
        if f"sha256:{hashed.hexdigest()}" != member.digest:
            raise Damaged([f"blob {member.digest}: it changed while it was written into a bundle"])
    yield layout.end()


def _small(data: bytes) -> Piece:
    return Piece(len(data), zlib.crc32(data), f"sha256:{sha256(data).hexdigest()}", data)


def _blob(material: Evidence, digest: str) -> Piece:
    size, crc, hashed = 0, 0, sha256()
    for piece in material.blob_pieces(digest):
        size, crc = size + len(piece), zlib.crc32(piece, crc)
        hashed.update(piece)
    if f"sha256:{hashed.hexdigest()}" != digest:
        raise Damaged([f"blob {digest}: the bytes kept are not those of the digest"])
    return Piece(size, crc, digest, None)


def _event(material: Evidence, stored: Stored) -> Event:
    """Read an event's JSON as whoever checks the bundle will.

    Raises:
        Damaged: its body is gone and nothing says why, or is none.
    """
    head, text = chain.unpack(stored.envelope), stored.text
    if text is None and not any(_covers(stone, stored.seq) for stone in material.tombstones):
        raise Damaged([f"{chain.stream_name(material.stream)} #{stored.seq}: the body is missing"])
    return Event(stored.seq, head.at, head.code, {} if text is None else json.loads(text))


def _covers(stone: Tombstone, seq: int) -> bool:
    said = json.loads(stone.body[chain.NONCE_SIZE :])
    return seq <= said.get("length", 0) if said.get("bodies") else seq in said.get("seqs", ())


# --- the members -----------------------------------------------------------------------------------


def _texts(material: Evidence, events: list[Event]) -> dict[str, bytes]:
    """Return the members that are no blobs; the manifest is made of them."""
    run, head = material.stream[1:], f"sha256:{material.rows[-1].head.hex()}"
    note = notes.read_note(material.checkpoint)
    size = notes.read_checkpoint(note.text).size
    said = run_of(run, events, head)
    words = {"version": material.engine_version, "run": said["id"], "status": said["status"] or "erased"}
    proof = notes.Proof(material.rows[-1].pos - 1, material.path, note)
    members = {
        README: README_TEXT.format(**words, size=size, key=material.public_key).encode(),
        VERIFIER: program(),
        RUN: written(said),
        TASKS: written(tasks_of(events)),
        EVENTS: _lines(
            {
                "seq": one.seq,
                "envelope": one.envelope.hex(),
                "nonce": one.nonce.hex(),
                "body": one.text,
            }
            for one in material.events
        ),
        LOG: _lines(
            {"pos": row.pos, "from_seq": row.from_seq, "seq": row.seq, "head": row.head.hex()}
            for row in material.rows
        ),
        PROOF: str(proof).encode(),
        KEY: f"{material.public_key}\n".encode(),
        KEYS: _lines(_keys(material)),
    }
    if isinstance(material, Material):
        members[REPORT] = html.make(material)
    if material.tombstones:
        members[TOMBSTONES] = _lines(map(_tombstone, material.tombstones))
    return members


def _keys(material: Evidence) -> Iterator[Json]:
    """Yield the keys of the home up to the one that signed, each with what the one before it signed of it.

    Raises:
        Damaged: the ledger does not know that key.
    """
    revoked = {one.key for one in material.keys if one.state == "revoked"}
    for one in material.keys:
        if one.state == "active":
            yield {"key": one.key, "endorsed": one.endorsed, "revoked": one.key in revoked}
            if one.key == material.public_key:
                return
    raise Damaged([f"key {material.public_key}: no event of this home speaks of it"])


def _tombstone(stone: Tombstone) -> Json:
    return {
        "stream": stone.stream.hex(),
        "prev": stone.prev.hex(),
        "pos": stone.row.pos,
        "from_seq": stone.row.from_seq,
        "envelopes": [one.hex() for one in stone.envelopes],
        "seq": stone.seq,
        "nonce": stone.body[: chain.NONCE_SIZE].hex(),
        "body": stone.body[chain.NONCE_SIZE :].decode(),
        "path": [one.hex() for one in stone.path],
    }


def _lines(documents: Iterable[Json]) -> bytes:
    encode = partial(json.dumps, ensure_ascii=False, separators=(",", ":"))
    return "".join(f"{encode(document)}\n" for document in documents).encode()
