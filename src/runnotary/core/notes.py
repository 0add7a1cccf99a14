"""Signed notes, checkpoints and proofs as text: the forms that witnesses and other verifiers of logs read.

    note          text ‖ "\\n" ‖ signature lines          c2sp.org/signed-note
    signature     "— " name " " base64( key id 4 ‖ signature ) "\\n"
    key id        SHA-256( name ‖ 0A ‖ kind ‖ public key )[:4]
    kind          01: Ed25519; 04: a witness's Ed25519, whose signature begins with a time
    public key    name "+" key id in hex "+" base64( kind ‖ public key )
    checkpoint    origin "\\n" size "\\n" base64( root ) "\\n"      c2sp.org/tlog-checkpoint
    endorsed      "runnotary.key1\\n" public key "\\n"                 by the key before it in the same home
    cosigned      "cosignature/v1\\ntime " seconds "\\n" ‖ text     c2sp.org/tlog-cosignature
    proof         index, path and checkpoint                       c2sp.org/tlog-proof

What is made here is read back to the same bytes, and nothing else is read: one checkpoint has one text.
No signature is made or checked here; that takes a key.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode, b64encode
from hashlib import sha256
from typing import Final

import msgspec

from runnotary.core.ids import to_text

ED25519: Final = 1
COSIGNER: Final = 4
"""Kinds of keys: the log's own, and a witness's, whose signature begins with a time."""

NOTE_MAX: Final = 64 * 1024
SIGNATURES_MAX: Final = 64
SIZE_MAX: Final = 2**63 - 1
PROOF: Final = "c2sp.org/tlog-proof@v1"
BUNDLE: Final = "runnotary.bundle1"
"""How the manifest of a bundle begins, so that no note of another kind can be taken for one."""

_NAME: Final = re.compile(r"[^\s+\x00-\x1f\x7f\ud800-\udfff]{1,200}")
"""What a signature line can carry: no space, and nothing that a note may not hold."""
_SIZE: Final = re.compile(r"0|[1-9][0-9]{0,18}")


class BadNote(ValueError):
    """A text that is no note, key, checkpoint or proof, and why."""


class Signature(msgspec.Struct, frozen=True):
    """A signature line: whose it is, by name and key id, and its bytes."""

    name: str
    key_id: bytes
    data: bytes

    @property
    def line(self) -> str:
        return f"— {self.name} {b64encode(self.key_id + self.data).decode()}\n"


class PublicKey(msgspec.Struct, frozen=True):
    """The public half of an Ed25519 key, under the name that signatures carry."""

    name: str
    public: bytes
    kind: int = ED25519

    @property
    def id(self) -> bytes:
        return sha256(self.name.encode() + b"\n" + bytes((self.kind,)) + self.public).digest()[:4]

    @property
    def text(self) -> str:
        return f"{self.name}+{self.id.hex()}+{b64encode(bytes((self.kind,)) + self.public).decode()}"

    def made(self, signature: Signature) -> bool:
        """Tell whether a signature says that it is this key's."""
        return (signature.name, signature.key_id) == (self.name, self.id)


class Note(msgspec.Struct, frozen=True):
    """A signed text; `text` ends with a newline."""

    text: str
    signatures: tuple[Signature, ...]

    def __str__(self) -> str:
        return self.text + "\n" + "".join(one.line for one in self.signatures)


class Checkpoint(msgspec.Struct, frozen=True):
    """Size and root of a log at one time."""

    origin: str
    size: int
    root: bytes

    @property
    def text(self) -> str:
        return f"{self.origin}\n{self.size}\n{b64encode(self.root).decode()}\n"


class Proof(msgspec.Struct, frozen=True):
    """That the leaf at `index` is in the log of a checkpoint; `path` goes from the leaf's sibling up."""

    index: int
    path: tuple[bytes, ...]
    note: Note

    def __str__(self) -> str:
        path = "".join(f"{b64encode(one).decode()}\n" for one in self.path)
        return f"{PROOF}\nindex {self.index}\n{path}\n{self.note}"


def origin_of(event_hash: bytes) -> str:
    """Return the name of a log: it follows from the event that founded its home, or restored it."""
    return "runnotary/" + to_text(sha256(b"runnotary.origin1" + event_hash).digest()[:16])


def is_name(text: str) -> bool:
    """Tell whether a key may be called so."""
    return _NAME.fullmatch(text) is not None


def endorsement(key: str) -> bytes:
    """Return what the key in use signs of the one that follows it."""
    return f"runnotary.key1\n{key}\n".encode()


def read_key(text: str) -> PublicKey:
    """Read a public key.

    Raises:
        BadNote: it is none, of another kind, or its id is not its own.
    """
    parts = text.strip().split("+", 2)
    if len(parts) != 3 or not _NAME.fullmatch(parts[0]):
        raise BadNote("not a public key: NAME+ID+KEY")
    data = _unbase64(parts[2], "the public key")
    if len(data) != 33 or data[0] not in (ED25519, COSIGNER):
        raise BadNote("the public key is not of the kind Ed25519")
    key = PublicKey(parts[0], data[1:], data[0])
    if key.text != text.strip():
        raise BadNote("the id in the public key is not its own")
    return key


def read_note(text: str) -> Note:
    """Read a signed note.

    Raises:
        BadNote: it has not the form of one.
    """
    if len(text) > NOTE_MAX:
        raise BadNote("the note is too long")
    if any(ord(letter) < 32 and letter != "\n" for letter in text):
        raise BadNote("the note holds a control character")
    body, gap, tail = text.rpartition("\n\n")
    lines = tail.split("\n")
    if not gap or not body or lines.pop() or not lines or len(lines) > SIGNATURES_MAX:
        raise BadNote("the note has no signature, or does not end after its signatures")
    return Note(body + "\n", tuple(map(_signature, lines)))


def read_checkpoint(text: str) -> Checkpoint:
    """Read the text of a checkpoint, signatures apart; lines after the third are refused.

    Raises:
        BadNote: it has not the form of one.
    """
    lines = text.split("\n")
    if len(lines) != 4 or lines[3] or not _NAME.fullmatch(lines[0]) or not _SIZE.fullmatch(lines[1]):
        raise BadNote("not a checkpoint: origin, size and root, each on a line")
    root = _unbase64(lines[2], "the root")
    if len(root) != 32 or int(lines[1]) > SIZE_MAX:
        raise BadNote("not a checkpoint: the root has not 32 bytes, or the size is too large")
    return Checkpoint(lines[0], int(lines[1]), root)


def read_proof(text: str) -> Proof:
    """Read a proof.

    Raises:
        BadNote: it has not the form of one.
    """
    head, gap, note = text.partition("\n\n")
    lines = head.split("\n")
    if not gap or len(lines) < 2 or lines[0] != PROOF or not lines[1].startswith("index "):
        raise BadNote(f"not a proof: {PROOF}, index, path and checkpoint")
    index = lines[1].removeprefix("index ")
    if not _SIZE.fullmatch(index):
        raise BadNote("not a proof: the index is no number")
    path = tuple(_unbase64(line, "a hash of the path") for line in lines[2:])
    if any(len(one) != 32 for one in path) or len(path) > 64:
        raise BadNote("not a proof: a hash of the path has not 32 bytes, or there are too many")
    return Proof(int(index), path, read_note(note))


def cosigned(seconds: int, text: str) -> bytes:
    """Return what a witness signs: the text of a checkpoint, at a time in s since 1970."""
    return f"cosignature/v1\ntime {seconds}\n{text}".encode()


def _signature(line: str) -> Signature:
    dash, _, rest = line.partition(" ")
    name, _, coded = rest.partition(" ")
    if dash != "—" or not _NAME.fullmatch(name):
        raise BadNote("a signature line is `— NAME BASE64`")
    data = _unbase64(coded, "a signature")
    if len(data) <= 4:
        raise BadNote("a signature is too short")
    return Signature(name, data[:4], data[4:])


def _unbase64(text: str, what: str) -> bytes:
    try:
        data = b64decode(text, validate=True)
    except (ValueError, binascii.Error):
        data = b""
    if not data or b64encode(data).decode() != text:
        raise BadNote(f"{what} is not base64")
    return data
