"""From a canonical document to a `Flow`: short forms spelt out, expressions compiled, edges drawn.

Rules of this file:

1. It is total for every document that `core/definition.py` accepted, now or in an earlier release; it
   validates nothing.
2. The same document gives the same flow on every machine: steps are ordered by depth, then by name.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from runnotary.core.events import File
from runnotary.core.expressions import Constant, Language, unwrapped
from runnotary.core.flow import Approve, Catch, Expression, Flow, Input, Retry, Step
from runnotary.core.hashing import canonical, digest
from runnotary.core.notation import milliseconds
from runnotary.core.references import Compiled

Json = Any
Document = dict[str, Json]

SHELLS: Final = {"bash": ("bash", "-euo", "pipefail", "-c"), "sh": ("sh", "-eu", "-c")}
_SECRET: Final = re.compile(r"secrets\.([A-Za-z_][A-Za-z0-9_]*)", re.ASCII)
EXECUTED: Final = (
    "run",
    "shell",
    "set",
    "wait",
    "approve",
    "env",
    "stage",
    "files",
    "dirs",
    "values",
    "executor",
)
"""Keys of a step that say what it executes: the part of a definition that a fingerprint covers."""


def compile(document: Document) -> Flow:
    """Compile a canonical document."""
    inputs = {name: input_of(name, declared) for name, declared in document.get("inputs", {}).items()}
    language = Language({name: declared.type for name, declared in inputs.items()})
    groups = [(document.get("steps", {}), False), (document.get("finally", {}), True)]
    steps = [
        _step(name, data, language, group, cleanup)
        for group, cleanup in groups
        for name, data in group.items()
    ]
    ordered = {step.name: step for cleanup in (False, True) for step in _ordered(steps, cleanup)}
    followers: dict[str, list[str]] = {}
    for step in ordered.values():
        for earlier in step.before:
            followers.setdefault(earlier, []).append(step.name)
    code = document.get("code", {})
    return Flow(
        hash=digest(canonical(document)),
        steps=ordered,
        followers={name: tuple(names) for name, names in followers.items()},
        inputs=inputs,
        outputs={name: language.value(value) for name, value in sorted(document.get("outputs", {}).items())},
        condition=language.condition(document["if"]) if "if" in document else None,
        on_failure=document.get("on_failure", "continue"),
        max_concurrency=document.get("max_concurrency", 0),
        code={path: File(file["blob"], file["size"], path) for path, file in sorted(code.items())},
        executables=frozenset(path for path, file in code.items() if file.get("executable")),
        digests=dict(_digests(groups, code)),
    )


def input_of(name: str, declared: Document) -> Input:
    """Compile one declared input."""
    schema = {key: value for key, value in declared.items() if key != "default"}
    return Input(
        name=name,
        type=declared.get("type", "any"),
        schema=schema,
        required="default" not in declared,
        default=declared.get("default"),
    )


def secret_name(value: Json) -> str | None:
    """Return the name of the secret that an `env` value is, or None."""
    if not isinstance(value, str) or "${{" not in value:
        return None
    found = _SECRET.fullmatch(unwrapped(value)[0])
    return found[1] if found else None


def _step(name: str, data: Document, language: Language, group: Document, cleanup: bool) -> Step:
    env = {key: value for key, value in data.get("env", {}).items() if key != "inherit"}
    secrets = {key: secret for key, value in env.items() if (secret := secret_name(value))}
    condition = language.condition(data["if"]) if "if" in data else None
    for_each = language.bare(data["for_each"]) if "for_each" in data else None
    wait = _pause(data["wait"], language) if "wait" in data else None
    with_ = _values(language, data.get("with", {}))
    public = _values(language, {key: value for key, value in env.items() if key not in secrets})
    stage = _values(language, data.get("stage", {}))
    computed = {key: language.bare(value) for key, value in sorted(data.get("set", {}).items())}
    asked = data.get("approve", {})
    prompt = language.value(asked["prompt"]) if asked else None
    show = _shown(language, asked.get("show", {}))
    parts = [
        condition,
        for_each,
        wait,
        prompt,
        *show.values(),
        *with_.values(),
        *public.values(),
        *stage.values(),
        *computed.values(),
    ]
    after = set(data.get("after", ()))
    implied = {step for part in parts if part is not None for step in part.steps if step in group}
    needs = sorted((set(data.get("needs", ())) | implied) - after - {name})
    return Step(
        name=name,
        action=next((one for one in ("set", "wait", "approve") if one in data), "run"),
        argv=_argv(data),
        set=_expressions(computed),
        wait_ms=wait,
        approve=_approve(asked, prompt, show) if prompt else None,
        needs=tuple(needs),
        before=(*needs, *sorted(after)),
        condition=condition,
        for_each=for_each,
        max_concurrency=data.get("max_concurrency", 0),
        with_=_expressions(with_),
        env=_expressions(public),
        secrets=secrets,
        inherit=tuple(data.get("env", {}).get("inherit", ())),
        stage=_expressions(stage),
        files=tuple(data.get("files", ())),
        trees=tuple(data.get("dirs", ())),
        values=data.get("values", {}),
        timeout_ms=milliseconds(data.get("timeout", 0)) or 0,
        grace_ms=_ms(data, "grace", 10_000),
        retry=_retry(data.get("retry", {})),
        catch=_catch(data.get("catch")),
        executor=data.get("executor", "process"),
        cleanup=cleanup,
    )


def _expressions(compiled: Mapping[str, Compiled]) -> dict[str, Expression]:
    return dict(compiled)


def _values(language: Language, data: Document) -> dict[str, Compiled]:
    return {key: language.value(value) for key, value in sorted(data.items())}


def _argv(data: Document) -> tuple[str, ...]:
    run = data.get("run")
    if run is None:
        return ()
    if isinstance(run, list):
        return tuple(run)
    shell = data.get("shell", "bash")
    return (*(SHELLS[shell] if isinstance(shell, str) else shell), run)


def _pause(value: Json, language: Language) -> Compiled:
    ms = milliseconds(value)
    return language.pause(value) if ms is None else Constant(ms)


def _shown(language: Language, show: Json) -> dict[str, Compiled]:
    if isinstance(show, list):
        return {text: language.bare(text) for text in show}
    return _values(language, show)


def _approve(data: Document, prompt: Compiled, show: dict[str, Compiled]) -> Approve:
    return Approve(
        prompt=prompt,
        show=_expressions(show),
        by=tuple(data.get("by", ())),
        timeout_ms=_ms(data, "timeout", 0),
        approvals=data.get("approvals", 1),
        reason_required=data.get("reason") == "required",
        self_approval=data.get("self_approval", True),
    )


def _ms(data: Document, key: str, default: int) -> int:
    ms = milliseconds(data[key]) if key in data else None
    return default if ms is None else ms


def _retry(data: Document) -> Retry:
    usual = Retry()
    return Retry(
        attempts=data.get("attempts", usual.attempts),
        backoff_ms=_ms(data, "backoff", usual.backoff_ms),
        jitter_percent=data.get("jitter", usual.jitter_percent),
        on=frozenset(data["on"]) if "on" in data else usual.on,
    )


def _catch(data: Json) -> Catch | None:
    if data is None:
        return None
    if data is True:
        return Catch()
    return Catch(on=frozenset(data.get("on", ())), values=data.get("values", {}))


def _ordered(steps: Iterable[Step], cleanup: bool) -> Iterator[Step]:
    """Yield the steps of one group by depth, then by name; a cycle, which is never accepted, goes last."""
    left = {step.name: step for step in steps if step.cleanup is cleanup}
    waits = {name: sum(1 for earlier in step.before if earlier in left) for name, step in left.items()}
    followers: dict[str, list[str]] = {}
    for name, step in left.items():
        for earlier in step.before:
            followers.setdefault(earlier, []).append(name)
    level = sorted(name for name, count in waits.items() if not count)
    while level:
        deeper: list[str] = []
        for name in level:
            yield left.pop(name)
            for follower in followers.get(name, ()):
                waits[follower] -= 1
                if not waits[follower]:
                    deeper.append(follower)
        level = sorted(deeper)
    yield from (left[name] for name in sorted(left))


def _digests(groups: list[tuple[Document, bool]], code: Document) -> Iterator[tuple[str, str]]:
    tree = digest(canonical(code))
    for group, _ in groups:
        for name, data in group.items():
            executed = {key: data[key] for key in EXECUTED if key in data}
            yield name, digest(canonical({"code": tree, "step": executed}))
