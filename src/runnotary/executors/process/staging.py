"""Puts what a step needs into its folder before it starts: code, staged files, inputs.

Every content comes out of Blobs, which checks it against its digest on the way: what the step reads is what
the record names, hashed before the start. Files in `inputs/` are read-only, those in `work/` are the step's
own. A code file is executable if it was when the
flow was read (its definition says so); a file of a tree if the manifest says so.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from runnotary.core import trees
from runnotary.core.attempts import Attempt
from runnotary.core.errors import BlobNotFound, Damaged
from runnotary.executors.process.environment import check_name, value_text
from runnotary.executors.process.failures import Refused, from_os
from runnotary.ports import Blobs

Json = Any

CHEAP_FILES: Final = 8
CHEAP_BYTES: Final = 256 * 1024


def is_cheap(attempt: Attempt) -> bool:
    """Tell whether staging is so little work that a thread would cost more."""
    count, size = len(attempt.code), sum(file.size for file in attempt.code.values())
    for value in (*attempt.variables.values(), *attempt.staged.values()):
        for content in _contents(value):
            if "$dir" in content:
                return False
            count += 1
            size += content.get("size", 0)
    return count <= CHEAP_FILES and size <= CHEAP_BYTES


def stage(attempt: Attempt, folder: str, blobs: Blobs) -> dict[str, str]:
    """Fill `work/` and `inputs/`; return the `with` values as text, with paths in place of contents.

    Raises:
        Refused: a content is not here or damaged, a name leads elsewhere, or the disk is full.
    """
    stager = _Stager(folder, blobs)
    for name, file in attempt.code.items():
        stager.put_code(name, file.blob, executable=name in attempt.executables)
    for name, value in attempt.staged.items():
        stager.put_work(name, value)
    return {name: value_text(stager.placed(name, value)) for name, value in attempt.variables.items()}


class _Stager:
    def __init__(self, folder: str, blobs: Blobs) -> None:
        self._folder = folder
        self._blobs = blobs
        self._count = 0

    def put_code(self, name: str, blob: str, *, executable: bool) -> None:
        target = self._under("work", name, f"code file {name}")
        self._file(blob, target, f"code file {name}", own=True, executable=executable)

    def put_work(self, name: str, value: Json) -> None:
        target = self._under("work", name, f"staged file {name}")
        if not isinstance(value, dict) or not ("$file" in value or "$dir" in value):
            raise Refused("bad_input", f"staged file {name}: a file or a directory expected")
        if "$dir" in value:
            self._tree(value["$dir"], target, f"staged {name}", own=True)
        else:
            self._file(value["$file"], target, f"staged file {name}", own=True)

    def placed(self, name: str, value: Json) -> Json:
        """Return a `with` value with every content in it staged and replaced by its path."""
        check_name(name)
        if not isinstance(value, dict | list):
            return value
        self._count = 0
        if isinstance(value, dict) and ("$file" in value or "$dir" in value):
            return self._input(value, f"inputs/{name}", name)
        return self._inside(value, name)

    def _inside(self, value: Json, name: str) -> Json:
        if isinstance(value, list):
            return [self._inside(item, name) for item in value]
        if not isinstance(value, dict):
            return value
        if "$file" in value or "$dir" in value:
            self._count += 1
            return self._input(value, f"inputs/{name}/{self._count}", name)
        return {key: self._inside(item, name) for key, item in value.items()}

    def _input(self, content: Json, room: str, name: str) -> str:
        """Stage one content under its original name, in a room of its own."""
        own_name = str(content.get("name") or "file").rstrip("/").rpartition("/")[2]
        target = self._under(room, own_name, f"input {name}")
        if "$dir" in content:
            self._tree(content["$dir"], target, f"input {name}", own=False)
        else:
            self._file(content["$file"], target, f"input {name}", own=False)
        return target

    def _under(self, room: str, name: str, what: str) -> str:
        """Return a path inside a room of the folder, its parents made."""
        try:
            trees.parts(name)
        except trees.BadPath as wrong:
            raise Refused("bad_path", f"{what}: {wrong}") from None
        target = f"{self._folder}/{room}/{name}"
        try:
            os.makedirs(os.path.dirname(target), exist_ok=True)
        except OSError as error:
            raise from_os(error, what) from None
        return target

    def _file(self, blob: str, target: str, what: str, *, own: bool, executable: bool = False) -> None:
        with _explained(what):
            self._blobs.stage(blob, Path(target), executable=executable)
            os.chmod(target, (0o755 if executable else 0o644) if own else (0o555 if executable else 0o444))

    def _tree(self, blob: str, target: str, what: str, *, own: bool) -> None:
        with _explained(what):
            entries = trees.entries(self._blobs.get(blob))
            os.makedirs(target, exist_ok=True)
        for entry in entries:
            path = f"{target}/{entry.path}"
            with _explained(f"{what}: {entry.path}"):
                os.makedirs(os.path.dirname(path), exist_ok=True)
            self._file(entry.blob, path, f"{what}: {entry.path}", own=own, executable=entry.x)


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """Turn what Blobs and the system raise into a refusal that names the file."""
    try:
        yield
    except BlobNotFound as error:
        raise Refused("blob_missing", f"{what}: {error}. Submit the run again with the file") from None
    except (Damaged, trees.BadManifest) as error:
        text = f"{what}: {error}. `verify --deep` shows what else is damaged"
        raise Refused("blob_damaged", text) from None
    except OSError as error:
        raise from_os(error, what) from None


def _contents(value: Json) -> Iterator[Mapping[str, Json]]:
    left = [value]
    while left:
        item = left.pop()
        if isinstance(item, dict):
            if "$file" in item or "$dir" in item:
                yield item
            else:
                left += item.values()
        elif isinstance(item, list):
            left += item
