"""What an attempt runs: read from a request and checked before anything is claimed.

Standard library only: the keeper, which is a script, imports it as its sibling.
"""

import errno
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

SHORTEST_SECRET = 6
_DEFAULT_PATH = b"/usr/local/bin:/usr/bin:/bin"
_DEFAULT_GRACE = 10.0


class BadCommand(Exception):
    """The request says nothing that can be run; code and detail are part of the protocol."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail


class Command:
    """What to run, as bytes; `env` is the whole environment, `grace` the seconds a stop leaves it."""

    def __init__(
        self, argv: list[bytes], env: dict[bytes, bytes], cwd: bytes, secrets: list[str], grace: float
    ) -> None:
        self.argv = argv
        self.env = env
        self.cwd = cwd
        self.secrets = secrets
        self.grace = grace
        self._found: bytes | None = None

    def executable(self) -> bytes:
        """Where argv[0] is, by the PATH of the step; to be asked in its working directory."""
        if self._found is not None:
            return self._found
        name = self.argv[0]
        if b"/" in name:
            return name
        paths = [(folder or b".") + b"/" + name for folder in self._folders()]
        for path in paths:
            if os.access(path, os.X_OK) and not os.path.isdir(path):
                return path
        found = any(os.path.exists(path) for path in paths)
        raise OSError(errno.EACCES if found else errno.ENOENT, "argv[0]")

    def look_ahead(self) -> None:
        """Look for argv[0] now, if the working directory has no say in where it is."""
        if b"/" not in self.argv[0] and all(folder.startswith(b"/") for folder in self._folders()):
            try:
                self._found = self.executable()
            except OSError:
                self._found = None  # it may still come

    def _folders(self) -> list[bytes]:
        return self.env.get(b"PATH", _DEFAULT_PATH).split(b":")


def environment_of(message: "dict[str, Any]") -> dict[bytes, bytes]:
    """The variables in a request."""
    try:
        env = {_bytes(name): _bytes(value) for name, value in message.get("env", {}).items()}
    except (TypeError, ValueError, AttributeError) as error:  # whose text may hold a secret
        raise BadCommand("bad_request", f"{type(error).__name__} in env") from None
    if any(not name or b"=" in name for name in env):
        raise BadCommand("bad_request", "a variable's name is empty or holds `=`")
    return env


def command_of(message: "dict[str, Any]", shared: dict[bytes, bytes], mark: tuple[str, str]) -> Command:
    """The command in a request; it gets the `shared` variables, and `mark`, besides its own."""
    grace = seconds(message, _DEFAULT_GRACE)
    if not isinstance(message.get("argv"), list) or not isinstance(message.get("mask") or [], list):
        raise BadCommand("bad_request", "argv and mask are lists")
    try:
        argv = [_bytes(part) for part in message["argv"]]
        cwd = _bytes(message.get("cwd") or "work")
        secrets = message.get("mask") or []
        lengths = [len(_bytes(secret)) for secret in secrets]
    except (KeyError, TypeError, ValueError, AttributeError) as error:  # whose text may hold a secret
        raise BadCommand("bad_request", f"{type(error).__name__} in argv, cwd or mask") from None
    if not argv:
        raise BadCommand("bad_request", "argv is empty")
    if min(lengths, default=SHORTEST_SECRET) < SHORTEST_SECRET:
        raise BadCommand("secret_too_short", f"under {SHORTEST_SECRET} bytes")
    env = {**shared, **environment_of(message), mark[0].encode(): mark[1].encode()}
    return Command(argv, env, cwd, secrets, grace)


def seconds(message: "dict[str, Any]", default: float) -> float:
    """The grace in a request."""
    grace = message.get("grace_ms")
    if grace is None:
        return default
    if isinstance(grace, bool) or not isinstance(grace, int | float) or not 0 <= grace < 1e12:
        raise BadCommand("bad_request", "grace_ms: not a number of milliseconds")
    return grace / 1000


def _bytes(text: str) -> bytes:
    data = text.encode("utf-8", "surrogateescape")
    if b"\0" in data:
        raise ValueError("NUL")
    return data
