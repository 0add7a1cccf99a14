"""The key of a home, loaded when it is first needed: the library behind it takes 17 ms to import."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Final

from runnotary.core.notes import PublicKey

if TYPE_CHECKING:
    from runnotary.store.keys import KeyFile


class HomeKey:
    """The port `Signer` for a home."""

    def __init__(self, home: Path) -> None:
        self._home: Final = home
        self._file: KeyFile | None = None

    def public_key(self, name: str, active: Collection[str]) -> PublicKey:
        return self._loaded().public_key(name, active)

    def sign(self, data: bytes) -> bytes:
        return self._loaded().sign(data)

    def draw(self, name: str) -> PublicKey:
        return self._loaded().draw(name)

    def renew(self) -> None:
        self._loaded().renew()

    def _loaded(self) -> KeyFile:
        if self._file is None:
            from runnotary.store.keys import KeyFile

            self._file = KeyFile(self._home)
        return self._file
