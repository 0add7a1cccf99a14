"""Takes in what a step declared: values from `$RUNNOTARY_OUTPUT`, files, directories and globs from `work/`.

A file must be there, regular, and inside the work folder, wherever links lead. An attempt that holds secrets
has everything searched for them first; with one found, nothing of its outputs is kept.

A tree is a directory, or a glob (`*`, `?`, `[…]`, `**` for any depth) over files; its paths begin after the
last part of the pattern before a wildcard. A link to a file inside the work folder counts as that file.
"""

from __future__ import annotations

import fnmatch
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import msgspec

from runnotary.core import trees, values
from runnotary.core.attempts import Attempt
from runnotary.core.events import VALUE_MAX, File, Large
from runnotary.core.hashing import canonical
from runnotary.core.states import Reason
from runnotary.executors.process import regular
from runnotary.executors.process.failures import Refused
from runnotary.executors.process.leaks import Leaks
from runnotary.ports import Blobs

Json = Any

OUTPUT_MAX: Final = 16 << 20
_LISTED: Final = 20
_WILD: Final = re.compile(r"[*?\[]")
_EXECUTABLE: Final = 0o100


class Found(msgspec.Struct, frozen=True):
    """Declared outputs that were found: values, paths of files, and paths by name for each tree."""

    values: dict[str, Json]
    files: dict[str, str]
    trees: dict[str, dict[str, str]]


class _Wrong(Exception):
    """One declared file or tree that cannot be taken."""


def find(attempt: Attempt, folder: str, leaks: Leaks, *, lenient: bool) -> Found:
    """Find and check everything that is declared; nothing is kept yet.

    `folder` has no link in its own path. `lenient` is for a step that failed anyway: what is missing or does
    not fit is left out.

    Raises:
        Refused: something is missing or wrong, or holds a secret.
    """
    said, problems = _values(attempt, folder, leaks)
    found = Found(said, {}, {})
    code = "invalid_output" if problems else "file_missing"
    work = f"{folder}/work"
    for name in attempt.files:
        try:
            found.files[name] = _regular(work, name)
        except _Wrong as wrong:
            problems.append(f"file {name}: {wrong}")
    for pattern in attempt.trees:
        try:
            found.trees[pattern] = _tree(work, pattern)
        except _Wrong as wrong:
            problems.append(f"dir {pattern}: {wrong}")
    if leaks:
        _search(found, leaks)
    if problems and not lenient:
        raise Refused(code, leaks.masked_text("; ".join(problems)), Reason.INVALID_OUTPUT)
    return found


def keep_values(found: Found, blobs: Blobs) -> tuple[dict[str, Json], Large | None]:
    """Return the values, or a reference to their blob if they are large."""
    if not found.values:
        return {}, None
    data = canonical(found.values)
    if len(data) <= VALUE_MAX:
        return found.values, None
    return {}, Large(blobs.put(data), len(data))


def keep_files(found: Found, blobs: Blobs, keep: Callable[[Path], tuple[str, int]]) -> dict[str, File]:
    """Keep files and trees, each file by `keep`; return them by their declared names.

    A tree's size is that of its files. A file that is declared twice is kept once: it may be gone afterwards.
    """
    taken: dict[str, tuple[str, int, bool]] = {}

    def take(path: str) -> tuple[str, int, bool]:
        if path not in taken:
            executable = bool(os.stat(path).st_mode & _EXECUTABLE)
            taken[path] = (*keep(Path(path)), executable)
        return taken[path]

    kept = {}
    for name, path in found.files.items():
        blob, size, _ = take(path)
        kept[name] = File(blob, size, name)
    for pattern, paths in found.trees.items():
        entries = []
        for name, path in paths.items():
            blob, size, executable = take(path)
            entries.append(trees.Entry(name, blob, size, executable))
        total = sum(entry.size for entry in entries)
        kept[pattern] = File(blobs.put(trees.manifest(entries)), total, pattern, tree=True)
    return kept


# --- values ----------------------------------------------------------------------------------------


def _values(attempt: Attempt, folder: str, leaks: Leaks) -> tuple[dict[str, Json], list[str]]:
    try:
        data = _read_output(f"{folder}/output")
    except _Wrong as wrong:
        return {}, [f"$RUNNOTARY_OUTPUT: {wrong}"]
    if name := leaks.in_bytes(data):
        raise _leak("the values", name)
    if not data and not attempt.values:
        return {}, []
    return values.read(data, attempt.values)


def _read_output(path: str) -> bytes:
    try:
        handle = regular.opened(path)
    except FileNotFoundError:
        return b""
    except OSError:
        raise _Wrong("not a regular file that can be read") from None
    with os.fdopen(handle, "rb") as file:
        size = os.fstat(handle).st_size
        if size > OUTPUT_MAX:
            raise _Wrong(f"{size:,} bytes are too many ({OUTPUT_MAX:,} at most); write a file instead")
        return file.read()


# --- files -----------------------------------------------------------------------------------------


def _regular(work: str, name: str) -> str:
    """Return the real path of a declared file."""
    try:
        trees.parts(name)
    except trees.BadPath as wrong:
        raise _Wrong(str(wrong)) from None
    path = _inside(work, f"{work}/{name}")
    try:
        mode = os.stat(path).st_mode
    except OSError:
        raise _Wrong(f"is not there; {_listing(work)}") from None
    if stat.S_ISDIR(mode):
        raise _Wrong("is a directory; declare it under `dirs`")
    if not stat.S_ISREG(mode):
        raise _Wrong("is not a regular file")
    return path


def _inside(work: str, path: str) -> str:
    """Return where a path really leads, if that is inside the work folder."""
    real = os.path.realpath(path)
    if os.path.islink(work) or not f"{real}/".startswith(f"{work}/"):
        raise _Wrong("is a link that leads out of the work folder")
    return real


def _listing(work: str) -> str:
    """Say what is in the work folder."""
    found = []
    for place, folders, files in os.walk(work):
        folders.sort()
        found += [os.path.relpath(f"{place}/{name}", work) for name in sorted(files)]
        if len(found) > _LISTED:
            return f"the work folder holds {', '.join(map(_printable, found[:_LISTED]))} and more"
    listed = ", ".join(map(_printable, found))
    return f"the work folder holds {listed}" if found else "the work folder is empty"


def _printable(name: str) -> str:
    return name if name.isprintable() else ascii(name)


# --- trees -----------------------------------------------------------------------------------------


def _tree(work: str, pattern: str) -> dict[str, str]:
    """Return the files of a directory or glob: real paths by their names in the tree."""
    pattern = pattern.rstrip("/")
    try:
        parts = trees.parts(pattern)
    except trees.BadPath as wrong:
        raise _Wrong(str(wrong)) from None
    literal = os.path.lexists(f"{work}/{pattern}")
    wild = next((number for number, part in enumerate(parts) if _WILD.search(part)), None)
    if literal or wild is None:
        top = _inside(work, f"{work}/{pattern}")
        if not os.path.isdir(top):
            what = "is a file; declare it under `files`" if literal else f"is not there; {_listing(work)}"
            raise _Wrong(what)
        return dict(_walk(work, top, None))
    top = _inside(work, "/".join([work, *parts[:wild]]))
    found = dict(_walk(work, top, parts[wild:]))
    if not found:
        raise _Wrong(f"matches no file; {_listing(work)}")
    return found


def _walk(work: str, top: str, wanted: tuple[str, ...] | None) -> Iterator[tuple[str, str]]:
    for place, folders, files in os.walk(top, onerror=_raise):
        inner = os.path.relpath(place, top)
        for name in folders if wanted is None else ():
            if os.path.islink(f"{place}/{name}"):
                raise _Wrong(f"{_printable(name)} in it is a link to a directory")
        for name in files:
            path = name if inner == "." else f"{inner}/{name}"
            if wanted is None or _matches(wanted, tuple(path.split("/"))):
                yield path, _member(work, f"{place}/{name}", path)


def _member(work: str, path: str, name: str) -> str:
    try:
        trees.parts(name)
        real = _inside(work, path)
        mode = os.stat(real).st_mode
    except (trees.BadPath, _Wrong, OSError) as wrong:
        why = os.strerror(wrong.errno or 0) if isinstance(wrong, OSError) else str(wrong)
        raise _Wrong(f"{_printable(name)} in it: {why}") from None
    if not stat.S_ISREG(mode):
        raise _Wrong(f"{_printable(name)} in it is not a regular file")
    return real


def _raise(error: OSError) -> None:
    raise _Wrong(os.strerror(error.errno or 0))


def _matches(pattern: tuple[str, ...], names: tuple[str, ...]) -> bool:
    """Tell whether a path fits a glob, part by part; a wildcard fits no name that begins with a dot."""
    if not pattern or not names:
        return not pattern and not names
    first, rest = pattern[0], pattern[1:]
    hidden = names[0].startswith(".")
    if first == "**":
        here = _matches(rest, names) or (not rest and len(names) == 1 and not hidden)
        return here or (not hidden and _matches(pattern, names[1:]))
    if hidden and not first.startswith("."):
        return False
    return fnmatch.fnmatchcase(names[0], first) and _matches(rest, names[1:])


# --- secrets ---------------------------------------------------------------------------------------


def _search(found: Found, leaks: Leaks) -> None:
    for name, path in found.files.items():
        if secret := leaks.in_file(path):
            raise _leak(f"the file {name}", secret)
    for pattern, paths in found.trees.items():
        for name, path in paths.items():
            if secret := leaks.in_text(name) or leaks.in_file(path):
                raise _leak(f"a file of {pattern}", secret)


def _leak(where: str, name: str) -> Refused:
    return Refused(
        "secret_in_output",
        f"the secret of {name} stands in {where}; no output of this attempt was kept",
        Reason.SECRET_IN_OUTPUT,
    )
