"""Reading a step: from what its author wrote to its canonical form.

Canonical: durations as whole ms, lists whose order means nothing sorted, short forms spelt out, what
equals the default left out, words for people left out. Expressions keep their text; only the `${{ }}`
around a whole one goes where it means nothing (`if`, `for_each`, `set`, `wait`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from runnotary.core import grammar
from runnotary.core.approve_reading import read_approve
from runnotary.core.compiler import secret_name
from runnotary.core.expressions import OPEN, unwrapped, whole_of
from runnotary.core.findings import Path
from runnotary.core.inputs import violations
from runnotary.core.notation import milliseconds, percent
from runnotary.core.reading import IDENTIFIER, OURS, Reading, without_nothing

Json = Any
Object = dict[str, Json]

ATTEMPTS_MAX: Final = 100
TASKS_MAX: Final = 100_000
USUAL: Final = {"grace": "10000ms", "executor": "process", "shell": "bash", "retry": {}}
BOTH: Final = (
    ("env", "with", ""),
    ("after", "needs", ", which is stronger"),
    ("dirs", "files", ""),
)
"""Pairs of keys in which a name may stand once only."""
STEP_NAME: Final = re.compile(r"^[a-z][a-z0-9_]*$")


class StepReader:
    """Reads one step, or the `defaults`, into its canonical form."""

    def __init__(self, reading: Reading, path: Path, name: str) -> None:
        self.reading: Final = reading
        self.path: Final = path
        self.name: Final = name
        self.asks_status = False

    def read(self, data: Json) -> Object:
        """Return the canonical step."""
        known = self.reading.fields(
            self.path, data, grammar.STEP, "a step: an object with run, set, wait or approve"
        )
        if not isinstance(data, dict):
            return {}
        action = self._action(data)
        for key in known:
            if action in ("set", "wait", "approve") and key in grammar.RUN_ONLY:
                self._refuse_here(action, key)
        if "max_concurrency" in known and "for_each" not in known:
            where = (*self.path, "max_concurrency")
            self.reading.findings.add_key(where, "is for a `for_each` step; there is a single task here")
        step = self.keys(known)
        self._agreement(step)
        return step

    def _refuse_here(self, action: str, key: str) -> None:
        if (action, key) == ("approve", "catch"):
            return
        hint = "; write it inside `approve`" if (action, key) == ("approve", "timeout") else ""
        self.reading.findings.add_key((*self.path, key), f"a `{action}` step takes no `{key}`{hint}")

    def keys(self, known: Object) -> Object:
        """Return the canonical form of the keys that are there."""
        fields = ((key, self._key(key, value)) for key, value in known.items() if key in READERS)
        return without_nothing((key, value) for key, value in fields if value != USUAL.get(key))

    def _key(self, key: str, value: Json) -> Json:
        if value is None:
            self.reading.findings.add((*self.path, key), f"`{key}` stands here without a value")
            return None
        return READERS[key](self, (*self.path, key), value)

    def _action(self, data: Object) -> str:
        every = (*grammar.ACTIONS, *grammar.LATER_ACTIONS)
        actions = [key for key in data if key in every]
        if not actions:
            words = ", ".join(grammar.ACTIONS)
            self.reading.findings.add(self.path, f"a step needs one of {words} to say what it does")
        elif len(actions) > 1:
            self.reading.findings.add(self.path, f"a step does one thing, not {' and '.join(actions)}")
        return actions[0] if actions else ""

    def _agreement(self, step: Object) -> None:
        """Check keys against each other."""
        findings = self.reading.findings
        if isinstance(step.get("run"), list) and "shell" in step:
            findings.add_key((*self.path, "shell"), "a list of arguments runs without a shell")
        for key, other, message in BOTH:
            for name in step.get(key, ()):
                if name in step.get(other, ()):
                    findings.add((*self.path, key), f'"{name}" stands in `{other}` too{message}')
        catch = step.get("catch")
        if isinstance(catch, dict):
            self._caught((*self.path, "catch", "values"), catch.get("values", {}), step.get("values", {}))
            self._never((*self.path, "catch", "on"), catch.get("on", ()), asks="approve" in step)

    def _never(self, path: Path, caught: Iterable[str], *, asks: bool) -> None:
        """Refuse to catch what cannot happen: nobody denies a process, and a request is not lost."""
        for reason in caught:
            if reason not in grammar.ANSWERED if asks else reason == "denied":
                self.reading.findings.add(path, f'this step never fails with "{reason}"')

    def _caught(self, path: Path, caught: Object, declared: Object) -> None:
        for name, value in caught.items():
            if name not in declared:
                near = self.reading.findings.near(name, declared)
                self.reading.findings.add_key((*path, name), f'`values` declares no "{name}"{near}')
                continue
            for wrong in violations(value, {"type": declared[name]}, ""):
                self.reading.findings.add((*path, name), wrong.removeprefix(": "))

    # --- what it does ----------------------------------------------------------------------------

    def run(self, path: Path, value: Json) -> Json:
        if isinstance(value, list):
            if not value:
                self.reading.findings.add(path, "an empty list runs nothing")
            return [self._argument((*path, index), item) or "" for index, item in enumerate(value)]
        script = self.reading.filled(path, value, "a script, or a list of arguments")
        return None if script is None else self._argument(path, script)

    def _argument(self, path: Path, value: Json) -> str | None:
        text = self.reading.text(path, value)
        at = text.find(OPEN) if text else -1
        if text and at >= 0:
            known = unwrapped(text[at : text.find("}}", at) + 2])[0] or "inputs.x"
            name = re.sub(r"\W+", "_", known.rsplit(".", 1)[-1]).strip("_") or "x"
            hint = f'with: {{{name}: "${{{{ {known} }}}}"}} and "${name}"'
            self.reading.findings.add(path, f"${{{{ }}}} cannot stand in `run`; use {hint}", at)
        return text

    def set(self, path: Path, value: Json) -> Json:
        names = self.reading.named(path, value, "an object of expressions", IDENTIFIER)
        if value == {}:
            self.reading.findings.add(path, "an empty `set` computes nothing")
        return {name: self._bare((*path, name), item, "set") for name, item in names.items()}

    def wait(self, path: Path, value: Json) -> Json:
        if isinstance(value, dict):
            known = self.reading.fields(path, value, grammar.WAIT, "a duration")
            if not value:
                self.reading.findings.add(path, "expected {for: duration}")
            if "for" not in known:
                return None
            path, value = (*path, "for"), known["for"]
        if milliseconds(value) is not None or not isinstance(value, str):
            return self.reading.duration(path, value)
        self.reading.compiled(path, self.reading.language.pause, value, self.name, "wait")
        return unwrapped(value)[0]

    def approve(self, path: Path, value: Json) -> Json:
        return read_approve(self.reading, self.name, path, value)

    # --- when ------------------------------------------------------------------------------------

    def steps(self, path: Path, value: Json) -> Json:
        def each(where: Path, item: Json) -> str | None:
            name = self.reading.text(where, item, "the name of a step")
            if name is not None:
                self.reading.edges[self.name, str(path[-1]), name] = where
            return name

        return sorted(self.reading.several(path, value, "a step", each))

    def condition(self, path: Path, value: Json) -> Json:
        if isinstance(value, bool):
            return value
        text = self.reading.filled(path, value, "an expression")
        if text is None:
            return None
        compiled = self.reading.compiled(path, self.reading.language.condition, text, self.name, "if")
        self.asks_status = compiled.asks_status
        return unwrapped(text)[0]

    def for_each(self, path: Path, value: Json) -> Json:
        if isinstance(value, list) and value:
            return value
        if not isinstance(value, str):
            self.reading.wrong(path, "an expression that gives a list, or a list with entries", value)
            return None
        return self._bare(path, value, "for_each")

    def _bare(self, path: Path, value: Json, key: str) -> Json:
        if not isinstance(value, str):
            return value
        if OPEN in value and not whole_of(value):
            hint = "write an expression, bare or one whole ${{ }}; + joins texts"
            self.reading.findings.add(path, f"text and ${{{{ }}}} cannot be mixed here: {hint}")
            return None
        self.reading.compiled(path, self.reading.language.bare, value, self.name, key)
        return unwrapped(value)[0]

    def count(self, path: Path, value: Json) -> Json:
        return self.reading.integer(path, value, 1, TASKS_MAX)

    # --- what goes in ----------------------------------------------------------------------------

    def with_(self, path: Path, value: Json) -> Json:
        names = self.reading.named(path, value, "an object of values", IDENTIFIER)
        for name, item in names.items():
            self._ours((*path, name), name)
            self.reading.template((*path, name), item, self.name, "with")
        return names

    def stage(self, path: Path, value: Json) -> Json:
        if not isinstance(value, dict):
            self.reading.wrong(path, "an object of file name to value", value)
            return None
        for name, item in value.items():
            self.reading.relative((*path, name), name)
            if not isinstance(item, str) or not whole_of(item):
                self.reading.findings.add((*path, name), "expected one whole ${{ }} that gives a file")
            else:
                self.reading.template((*path, name), item, self.name, "stage")
        return value

    def env(self, path: Path, value: Json) -> Json:
        names = self.reading.named(path, value, "an object of texts", IDENTIFIER)
        result: Object = {}
        for name, item in names.items():
            where = (*path, name)
            self._ours(where, name)
            if name == "inherit":
                inherited = self.reading.several(where, item, "the name of a variable", self._variable)
                result |= {"inherit": sorted(inherited)} if inherited else {}
            elif isinstance(item, dict | list) or item is None:
                self.reading.wrong(where, "text", item)
            else:
                text = item if isinstance(item, str) else _plain(item)
                if secret_name(text) is None:
                    self.reading.template(where, text, self.name, "env")
                result[name] = text
        return result

    def _variable(self, path: Path, value: Json) -> str | None:
        text = self.reading.text(path, value, "the name of a variable")
        if text is not None and not IDENTIFIER.fullmatch(text):
            self.reading.findings.add(path, f'"{text[:80]}" cannot be the name of a variable')
            return None
        return text

    def _ours(self, path: Path, name: str) -> None:
        if name.startswith(OURS):
            self.reading.findings.add_key(path, f"names that start with {OURS} are the engine's own")

    # --- what comes out --------------------------------------------------------------------------

    def files(self, path: Path, value: Json) -> Json:
        return sorted(self.reading.several(path, value, "a file name", self.reading.relative))

    def dirs(self, path: Path, value: Json) -> Json:
        def each(where: Path, item: Json) -> str | None:
            return self.reading.relative(where, item, "a folder or a pattern", glob=True)

        return sorted(self.reading.several(path, value, "a folder or a pattern", each))

    def values(self, path: Path, value: Json) -> Json:
        names = self.reading.named(path, value, "an object of name to type", IDENTIFIER)
        kinds = ((name, self._kind((*path, name), item)) for name, item in names.items())
        return {name: kind for name, kind in kinds if kind}

    def _kind(self, path: Path, value: Json) -> str | None:
        if value in grammar.INPUT_TYPES and value not in grammar.VALUE_TYPES:
            self.reading.findings.add(path, "a value is JSON; files stand under `files` or `dirs`")
            return None
        return self.reading.choice(path, value, grammar.VALUE_TYPES)

    # --- how -------------------------------------------------------------------------------------

    def duration(self, path: Path, value: Json) -> Json:
        text = self.reading.duration(path, value)
        if text == "0ms" and path[-1] == "timeout":
            self.reading.findings.add(path, "a timeout of nothing; leave it out for none")
        return text

    def retry(self, path: Path, value: Json) -> Json:
        if isinstance(value, int):
            attempts = self.reading.integer(path, value, 1, ATTEMPTS_MAX)
            return {"attempts": attempts} if attempts and attempts > 1 else {}
        known = self.reading.fields(path, value, grammar.RETRY, "a number of tries, or an object")
        result: Object = {}
        if "attempts" in known:
            result["attempts"] = self.reading.integer((*path, "attempts"), known["attempts"], 1, ATTEMPTS_MAX)
        elif known:
            self.reading.findings.add(path, "`retry` needs `attempts`")
        if "backoff" in known:
            result["backoff"] = self.reading.duration((*path, "backoff"), known["backoff"])
        if "jitter" in known:
            result["jitter"] = percent(known["jitter"])
            if result["jitter"] is None:
                self.reading.wrong((*path, "jitter"), "percent (10) or a share (0.1)", known["jitter"])
        if "on" in known:
            result["on"] = self._reasons((*path, "on"), known["on"], grammar.REASONS)
        if result.get("attempts") == 1:
            return {}
        usual = {"attempts": 1, "backoff": "0ms", "jitter": 0, "on": sorted(USUAL_RETRY)}
        return without_nothing((key, item) for key, item in result.items() if item != usual[key])

    def catch(self, path: Path, value: Json) -> Json:
        if isinstance(value, bool):
            return True if value else None
        known = self.reading.fields(path, value, grammar.CATCH, "true, or an object with on and values")
        caught = (*grammar.REASONS, "denied")
        reasons = self._reasons((*path, "on"), known["on"], caught) if "on" in known else []
        values = known.get("values", {})
        if not isinstance(values, dict):
            self.reading.wrong((*path, "values"), "an object of values", values)
            values = {}
        return without_nothing([("on", reasons), ("values", values)]) or True

    def _reasons(self, path: Path, value: Json, words: tuple[str, ...]) -> list[str]:
        def each(where: Path, item: Json) -> str | None:
            return self.reading.choice(where, item, words)

        reasons = self.reading.several(path, value, "a reason", each)
        if value == []:
            self.reading.findings.add(path, "an empty list names no reason")
        return sorted(reasons)

    def shell(self, path: Path, value: Json) -> Json:
        if isinstance(value, list):
            if not value:
                self.reading.findings.add(path, "an empty list is no shell")
            return [
                self.reading.filled((*path, index), item, "an argument") for index, item in enumerate(value)
            ]
        return self.reading.choice(path, value, grammar.SHELLS)

    def executor(self, path: Path, value: Json) -> Json:
        return self.reading.choice(path, value, grammar.EXECUTORS, grammar.LATER_EXECUTORS)


USUAL_RETRY: Final = ("error", "timeout", "invalid_output")

READERS: Final[dict[str, Callable[[StepReader, Path, Json], Json]]] = {
    "run": StepReader.run,
    "set": StepReader.set,
    "wait": StepReader.wait,
    "approve": StepReader.approve,
    "needs": StepReader.steps,
    "after": StepReader.steps,
    "if": StepReader.condition,
    "for_each": StepReader.for_each,
    "max_concurrency": StepReader.count,
    "with": StepReader.with_,
    "stage": StepReader.stage,
    "env": StepReader.env,
    "files": StepReader.files,
    "dirs": StepReader.dirs,
    "values": StepReader.values,
    "timeout": StepReader.duration,
    "grace": StepReader.duration,
    "retry": StepReader.retry,
    "catch": StepReader.catch,
    "shell": StepReader.shell,
    "executor": StepReader.executor,
}
"""What reads each hashed key of a step."""


def _plain(value: Json) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)
