"""Keys, signed notes and hashes: as in core/notes.py, core/chain.py and core/merkle.py, written again without
them, because whoever checks a bundle has none of this product.
"""

from __future__ import annotations

import struct
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from runnotary.exports.bundle_zip import Refused

ED25519: Final = 1
WITNESS: Final = 4
LETTERS: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class NoKey(ValueError):
    """A text that should be a public key and is none."""


@dataclass(frozen=True)
class Key:
    """A public key, NAME+ID+KEY."""

    name: str
    kind: int
    public: bytes

    @property
    def id(self) -> bytes:
        return sha256(self.name.encode() + b"\n" + bytes((self.kind,)) + self.public).digest()[:4]

    @property
    def text(self) -> str:
        return f"{self.name}+{self.id.hex()}+{b64encode(bytes((self.kind,)) + self.public).decode()}"

    def signed(self, data: bytes, signature: bytes) -> bool:
        """Tell whether this key made a signature."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, data)
        except (InvalidSignature, ValueError):
            return False
        return True

    def endorses(self, key: Key, signature: str) -> bool:
        """Tell whether this key vouches for the one that follows it."""
        return self.signed(f"runnotary.key1\n{key.text}\n".encode(), b64decode(signature))


def key_of(text: str) -> Key:
    """Read a public key.

    Raises:
        NoKey: it is none.
    """
    try:
        name, _, coded = text.strip().split("+", 2)
        data = b64decode(coded, validate=True)
        key = Key(name, data[0], data[1:])
    except (ValueError, IndexError):
        raise NoKey("this is no public key: NAME+ID+KEY") from None
    named = name.isprintable() and " " not in name and 0 < len(name) <= 200
    if not named or len(data) != 33 or key.kind not in (ED25519, WITNESS) or key.text != text.strip():
        raise NoKey("this is no public key: its name, id, kind or length is wrong")
    return key


class Note(NamedTuple):
    """A signed text (c2sp.org/signed-note), with its signatures as (name, key id, data)."""

    text: str
    signatures: list[tuple[str, bytes, bytes]]

    def by(self, key: Key) -> bool:
        """Tell whether a log's key signed it."""
        found = [data for name, id, data in self.signatures if (name, id) == (key.name, key.id)]
        return key.kind == ED25519 and any(key.signed(self.text.encode(), data) for data in found)

    def witnessed(self, key: Key) -> int:
        """Return when a witness signed it, in s since 1970; 0 if it did not."""
        for name, id, data in self.signatures:
            seconds = int.from_bytes(data[:8], "big")
            told = f"cosignature/v1\ntime {seconds}\n{self.text}".encode()
            if (name, id, WITNESS) == (key.name, key.id, key.kind) and key.signed(told, data[8:]):
                return seconds
        return 0


def note_of(data: str, what: str) -> Note:
    """Read a signed note.

    Raises:
        Refused: it is none.
    """
    text, gap, tail = data.rpartition("\n\n")
    signatures = []
    for line in tail.removesuffix("\n").split("\n"):
        dash, _, rest = line.partition(" ")
        name, _, coded = rest.partition(" ")
        try:
            raw = b64decode(coded, validate=True)
        except ValueError:
            raw = b""
        if not gap or not tail.endswith("\n") or dash != "—" or b64encode(raw).decode() != coded:
            raise Refused(f"{what} is not a signed note")
        signatures.append((name, raw[:4], raw[4:]))
    return Note(text + "\n", signatures)


# --- hashes ----------------------------------------------------------------------------------------


def unsealed(envelope: bytes) -> tuple[int, int, bytes]:
    """Return time, type and digest of the body, out of an envelope.

    Raises:
        Refused: a later release wrote it.
    """
    at, _, code, version, digest = struct.unpack(">q16sHH32s", envelope)
    if version != 1:
        raise Refused(f"an event of type {code} has version {version}: a later release wrote it")
    return at, code, digest


def event_hash(stream: bytes, seq: int, prev: bytes, envelope: bytes) -> bytes:
    """Return the hash of an event in its place."""
    return _placed(b"runnotary.event1", stream, seq, prev + envelope)


def leaf_hash(stream: bytes, seq: int, head: bytes) -> bytes:
    """Return the leaf of a stream that ends so."""
    return _placed(b"\0runnotary.leaf.1", stream, seq, head)


def _placed(domain: bytes, stream: bytes, seq: int, data: bytes) -> bytes:
    return sha256(domain + bytes((len(stream),)) + stream + seq.to_bytes(8, "big") + data).digest()


def check_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> None:
    """Check that a leaf is in a tree (RFC 9162 §2.1.3.2).

    Raises:
        Refused: the path does not lead to the root.
    """
    here, last, hashed = index, size - 1, leaf
    for beside in path:
        if not last:
            hashed = b""
        elif here & 1 or here == last:
            hashed = sha256(b"\1" + beside + hashed).digest()
            while here and not here & 1:
                here, last = here >> 1, last >> 1
        else:
            hashed = sha256(b"\1" + hashed + beside).digest()
        here, last = here >> 1, last >> 1
    if not 0 <= index < size or last or hashed != root:
        raise Refused("the proof does not lead from this run to the root that was signed")


# --- words -----------------------------------------------------------------------------------------


def id_text(raw: bytes) -> str:
    """Write an id as 26 letters."""
    bits = int.from_bytes(raw, "big")
    return "".join(LETTERS[bits >> shift & 31] for shift in range(125, -1, -5))


def time_text(at: int) -> str:
    """Write a time in µs since 1970."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=at)
    return moment.isoformat(timespec="microseconds")[:26] + "Z"
