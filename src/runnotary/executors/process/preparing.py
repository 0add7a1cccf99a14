"""Everything that happens to an attempt before the keeper hears of it."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from typing import Final

from runnotary.core.attempts import Attempt
from runnotary.executors.process import staging
from runnotary.executors.process.environment import Environments, read_shell
from runnotary.executors.process.failures import Refused, from_os
from runnotary.executors.process.folders import Folders
from runnotary.executors.process.held import Held
from runnotary.executors.process.leaks import SHORTEST, Leaks
from runnotary.executors.process.reports import Reports
from runnotary.ports import Blobs


class Preparer:
    """Makes folders, stages contents, looks up secrets, builds environments."""

    def __init__(
        self, folders: Folders, blobs: Blobs, secrets: Callable[[str], str], environ: Mapping[str, str]
    ) -> None:
        self._folders = folders
        self._blobs = blobs
        self._secrets = secrets
        self._environments = Environments(environ)
        self.shared: Final = self._environments.shared
        """The variables that every attempt gets."""
        self._ready = False

    async def prepare(self, held: Held) -> dict[str, str]:
        """Make the folder and all that is in it; return the secrets by variable.

        Raises:
            Refused: it cannot be started.
            Claimed: it has been started before.
        """
        if self.is_quick(held.attempt):
            return self._whole(held)
        self._open()
        return await asyncio.to_thread(self._whole, held)

    def is_quick(self, attempt: Attempt) -> bool:
        """Tell whether preparing is so little work that a thread would cost more."""
        return not attempt.secrets and staging.is_cheap(attempt)

    def _open(self) -> None:
        if not self._ready:
            self._ready = True
            self._folders.prepare()

    def _whole(self, held: Held) -> dict[str, str]:
        secrets = self.prepare_now(held)
        self.note(held)
        return secrets

    def prepare_now(self, held: Held) -> dict[str, str]:
        """Make all that the keeper has to know of; `note` is due before the start."""
        self._open()
        attempt = held.attempt
        secrets = self._resolved(attempt)
        _know(held, secrets)
        try:
            self._folders.make(attempt.id)
        except OSError as error:
            raise from_os(error, "making the attempt's folder") from None
        values = staging.stage(attempt, held.folder, self._blobs)
        built = self._environments.build(attempt, held.folder, values, secrets)
        held.environment, held.evidence = built, built.evidence
        return secrets

    def note(self, held: Held) -> None:
        """Write down what `run shell` and an engine after this one need.

        Raises:
            Refused: it cannot be written.
        """
        assert held.environment is not None
        shell = held.environment.shell
        try:
            handle = os.open(f"{held.folder}/shell.json", os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            try:
                os.write(handle, shell)
                os.ftruncate(handle, len(shell))
            finally:
                os.close(handle)
        except OSError as error:
            raise from_os(error, "writing shell.json") from None

    async def remember(self, held: Held) -> None:
        """Take in what an earlier engine prepared, for an attempt that was found."""
        shell = read_shell(held.folder)
        held.evidence = shell.evidence.encode() if shell else b""
        try:
            if held.attempt.secrets:
                _know(held, await asyncio.to_thread(self._resolved, held.attempt))
            else:
                _know(held, {})
        except Refused:
            held.leaks, held.reports = None, None

    def _resolved(self, attempt: Attempt) -> dict[str, str]:
        found = {}
        for variable, name in attempt.secrets.items():
            try:
                value = self._secrets(name)
            except LookupError as missing:
                text = str(missing.args[0] if missing.args else missing)
                raise Refused("secret_missing", f"variable {variable}: {text}") from None
            if len(os.fsencode(value)) < SHORTEST:
                text = f"secret {name} has under {SHORTEST} bytes; it could not be masked without harm"
                raise Refused("secret_too_short", text)
            found[variable] = value
        return found


def _know(held: Held, secrets: Mapping[str, str]) -> None:
    held.leaks = Leaks({held.attempt.secrets[variable]: value for variable, value in secrets.items()})
    held.reports = Reports(f"{held.folder}/report", held.leaks)
