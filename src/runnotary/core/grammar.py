"""Every key of a flow document: the one table that validation, hints and the reference page come from.

Rules of this file:

1. A key that is not here is refused with the nearest name that is. A key or kind whose `later` is true
   is a word of the language that this release does not have yet: it is refused too, never ignored.
2. `hashed` says whether the key is part of a definition's identity. A new key must be absent by
   default, so that it never changes an old hash (`tests/core/golden_hashes.json`).
"""

from __future__ import annotations

from typing import Final, NamedTuple


class Key(NamedTuple):
    """One key: what it takes, what it means when absent, whether it is hashed, and what it is for."""

    name: str
    takes: str
    default: str
    meaning: str
    hashed: bool = True
    later: bool = False


Table = dict[str, Key]

INPUT_TYPES: Final = (
    "string", "integer", "number", "boolean", "array", "object", "file", "directory", "any",
)  # fmt: skip
VALUE_TYPES: Final = ("string", "integer", "number", "boolean", "array", "object", "any")
ACTIONS: Final = ("run", "set", "wait", "approve")
LATER_ACTIONS: Final = ("call", "component", "flow", "job", "http")
EXECUTORS: Final = ("process",)
LATER_EXECUTORS: Final = ("container", "python", "worker", "nomad", "slurm", "dask", "prefect")
REASONS: Final = ("error", "timeout", "invalid_output", "input_modified", "lost")
ANSWERED: Final = ("denied", "error", "timeout")
"""Reasons for which an `approve` step fails."""
SHELLS: Final = ("bash", "sh")
RUN_FIELDS: Final = ("id", "flow", "namespace", "label", "created_by", "status")
STEP_FIELDS: Final = ("status", "values", "files", "exit_code")


def _table(*keys: Key) -> Table:
    return {key.name: key for key in keys}


FLOW: Final = _table(
    Key("flow", "text", "unnamed", "The name under which runs are listed.", hashed=False),
    Key("version", "text", "none", "A label for people; identity is the hash.", hashed=False),
    Key("title", "text", "none", "One line for lists.", hashed=False),
    Key("description", "text", "none", "What the flow is for.", hashed=False),
    Key("test", "any", "none", "Cases for test tools; not used in a run.", hashed=False),
    Key("code", "list of names and globs", "none", "Files beside the flow that steps need; by content."),
    Key("inputs", "object of inputs", "none", "What a run must or may be given; anything else is refused."),
    Key("inputs_schema", "JSON Schema", "none", "A full schema for the inputs.", later=True),
    Key("if", "expression", "true", "If false, the whole run is skipped. Only inputs and run are known."),
    Key("defaults", "object of step keys", "none", "Keys for every `run` step that does not set them."),
    Key("steps", "object of steps", "required", "The work."),
    Key("finally", "object of steps", "none", "Steps after all others, also after a failure or a cancel."),
    Key("outputs", "object of values", "none", "What the run gives; null if its step did not succeed."),
    Key("on_failure", "continue or stop", "continue", "After a failed step: finish what can be, or stop."),
    Key("max_concurrency", "integer from 1", "the engine's", "How many attempts of a run at a time."),
)

INPUT: Final = _table(
    Key("type", " | ".join(INPUT_TYPES), "any", "The type; a bare type name is short for it."),
    Key("default", "value of the type", "required input", "Used if nothing is given. A path for a file."),
    Key("minimum", "number", "none", "The least number allowed."),
    Key("maximum", "number", "none", "The greatest number allowed."),
    Key("enum", "list of values", "none", "The only values allowed."),
    Key("pattern", "RE2 pattern", "none", "What a text must match somewhere."),
    Key("items", "type or input", "any", "What each entry of an array must be."),
    Key("title", "text", "none", "One line for forms.", hashed=False),
    Key("description", "text", "none", "What it is for.", hashed=False),
)

STEP: Final = _table(
    Key("run", "script, or list of arguments", "", "A script for the shell, or exact arguments without one."),
    Key("set", "object of expressions", "", "Only computes values."),
    Key("wait", "duration, {for: …} or expression", "", "Only lets time pass; an expression gives seconds."),
    Key("approve", "prompt, or object", "", "Asks people, and goes on when they have approved."),
    *(Key(name, "", "", f"A {name} step.", later=True) for name in LATER_ACTIONS),
    Key("needs", "step or list", "implied", "Must succeed first. Steps that expressions name are added."),
    Key("after", "step or list", "none", "Must end first, however it ends."),
    Key("if", "expression", "success()", "If false, the step is skipped."),
    Key("for_each", "expression or list", "none", "One task per entry; `each.value`, `each.index`."),
    Key("max_concurrency", "integer from 1", "none", "How many tasks of a `for_each` at a time."),
    Key("with", "object of values", "none", "Values and files that the step sees as variables."),
    Key("stage", "object of name to value", "none", "Files put into the work folder under fixed names."),
    Key(
        "env",
        "object of texts",
        "none",
        "More variables. `${{ secrets.NAME }}` only here; `inherit: [NAME]`.",
    ),
    Key("files", "list of names", "none", "Files the step must leave behind."),
    Key("dirs", "list of folders and globs", "none", "Trees the step must leave behind, each one output."),
    Key("values", "object of name to type", "none", "Values the step must write to $RUNNOTARY_OUTPUT."),
    Key("timeout", "duration", "none", "An attempt that takes longer is stopped."),
    Key("grace", "duration", "10s", "Between asking an attempt to end and killing it."),
    Key("retry", "number of tries, or object", "1", "Try again after a failure."),
    Key("catch", "true, or object", "none", "Turn a failure into a success."),
    Key("shell", "bash, sh or list of arguments", "bash", "What runs the script."),
    Key("executor", " | ".join(EXECUTORS), "process", "Where attempts run."),
    Key("cache", "true", "", "Reuse earlier results.", later=True),
    Key("image", "text", "", "A container image.", later=True),
    Key("resources", "object", "", "Processors and memory to ask for.", later=True),
    Key("title", "text", "none", "One line for people.", hashed=False),
    Key("description", "text", "none", "What the step is for.", hashed=False),
    Key("source_name", "text", "none", "What the step was called where it was imported from.", hashed=False),
)

RUN_ONLY: Final = frozenset(
    {
        "with",
        "stage",
        "env",
        "files",
        "dirs",
        "values",
        "timeout",
        "grace",
        "retry",
        "catch",
        "shell",
        "executor",
    }
)
"""Keys that only a `run` step takes; `catch` an `approve` step too."""

DEFAULTS: Final[Table] = {
    name: STEP[name]
    for name in ("timeout", "grace", "retry", "env", "shell", "executor", "cache", "image", "resources")
}

RETRY: Final = _table(
    Key("attempts", "integer from 1 to 100", "1", "Tries in all, the first included."),
    Key("backoff", "duration", "0s", "Pause before the second try; it doubles each time, up to an hour."),
    Key("jitter", "percent, or share from 0.0 to 1.0", "0", "How much of the pause chance may add."),
    Key("on", " | ".join(REASONS), "error, timeout, invalid_output", "Reasons worth another try."),
)

CATCH: Final = _table(
    Key("on", " | ".join((*REASONS, "denied")), "any of them", "Reasons that are caught."),
    Key("values", "object of values", "none", "What `values` are instead."),
)

WAIT: Final = _table(Key("for", "duration or expression", "required", "How long."))

APPROVE: Final = _table(
    Key("prompt", "text", "required", "The question, in a few words; `${{ }}` may stand in it."),
    Key("show", "object of values, or list of expressions", "nothing", "What they see before they answer."),
    Key("by", "principal, `role:NAME`, or list", "the right to approve", "Who may answer."),
    Key("timeout", "duration", "none", "Without an answer in this time the step fails (`timeout`)."),
    Key("approvals", "integer from 1 to 20", "1", "How many different people must approve."),
    Key("reason", "optional or required", "optional", "Whether an answer must say why."),
    Key("self_approval", "true or false", "true", "Whether who started, owns or registered it may answer."),
)

CODE: Final = _table(
    Key("blob", "sha256:…", "required", "Digest of the content."),
    Key("size", "integer", "required", "Its size in bytes."),
    Key("executable", "true", "false", "Whether it may be executed."),
)
