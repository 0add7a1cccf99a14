"""A flow, compiled: what `core/plan.py` works on.

`core/definition.py` makes these from a definition document and is the only place that does. Nothing
here is hashed or stored: identity is the canonical document, this is its meaning. Durations are in ms.
"""

from __future__ import annotations

from typing import Any, Literal, Protocol

import msgspec

from runnotary.core.events import File
from runnotary.core.references import Reference

Json = Any
Scope = dict[str, Any]


class Expression(Protocol):
    """A compiled expression or template (`core/expressions.py`).

    `steps` are the names it refers to under `steps.`; a scope is
    `{"inputs": {...}, "steps": {name: {...}}, "each": {"value", "index"}, "run": {...}}` and needs to
    hold only those steps.
    """

    text: str
    steps: frozenset[str]
    references: tuple[Reference, ...]

    def evaluate(self, scope: Scope) -> Json:
        """Return the value as JSON.

        Raises:
            EvaluationError: `core/expressions.py` says what and why.
        """


class Condition(Expression, Protocol):
    """An `if`: evaluates to a bool. `asks_status` if it calls always, failure, success or cancelled."""

    asks_status: bool


class Retry(msgspec.Struct, frozen=True):
    """`attempts` is the total number of tries; the pause doubles each time, up to an hour.

    `jitter` is the share of the pause (0 to 100 percent) that chance may add.
    """

    attempts: int = 1
    backoff_ms: int = 0
    jitter_percent: int = 0
    on: frozenset[str] = frozenset({"error", "timeout", "invalid_output"})


class Catch(msgspec.Struct, frozen=True):
    """Turn a failure into a success with these values; empty `on` means any reason but `cancelled`."""

    on: frozenset[str] = frozenset()
    values: dict[str, Json] = {}


class Approve(msgspec.Struct, frozen=True, kw_only=True):
    """A request to people. `by` are principals and `role:NAME`; empty means whoever may approve."""

    prompt: Expression
    show: dict[str, Expression] = {}
    by: tuple[str, ...] = ()
    timeout_ms: int = 0
    approvals: int = 1
    reason_required: bool = False
    self_approval: bool = True


class Input(msgspec.Struct, frozen=True):
    """One declared input: its JSON Schema-like declaration and whether it may be left out."""

    name: str
    type: str
    schema: dict[str, Json]
    required: bool
    default: Json = None


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """A node of the flow. `before` holds every step that must have ended first.

    `needs` passes skips and failures on; the rest of `before` (`after`) is order only.
    `argv` is complete: a script already stands behind its shell. `stage` puts files into the work
    folder under fixed names.
    """

    name: str
    action: Literal["run", "set", "wait", "approve"]
    argv: tuple[str, ...] = ()
    set: dict[str, Expression] = {}
    wait_ms: Expression | None = None
    approve: Approve | None = None
    needs: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    condition: Condition | None = None
    for_each: Expression | None = None
    max_concurrency: int = 0
    with_: dict[str, Expression] = {}
    env: dict[str, Expression] = {}
    secrets: dict[str, str] = {}
    inherit: tuple[str, ...] = ()
    stage: dict[str, Expression] = {}
    files: tuple[str, ...] = ()
    trees: tuple[str, ...] = ()
    values: dict[str, str] = {}
    timeout_ms: int = 0
    grace_ms: int = 10_000
    retry: Retry = Retry()
    catch: Catch | None = None
    executor: str = "process"
    cleanup: bool = False

    @property
    def needs_slot(self) -> bool:
        """Tell whether a task of this step occupies a slot while it runs."""
        return self.action == "run"


class Flow(msgspec.Struct, frozen=True, kw_only=True):
    """A definition with everything resolved that can be resolved before a run.

    `steps` holds the `finally` steps too (`cleanup`), each group by depth and then by name.
    `followers[name]` are the steps whose `before` names it. `executables` are the files of `code`
    that may be executed.
    """

    hash: str
    steps: dict[str, Step]
    followers: dict[str, tuple[str, ...]]
    inputs: dict[str, Input] = {}
    outputs: dict[str, Expression] = {}
    condition: Condition | None = None
    on_failure: Literal["continue", "stop"] = "continue"
    max_concurrency: int = 0
    code: dict[str, File] = {}
    executables: frozenset[str] = frozenset()
    digests: dict[str, str] = {}
    """Per step: the digest of what it would execute (argv, env, declarations, code), for the fingerprint."""
