"""Streams, envelopes and the hash chain: how an event becomes evidence.

    stored envelope  60 bytes   at i64 · actor 16 · type u16 · version u16 · body digest 32
    stored body      nonce 16 · JSON
    event hash       SHA-256( "runnotary.event1" · u8 len · stream · seq u64 · prev 32 · stored envelope )
    log leaf         SHA-256( 0x00 · "runnotary.leaf.1" · u8 len · stream · seq u64 · head 32 )

All integers are big-endian. The parts of the hashed envelope that the key (stream, seq) and the
predecessor (prev) already give are not stored a second time; the stored bytes are hashed as they lie.
`prev` of the first event is 32 zero bytes. A body is detachable: the envelope holds only the digest of
nonce and JSON, which cannot be guessed once both are gone. Test vectors stand in `docs/format.md`.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from runnotary.core.events import CODES, Event, decode, encode
from runnotary.core.ids import from_text, to_text

DOMAIN: Final = b"runnotary.event1"
LEAF_DOMAIN: Final = b"\x00runnotary.leaf.1"
GENESIS: Final = bytes(32)
NONCE_SIZE: Final = 16
ENGINE_ACTOR: Final = bytes(16)
_STORED: Final = struct.Struct(">q16sHH32s")
ENVELOPE_SIZE: Final = _STORED.size
_SEQ: Final = struct.Struct(">Q")

RUN: Final = b"\x01"
ITEM: Final = b"\x02"
LEDGER: Final = b"\x03"
ASSET: Final = b"\x04"
TRIGGER: Final = b"\x05"
_KIND_NAMES: Final = {RUN: "run", ITEM: "item", LEDGER: "ledger", ASSET: "asset", TRIGGER: "trigger"}


def run_stream(run_id: bytes) -> bytes:
    """Return the key of a run's stream: 0x01 and the 16 bytes of its id."""
    return RUN + run_id


def ledger_stream(namespace: str) -> bytes:
    """Return the key of a namespace's ledger: 0x03 and its UTF-8 name (at most 64 bytes)."""
    return LEDGER + namespace.encode()


def stream_name(stream: bytes) -> str:
    """Write a stream key for people: `run/01J…`, `ledger/default`."""
    kind = _KIND_NAMES.get(stream[:1], stream[:1].hex())
    if stream[:1] == LEDGER:
        return f"{kind}/{stream[1:].decode('utf-8', 'replace')}"
    if len(stream) == 1 + 16:
        return f"{kind}/{to_text(stream[1:])}"
    return f"{kind}/{stream[1:].hex()}"


def named_stream(name: str) -> bytes:
    """Read the key of a stream of a run or a ledger back from its name; nothing if it is neither."""
    kind, _, rest = name.partition("/")
    try:
        if kind == _KIND_NAMES[LEDGER]:
            return ledger_stream(rest)
        return run_stream(from_text(rest)) if kind == _KIND_NAMES[RUN] else b""
    except ValueError:
        return b""


class Envelope(msgspec.Struct, frozen=True):
    """The stored envelope, unpacked. `at` is µs since 1970."""

    at: int
    actor: bytes
    code: int
    version: int
    body_digest: bytes


class Sealed(msgspec.Struct, frozen=True):
    """One event as it will lie in the store, and the hash that the next one carries."""

    seq: int
    envelope: bytes
    body: bytes
    hash: bytes


class Recorded(msgspec.Struct, frozen=True):
    """One event read back."""

    seq: int
    at: int
    actor: bytes
    event: Event


def seal(stream: bytes, seq: int, prev: bytes, at: int, actor: bytes, event: Event, nonce: bytes) -> Sealed:
    """Turn an event into its stored bytes and its hash.

    Raises:
        UnknownEvent: what a ledger would hold could not be read back; one such fact closes a home for good.
    """
    code, version = CODES[type(event)]
    said = encode(event)
    if stream[:1] == LEDGER:
        decode(code, version, said)
    body = nonce + said
    envelope = _STORED.pack(at, actor, code, version, hashlib.sha256(body).digest())
    return Sealed(seq, envelope, body, event_hash(stream, seq, prev, envelope))


def event_hash(stream: bytes, seq: int, prev: bytes, envelope: bytes) -> bytes:
    """Hash an envelope in its place in the stream."""
    return hashlib.sha256(
        b"".join((DOMAIN, bytes((len(stream),)), stream, _SEQ.pack(seq), prev, envelope))
    ).digest()


def leaf_hash(stream: bytes, seq: int, head: bytes) -> bytes:
    """Return the Merkle leaf of one (commit, stream) head; RFC 6962 hashing, length-prefixed stream."""
    return hashlib.sha256(
        b"".join((LEAF_DOMAIN, bytes((len(stream),)), stream, _SEQ.pack(seq), head))
    ).digest()


def unpack(envelope: bytes) -> Envelope:
    """Read a stored envelope.

    Raises:
        ValueError: it does not have 60 bytes.
    """
    if len(envelope) != ENVELOPE_SIZE:
        raise ValueError(f"an envelope has {ENVELOPE_SIZE} bytes, this one has {len(envelope)}")
    return Envelope(*_STORED.unpack(envelope))


def body_digest(body: bytes) -> bytes:
    """Hash a stored body (nonce and JSON)."""
    return hashlib.sha256(body).digest()


def opened(seq: int, envelope: bytes, body: bytes) -> Recorded:
    """Read one stored event without checking it; `verify` is the place for that."""
    head = unpack(envelope)
    return Recorded(seq, head.at, head.actor, decode(head.code, head.version, body[NONCE_SIZE:]))


def heads(stream: bytes, envelopes: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the chain hash after each envelope, from the first event of the stream on."""
    prev = GENESIS
    for seq, envelope in enumerate(envelopes, start=1):
        prev = event_hash(stream, seq, prev, envelope)
        yield prev


def actor_id(salt: bytes, principal: str) -> bytes:
    """Return the opaque 16 bytes that stand for a principal in envelopes.

    The salt lives in the body of the home's first ledger event, so erasing that body unlinks people
    from their events for good.
    """
    return hashlib.sha256(b"runnotary.actor1" + salt + principal.encode()).digest()[:16]
