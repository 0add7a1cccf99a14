"""What goes to an executor and what comes back: the two values that cross that border.

Both are plain facts. An `Attempt` is a function of the log, so a restarted engine makes the same one;
an `Outcome` is read from the attempt's own record after nobody can write to it any more.
"""

from __future__ import annotations

from typing import Any

import msgspec

from runnotary.core.events import Failure, File, Large, Log

Json = Any


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """Everything an executor needs to run one attempt.

    `variables` are the resolved `with` values (files as `{"$file": …}`, trees as `{"$dir": …}`),
    `environment` the public variables, `secrets` the name of a secret per variable name.
    `staged` are files and trees to put into the work folder under these relative names.
    `place` names the server whose keeper may have it, where several share the record.
    `files` and `trees` are the declared outputs, `values` the declared value types.
    """

    id: str
    run: str
    key: str
    number: int
    argv: tuple[str, ...]
    variables: dict[str, Json]
    environment: dict[str, str]
    secrets: dict[str, str] = {}
    inherit: tuple[str, ...] = ()
    code: dict[str, File] = {}
    executables: frozenset[str] = frozenset()
    staged: dict[str, Json] = {}
    files: tuple[str, ...] = ()
    trees: tuple[str, ...] = ()
    values: dict[str, str] = {}
    grace_ms: int = 10_000
    place: str = ""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What an attempt left behind.

    `failure` and `reason` are set when the evidence itself says no: a missing file, a wrong-typed
    value, a secret in an output, an attempt that could not be started, or one that is lost.
    `stopped` is true if a stop was delivered before the end.
    """

    attempt: str
    exit_code: int | None = None
    signal: int | None = None
    stopped: bool = False
    lost: bool = False
    reason: str = ""
    failure: Failure | None = None
    values: dict[str, Json] = {}
    values_large: Large | None = None
    files: dict[str, File] = {}
    stdout: Log | None = None
    stderr: Log | None = None
    metrics: dict[str, Json] = {}
    started_at: int = 0
    exited_at: int = 0
    cpu_ms: int | None = None
    max_rss_bytes: int | None = None
    host: str = ""
    pid: int = 0
    environment: str = ""
    runtime: str = ""
    containment: str = ""
