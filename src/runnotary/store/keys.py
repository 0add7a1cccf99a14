"""The key of a home: an Ed25519 key pair in `<home>/log.key`, readable by its owner only.

    # public key: NAME+ID+KEY
    -----BEGIN PRIVATE KEY-----  …                           PKCS 8, not encrypted

The file is its own witness: public half and private half must fit, or it is refused. It is never part of a
backup. Whoever holds it can sign another history; `docs/verify.md` says what then still tells the two apart.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from runnotary.core import notes
from runnotary.core.errors import Damaged, InvalidInput
from runnotary.core.notes import COSIGNER, BadNote, PublicKey, Signature
from runnotary.store import files

FILE: Final = "log.key"
NEXT: Final = "log.key.next"
_COMMENT: Final = "# public key: "
_NEXT_STEP: Final = "bring back a copy of it, or remove it: a new key is made"


class KeyFile:
    """The signing key of one home, made when it is first asked for."""

    def __init__(self, home: Path) -> None:
        self._home: Final = home
        self._held: tuple[PublicKey, Ed25519PrivateKey] | None = None

    def public_key(self, name: str, active: Collection[str]) -> PublicKey:
        """Return the public half; a home without a key gets one of this name.

        `active` are the keys in use by the ledger's word: it decides whether a change that was interrupted
        took place.

        Raises:
            Damaged: the file is not what this program writes.
        """
        if self._held is None:
            self._finish_change(active)
            path = self._home / FILE
            self._held = _read(path) if path.exists() else _made(path, name)
        return self._held[0]

    def _finish_change(self, active: Collection[str]) -> None:
        following = self._home / NEXT
        if following.exists():
            if _read(following)[0].text in active:
                self.renew()
            else:
                following.unlink()

    def sign(self, data: bytes) -> bytes:
        """Sign with the key that `public_key` told last."""
        assert self._held is not None
        return self._held[1].sign(data)

    def draw(self, name: str) -> PublicKey:
        """Make the next key, beside the one in use; `renew` puts it in its place."""
        return _made(self._home / NEXT, name)[0]

    def renew(self) -> None:
        """Let the next key be the one in use; the private half of the other is gone."""
        self._held = _read(self._home / NEXT)
        os.replace(self._home / NEXT, self._home / FILE)
        files.sync_folder(self._home)


def verified(key: PublicKey, signature: Signature, text: str) -> bool:
    """Tell whether a key made this signature of a note's text; that of a witness holds a time as well."""
    data, signed = signature.data, text.encode()
    if key.kind == COSIGNER:
        data, signed = data[8:], notes.cosigned(int.from_bytes(data[:8], "big"), text)
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(data, signed)
    except (InvalidSignature, ValueError):
        return False
    return key.made(signature)


def public_key_of(text: str, name: str) -> PublicKey:
    """Read a public key as people hand it on: NAME+ID+KEY, or PEM (which has no name; it gets `name`).

    Raises:
        InvalidInput: it is neither.
    """
    try:
        if "-----BEGIN" not in text:
            return notes.read_key(text)
        key = load_pem_public_key(text.encode())
        if isinstance(key, Ed25519PublicKey):
            return PublicKey(name, key.public_bytes(Encoding.Raw, PublicFormat.Raw))
    except (BadNote, ValueError) as wrong:
        raise InvalidInput(f"this is no public key: {wrong}", hint="see: runnotary key show") from None
    raise InvalidInput("this is no Ed25519 public key", hint="see: runnotary key show")


def _made(path: Path, name: str) -> tuple[PublicKey, Ed25519PrivateKey]:
    private = Ed25519PrivateKey.generate()
    key = PublicKey(name, private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw))
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    growing = path.with_name(path.name + ".growing")
    with suppress(FileNotFoundError):
        growing.unlink()
    handle = os.open(growing, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        files.write_all(handle, f"{_COMMENT}{key.text}\n".encode() + pem)
        os.fsync(handle)
    finally:
        os.close(handle)
    growing.rename(path)
    files.sync_folder(path.parent)
    return key, private


def _read(path: Path) -> tuple[PublicKey, Ed25519PrivateKey]:
    first, _, pem = path.read_text("utf-8", "replace").partition("\n")
    try:
        key = notes.read_key(first.removeprefix(_COMMENT))
        private = load_pem_private_key(pem.encode(), None)
    except (BadNote, ValueError, TypeError) as wrong:
        raise Damaged([f"{path} is not a key ({wrong}); {_NEXT_STEP}"]) from None
    if (
        not isinstance(private, Ed25519PrivateKey)
        or private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw) != key.public
    ):
        raise Damaged([f"{path}: its two halves do not belong together; {_NEXT_STEP}"])
    return key, private
