"""Where the value of a secret comes from: the environment of the engine, or a command.

A value is handed to whoever asks and kept nowhere; no message here holds one.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from typing import Final

PREFIX: Final = "RUNNOTARY_SECRET_"
TIMEOUT_S: Final = 30.0

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


class SecretMissing(LookupError):
    """No provider has a secret of this name; the message says what to do."""


class Secrets:
    """Looks a name up as `RUNNOTARY_SECRET_<NAME>`, then by asking `command`.

    The command gets the name as its last argument and writes the value to its standard output; one final
    newline is not part of it. It exits with another status than 0 if it knows no such secret.
    """

    def __init__(
        self,
        environ: Mapping[str, str] = os.environ,
        command: Sequence[str] = (),
        *,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        self._environ = environ
        self._command = tuple(command)
        self._timeout = timeout_s

    def __call__(self, name: str) -> str:
        """Return the value.

        Raises:
            SecretMissing: no provider has it.
        """
        if not _NAME.fullmatch(name):
            raise SecretMissing(f"{name!r} cannot be the name of a secret: letters, digits and _ only")
        value = self._environ.get(PREFIX + name)
        if value is None and self._command:
            value = self._asked(name)
        if value is None:
            raise SecretMissing(
                f"no secret {name}: set {PREFIX}{name}, or configure a command that knows it, then run again"
            )
        return value

    def _asked(self, name: str) -> str | None:
        try:
            done = subprocess.run(
                [*self._command, name],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=dict(self._environ),
                timeout=self._timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            text = f"the command for secrets gave no {name} within {self._timeout:g} s"
            raise SecretMissing(text) from None
        except OSError as wrong:
            text = f"the command for secrets ({self._command[0]}) does not start: {wrong.strerror}"
            raise SecretMissing(text) from None
        if done.returncode != 0:
            return None
        return os.fsdecode(done.stdout).removesuffix("\n")
