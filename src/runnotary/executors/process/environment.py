"""The environment of a step: exactly what it gets, and the evidence of it without any secret.

In this order, a later one replacing an earlier one: the allow-list and the names in `inherit` from the
engine's own environment, TMPDIR, the `with` values, the public variables of `env`, the secrets, and the
variables that tell a step where it is (docs/steps.md). The keeper adds RUNNOTARY_ATTEMPT.

What is written down has the path of the attempt's folder replaced by a NUL character, which no variable can
hold: two attempts of equal content then have the same evidence, and a kept folder can be moved.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import msgspec

from runnotary.core import trace
from runnotary.core.attempts import Attempt
from runnotary.core.hashing import PREFIX, canonical
from runnotary.executors.containment import MARK
from runnotary.executors.process.escaping import json_bytes
from runnotary.executors.process.failures import Refused

Json = Any

ALLOWED: Final = ("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "TZ")
FOLDER: Final = "\0"

_IDENTITY: Final = frozenset({"RUNNOTARY_RUN", "RUNNOTARY_STEP", "RUNNOTARY_TRY", trace.VARIABLE, MARK})
_OWN: Final = _IDENTITY | {"RUNNOTARY_OUTPUT", "RUNNOTARY_REPORT"}
_SECRET_PREFIX: Final = "RUNNOTARY_SECRET_"
_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_text_of: Final = msgspec.json.Encoder().encode


class Shell(msgspec.Struct, frozen=True, kw_only=True):
    """What it takes to stand where the step stood: `shell.json`. `inherit` and `secrets` are names only."""

    argv: tuple[str, ...]
    cwd: str
    environment: dict[str, str]
    inherit: tuple[str, ...] = ()
    secrets: dict[str, str] = {}
    evidence: str = ""


class Environment(msgspec.Struct, frozen=True):
    """What an attempt gets besides the shared variables (secret values among it), the evidence blob, and
    `shell.json`.
    """

    variables: dict[str, str]
    evidence: bytes
    shell: bytes

    def __repr__(self) -> str:
        return f"Environment({len(self.variables)} variables)"

    def sizes(self) -> list[tuple[str, int]]:
        """Return how many bytes each variable takes, its name included."""
        return [(name, len(os.fsencode(f"{name}={value}"))) for name, value in self.variables.items()]


class Environments:
    """Builds environments; keeps the part that all attempts of this engine share."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        self.shared: Final = {
            name: value for name, value in environ.items() if name in ALLOWED or name.startswith("LC_")
        }
        """What every attempt gets; the keeper is told once (docs/keeper.md)."""
        self._evidence: dict[tuple[object, ...], bytes] = {}

    def build(
        self, attempt: Attempt, folder: str, values: Mapping[str, str], secrets: Mapping[str, str]
    ) -> Environment:
        """Return the environment of an attempt; `values` are the `with` values as text, files as paths.

        Raises:
            Refused: a name or a value cannot be in an environment.
        """
        for name in secrets:
            if name in _OWN:
                raise Refused("bad_variable", f"variable {name}: the name is the engine's own")
        for given in (values, attempt.environment, secrets):
            _check(given)
        inherited = self._inherited(attempt)
        own = {
            **inherited,
            "TMPDIR": f"{folder}/tmp",
            **values,
            **attempt.environment,
            "RUNNOTARY_RUN": attempt.run,
            "RUNNOTARY_STEP": attempt.key,
            "RUNNOTARY_TRY": str(attempt.number),
            "RUNNOTARY_OUTPUT": f"{folder}/output",
            "RUNNOTARY_REPORT": f"{folder}/report",
            trace.VARIABLE: trace.traceparent(attempt.run, attempt.id),
        }
        for name in secrets:
            own.pop(name, None)
        placed = {name: value.replace(folder, FOLDER) for name, value in own.items()}
        evidence = self._evidence_of(attempt, placed, secrets)
        foreign = sorted(name for name, value in inherited.items() if own.get(name) == value)
        for name in foreign:
            del placed[name]
        shell = {
            "argv": attempt.argv,
            "cwd": "work",
            "environment": _without({**self.shared, **placed}, secrets),
            "inherit": foreign,
            "secrets": attempt.secrets,
            "evidence": evidence.decode(),
        }
        return Environment({**own, **secrets}, evidence, json_bytes(shell))

    def _inherited(self, attempt: Attempt) -> dict[str, str]:
        for name in attempt.inherit:
            if name.startswith(_SECRET_PREFIX):
                raise Refused(
                    "bad_variable",
                    f"inherit {name}: a secret reaches a step by `env`, as ${{{{ secrets.NAME }}}}, only",
                )
        return {
            name: self._environ[name]
            for name in attempt.inherit
            if name in self._environ and name not in self.shared
        }

    def _evidence_of(self, attempt: Attempt, placed: dict[str, str], secrets: Mapping[str, str]) -> bytes:
        telling = tuple(pair for pair in placed.items() if pair[0] not in _IDENTITY)
        cached = (telling, tuple(secrets), tuple(attempt.environment))
        evidence = self._evidence.get(cached)
        if evidence is None:
            evidence = self._described(attempt, _without({**self.shared, **placed}, secrets), sorted(secrets))
            if len(self._evidence) >= 256:
                self._evidence.clear()
            self._evidence[cached] = evidence
        return evidence

    def _described(self, attempt: Attempt, public: dict[str, str], secrets: list[str]) -> bytes:
        pairs = [pair for pair in sorted(public.items()) if pair[0] not in _IDENTITY]
        shown = {
            name: _printable(value)
            for name, value in public.items()
            if name in attempt.environment or name in ("LANG", "TZ") or name.startswith("LC_")
        }
        return canonical(
            {
                "names": sorted([*public, *secrets, MARK]),
                "secrets": secrets,
                "public": shown,
                "hash": PREFIX + hashlib.sha256(json_bytes(pairs)).hexdigest(),
            }
        )


def _without(variables: dict[str, str], secrets: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in variables.items() if name not in secrets} if secrets else variables


def value_text(value: Json) -> str:
    """Return a `with` value as a variable: text as it is, null as nothing, others as compact JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None else _text_of(value).decode()


def read_shell(folder: str) -> Shell | None:
    """Return what `shell.json` in an attempt's folder says, this folder's path put in; None without one."""
    try:
        shell = msgspec.convert(json.loads(Path(folder, "shell.json").read_bytes()), Shell)
    except (OSError, ValueError):
        return None
    placed = {name: value.replace(FOLDER, folder) for name, value in shell.environment.items()}
    return msgspec.structs.replace(shell, environment=placed, cwd=f"{folder}/{shell.cwd}")


def _check(variables: Mapping[str, str]) -> None:
    for name, value in variables.items():
        if "\0" in value or not name or "=" in name or "\0" in name:
            raise Refused("bad_variable", f"variable {name!r}: holds a NUL character, or its name is none")


def check_name(name: str) -> None:
    """Refuse a `with` name that no shell could read.

    Raises:
        Refused: letters, digits and `_` only, not beginning with a digit.
    """
    if not _NAME.fullmatch(name):
        raise Refused("bad_variable", f"with.{name[:80]}: not a name that a step could read as a variable")


def _printable(value: str) -> str:
    return value.encode("utf-8", "backslashreplace").decode()
