"""The files that a flow's `code` names, found beside the flow file, and where they come from.

Rules of this file:

1. Nothing outside the flow's directory: folders behind symbolic links are not entered, and a link to a
   file counts only if the file lies inside.
2. `.git`, `.runnotary` and `__pycache__` are never part of a snapshot.
3. The result depends on names and contents alone, never on the order of a directory listing.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import subprocess
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from runnotary.core.definition import CodeFile
from runnotary.core.hashing import PREFIX

Json = Any

NEVER: Final = frozenset({".git", ".runnotary", "__pycache__"})
FILES_MAX: Final = 10_000
BYTES_MAX: Final = 1 << 30
GIT_SECONDS: Final = 5.0

_CHUNK: Final = 1 << 20
_PATTERN: Final = re.compile(r"[*?\[]")


class Refused(ValueError):
    """A pattern, or a file it names, that cannot be part of a snapshot."""


def find(base: Path, pattern: str) -> dict[str, Path]:
    """Return the files that a name, a folder or a pattern stands for, by relative name.

    Raises:
        Refused: it names nothing, something that is no file, or something outside.
    """
    inside = base.resolve()
    found: dict[str, Path] = {}
    for path in _expanded(base, pattern.split("/")):
        name = path.relative_to(base).as_posix()
        if not path.resolve().is_relative_to(inside):
            raise Refused(f'"{name}" is a link that leads out of the folder')
        if not name.isprintable() or not _is_utf8(name):
            raise Refused(f"the file name {name!r} cannot be recorded")
        found[name] = path
        if len(found) > FILES_MAX:
            raise Refused(f"more than {FILES_MAX} files")
    if not found:
        raise Refused(f'no file matches "{pattern}"')
    return dict(sorted(found.items()))


def hashed(path: Path) -> CodeFile:
    """Return a file by its content.

    Raises:
        Refused: it cannot be read, or is too large.
    """
    try:
        with path.open("rb") as source:
            state = os.fstat(source.fileno())
            if state.st_size > BYTES_MAX:
                raise Refused(f"{path.name} is larger than {BYTES_MAX} bytes: make it an input")
            sha, size = hashlib.sha256(), 0
            while chunk := source.read(_CHUNK):
                sha.update(chunk)
                size += len(chunk)
    except OSError as wrong:
        raise Refused(f"{path.name} cannot be read: {wrong.strerror}") from None
    return CodeFile(PREFIX + sha.hexdigest(), size, bool(state.st_mode & stat.S_IXUSR))


def revision(base: Path, names: Iterable[str]) -> dict[str, Json]:
    """Return `{"git": commit, "changes": n}` if the folder lies in a work tree, else nothing.

    `changes` counts the named files that differ from the commit or are unknown to it. Whatever git
    cannot say in time is left out: this is evidence about the source, not part of any identity.
    """
    if not any((folder / ".git").exists() for folder in (base.resolve(), *base.resolve().parents)):
        return {}
    options = ["-c", "core.fsmonitor=false", "-c", "core.quotePath=false", "--no-optional-locks"]
    status = [
        "status",
        "--porcelain=v2",
        "--branch",
        "--untracked-files=all",
        "--ignored=matching",
        "--",
        *names,
    ]
    try:
        answer = subprocess.run(
            ["git", "-C", str(base), *options, *status],
            capture_output=True,
            stdin=subprocess.DEVNULL,
            timeout=GIT_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return {}
    lines = answer.stdout.decode(errors="replace").splitlines()
    commits = [line.split()[-1] for line in lines if line.startswith("# branch.oid ")]
    if not commits or not re.fullmatch("[0-9a-f]{40,64}", commits[0]):
        return {}
    return {"git": commits[0], "changes": sum(1 for line in lines if not line.startswith("#"))}


def _expanded(folder: Path, parts: list[str]) -> Iterator[Path]:
    """Yield the files under a folder that the rest of a pattern names."""
    first, rest = parts[0], parts[1:]
    if first == "**":
        yield from _expanded(folder, rest or ["*"])
        for inner in _entries(folder):
            if inner.is_dir() and not inner.is_symlink():
                yield from _expanded(inner, parts)
        return
    if _PATTERN.search(first):
        matching = [entry for entry in _entries(folder) if fnmatchcase(entry.name, first)]
    else:
        matching = [folder / first] if first not in NEVER else []
    for entry in matching:
        is_folder = entry.is_dir() and not entry.is_symlink()
        if rest:
            yield from _expanded(entry, rest) if is_folder else ()
        elif is_folder and not _PATTERN.search(first):
            yield from _expanded(entry, ["**"])
        elif entry.is_file():
            yield entry


def _entries(folder: Path) -> list[Path]:
    try:
        return sorted(entry for entry in folder.iterdir() if entry.name not in NEVER)
    except OSError:
        return []


def _is_utf8(name: str) -> bool:
    return not any("\ud800" <= letter <= "\udfff" for letter in name)
