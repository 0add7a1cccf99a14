"""Finds the secrets of an attempt in what it left, in the same forms that the masker replaces in logs."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from runnotary.executors import masker
from runnotary.executors.process import regular
from runnotary.executors.process.folders import clear

SHORTEST: Final = 6
_CHUNK: Final = 1 << 20


class Leaks:
    """Searches for secrets, by their names; without secrets everything is clean and nothing is read."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._names = {form: name for name, value in secrets.items() for form in masker.forms(value)}
        self._overlap = max(map(len, self._names), default=1) - 1

    def __bool__(self) -> bool:
        return bool(self._names)

    def in_bytes(self, data: bytes) -> str:
        """Return the name of a secret that stands in the bytes, or nothing."""
        return next((name for form, name in self._names.items() if form in data), "")

    def in_text(self, text: str) -> str:
        """Return the name of a secret that stands in the text, or nothing."""
        return self.in_bytes(os.fsencode(text)) if self._names else ""

    def in_file(self, path: str) -> str:
        """Return the name of a secret that stands in a regular file, or nothing; constant memory."""
        if not self._names:
            return ""
        handle = regular.opened(path)
        try:
            tail = b""
            while chunk := os.read(handle, _CHUNK):
                data = tail + chunk
                if name := self.in_bytes(data):
                    return name
                tail = data[-self._overlap :]
        finally:
            os.close(handle)
        return ""

    def masked(self, data: bytes) -> bytes:
        """Return the bytes with every secret replaced."""
        return masker.Mask(set(self._names)).feed(data, last=True) if self._names else data

    def masked_text(self, text: str) -> str:
        """Return the text with every secret replaced."""
        return os.fsdecode(self.masked(os.fsencode(text))) if self._names else text

    def scrub(self, folder: str) -> None:
        """Remove from a folder that is kept everything whose content or name holds a secret."""
        for place, folders, files in os.walk(folder, topdown=False):
            for name in files:
                path = f"{place}/{name}"
                if self.in_text(name) or self._may_hold(path):
                    os.unlink(path)
            for name in folders:
                if self.in_text(name):
                    clear(f"{place}/{name}")

    def _may_hold(self, path: str) -> bool:
        try:
            return bool(self.in_text(os.readlink(path)) if os.path.islink(path) else self.in_file(path))
        except OSError:
            return True  # it cannot be read, so nobody can say
