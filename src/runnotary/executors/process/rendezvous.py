"""Where the keeper of a home is found: a socket in a short private directory that the home names.

The socket cannot live in the home: its path may be too long, and a home holds regular files only. It lies in
`$XDG_RUNTIME_DIR/runnotary-<8 hex>` or `/tmp/runnotary-<uid>-<8 hex>`, where the digits are a hash of the
home's path. The file `<home>/keeper` names it, so that a session with another environment finds the same
keeper. In a copy of the home that name does not fit the digits and is not followed.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from runnotary.core.errors import Conflict

SOCKET = "keeper-1.sock"
_PATH_MAX = 107


def socket_of(home: str, environ: Mapping[str, str]) -> str:
    """Return the path of the keeper's socket, its directory made and checked, and note it in the home.

    Raises:
        Conflict: the directory belongs to somebody else, or is open to others.
    """
    home = os.path.realpath(home)
    digits = hashlib.sha256(os.fsencode(home)).hexdigest()[:8]
    named = _named(home, digits)
    if named:
        return named
    folder = _folder(environ, digits)
    with suppress(FileExistsError):
        os.mkdir(folder, 0o700)
    _check(folder)
    path = f"{folder}/{SOCKET}"
    _note(home, path)
    return path


def _folder(environ: Mapping[str, str], digits: str) -> str:
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    folder = f"{runtime}/runnotary-{digits}"
    if os.path.isabs(runtime) and os.path.isdir(runtime) and len(f"{folder}/{SOCKET}.lock") <= _PATH_MAX:
        return folder
    return f"/tmp/runnotary-{os.geteuid()}-{digits}"


def _named(home: str, digits: str) -> str:
    """Return the socket that the home names, if it is this home's and its directory is safe."""
    try:
        path = os.fsdecode(Path(home, "keeper").read_bytes()[:4096].strip())
    except OSError:
        return ""
    folder = os.path.dirname(path)
    if not os.path.isabs(path) or not folder.endswith(f"-{digits}") or len(os.fsencode(path)) > _PATH_MAX:
        return ""
    try:
        _check(folder)
    except (OSError, Conflict):
        return ""
    return path


def _check(folder: str) -> None:
    found = os.lstat(folder)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise Conflict(
            f"{folder} is not a directory of yours alone",
            hint="remove it, or set XDG_RUNTIME_DIR to a private directory",
        )


def _note(home: str, path: str) -> None:
    fresh = f"{home}/keeper.new"
    Path(fresh).write_bytes(os.fsencode(path) + b"\n")
    os.replace(fresh, f"{home}/keeper")
