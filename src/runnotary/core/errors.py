"""Every error the product raises on purpose, as one tree.

    RunnotaryError
    ├── InvalidInput            exit 2   what was given cannot be used; nothing was stored
    │   ├── InvalidDefinition            a flow file or document, with every problem it has
    │   ├── KeyReused                    an idempotency key that stands for another request
    │   ├── InvalidRunInput              inputs of a run against the flow's declaration
    │   └── ReasonRequired               the profile of the home asks why, and nothing was said
    ├── NotFound                exit 3
    │   ├── RunNotFound (RunErased) · FlowNotFound · TaskNotFound · BlobNotFound · FileMissing
    │   ├── NamespaceNotFound · TokenNotFound
    ├── PermissionDenied        exit 4
    │   └── OwnRequest                   who asked for it may not approve it
    ├── Unauthenticated         exit 4   nobody knows who asks
    ├── Conflict                exit 5   the present state does not allow it
    │   ├── AlreadyEnded · NotEnded · Held · Changed · HomeLocked · HomeVersion
    │   ├── AlreadyDecided · NotWaiting · ShownOtherwise
    ├── Unreachable             exit 6   no engine or server answers
    ├── WaitTimeout             exit 7
    ├── NotRecorded             exit 1   an event could not be written, so what it says did not happen
    └── Damaged                 exit 10  the record does not verify
        └── RolledBack                   the record is older than a checkpoint of it

A message says what is wrong, where, and what to do next. `code` is stable and lower case;
`exit_code` is the process exit status, `http_status` a hint for a front door.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

import msgspec


class RunnotaryError(Exception):
    """Root of the tree; never raised itself."""

    code: ClassVar[str] = "error"
    exit_code: ClassVar[int] = 1
    http_status: ClassVar[int] = 500

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message: Final = message
        self.hint: Final = hint

    def __str__(self) -> str:
        return f"{self.message}\n  {self.hint}" if self.hint else self.message


class InvalidInput(RunnotaryError):
    code = "invalid_input"
    exit_code = 2
    http_status = 422


class Problem(msgspec.Struct, frozen=True, order=True):
    """One thing wrong with a document.

    `path` names the value ("steps.clean.with.csv"); `line` and `column` count from 1 and are 0
    when the document did not come from a text; `offset` counts characters into a string value.
    """

    line: int
    column: int
    path: str
    message: str
    source: str = ""
    offset: int = 0

    def __str__(self) -> str:
        place = f"{self.source}:{self.line}:{self.column}" if self.line else self.source
        return " ".join(part for part in (place, f"{self.path}:" if self.path else "", self.message) if part)


class InvalidDefinition(InvalidInput):
    """A definition with everything that is wrong with it, in the order of the text."""

    code = "invalid_definition"

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems: Final = tuple(sorted(problems))
        count = len(self.problems)
        noun = "error" if count == 1 else "errors"
        lines = [str(problem) for problem in self.problems]
        super().__init__("\n".join([*lines, f"{count} {noun}, nothing stored"]))


class InvalidRunInput(InvalidInput):
    """Inputs that do not fit the flow's declaration, every one of them named."""

    code = "invalid_run_input"

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems: Final = tuple(problems)
        super().__init__("\n".join([*self.problems, "no run was created"]))


class KeyReused(InvalidInput):
    """An idempotency key was given again, with another request than the first one."""

    code = "idempotency_key_reused"


class ReasonRequired(InvalidInput):
    """The home's profile asks for a reason, and none was given."""

    code = "reason_required"


class NotFound(RunnotaryError):
    code = "not_found"
    exit_code = 3
    http_status = 404


class RunNotFound(NotFound):
    code = "run_not_found"

    @classmethod
    def named(cls, run: str) -> RunNotFound:
        """Return what everybody is told for whom there is no such run, for whichever reason."""
        return cls(f"no run {run}", hint="see: runnotary run list")


class RunErased(RunNotFound):
    """What the run was is erased; the message says by whom, when and why, to whoever may read there."""

    code = "run_erased"
    http_status = 410


class FlowNotFound(NotFound):
    code = "flow_not_found"


class TaskNotFound(NotFound):
    code = "task_not_found"


class BlobNotFound(NotFound):
    code = "blob_not_found"


class FileMissing(NotFound):
    code = "file_missing"


class NamespaceNotFound(NotFound):
    code = "namespace_not_found"


class TokenNotFound(NotFound):
    code = "token_not_found"


class PermissionDenied(RunnotaryError):
    code = "permission_denied"
    exit_code = 4
    http_status = 403


class OwnRequest(PermissionDenied):
    """Whoever started the run, owns it or registered its flow may not answer its request."""

    code = "own_request"


class Unauthenticated(RunnotaryError):
    """Credentials are missing or refused; `challenge` is the answer's `WWW-Authenticate`."""

    code = "unauthenticated"
    exit_code = 4
    http_status = 401
    challenge: str = 'Bearer realm="runnotary"'


class Conflict(RunnotaryError):
    code = "conflict"
    exit_code = 5
    http_status = 409


class AlreadyEnded(Conflict):
    code = "already_ended"


class NotEnded(Conflict):
    """The run goes on, and this can only be done with one that is over."""

    code = "not_ended"


class Held(Conflict):
    """A hold protects the run."""

    code = "held"


class VersionTaken(Conflict):
    """A version label of a flow already means another definition, and the profile lets it mean only one."""

    code = "version_taken"


class Changed(Conflict):
    """The run is not any more as the caller saw it last."""

    code = "changed"
    http_status = 412


class AlreadyDecided(Conflict):
    """Somebody has answered the request; the message says who."""

    code = "already_decided"


class NotWaiting(Conflict):
    """The step asks for nothing now: not yet, or not any more."""

    code = "not_waiting"


class ShownOtherwise(Conflict):
    """The answer is about something else than what the request shows."""

    code = "shown_otherwise"


class HomeLocked(Conflict):
    code = "home_locked"


class HomeVersion(Conflict):
    """The home was written by a newer release, or by an older one and may only be read here."""

    code = "home_version"


class Unreachable(RunnotaryError):
    code = "unreachable"
    exit_code = 6
    http_status = 503


class WaitTimeout(RunnotaryError):
    code = "wait_timeout"
    exit_code = 7
    http_status = 408


class NotRecorded(RunnotaryError):
    """The store failed to write an event: the disk is full, say, or cannot be written to any more."""

    code = "not_recorded"
    http_status = 507


class Damaged(RunnotaryError):
    """The store or a bundle does not hold together; `findings` says what and where."""

    code = "damaged"
    exit_code = 10
    http_status = 500

    def __init__(self, findings: Sequence[str], *, hint: str = "") -> None:
        self.findings: Final = tuple(findings)
        super().__init__("\n".join(self.findings), hint=hint)


class RolledBack(Damaged):
    """The record ends before, or goes otherwise than, a checkpoint says that was made of it."""

    code = "rollback"
