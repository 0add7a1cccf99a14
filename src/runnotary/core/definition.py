"""A definition: a document validated with everything that is wrong with it, and its identity.

Rules of this file:

1. Identity is `digest(canonical(document))`. Words for people (names, titles, the version label, the
   order in the text) stand beside it in `Words` and are not hashed.
2. What is absent, and what equals a default, is absent from the canonical document; so a new key never
   changes an old hash, and `define` of a canonical document gives the same document.
3. All problems at once: reading gathers findings and goes on.

The keys are in `core/grammar.py`; `core/step_reading.py` reads a step, `core/links.py` checks what the
parts say about each other, `core/compiler.py` turns the document into a `Flow`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from runnotary.core import grammar
from runnotary.core.compiler import compile
from runnotary.core.errors import InvalidDefinition
from runnotary.core.expressions import Language, unwrapped
from runnotary.core.findings import Finding, Path
from runnotary.core.hashing import canonical, digest, is_digest
from runnotary.core.input_reading import InputReader
from runnotary.core.links import Links
from runnotary.core.reading import IDENTIFIER, Reading, unsound, without_nothing
from runnotary.core.step_reading import STEP_NAME, StepReader

__all__ = ["CodeFile", "Definition", "Words", "compile", "define", "parse"]

Json = Any
Object = dict[str, Json]

FLOW_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


class Words(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What people say about a flow; none of it is hashed. `order` is the order of steps in the text."""

    flow: str = ""
    version: str = ""
    title: str = ""
    description: str = ""
    test: Json = None
    inputs: dict[str, dict[str, str]] = {}
    steps: dict[str, dict[str, str]] = {}
    order: tuple[str, ...] = ()


class CodeFile(msgspec.Struct, frozen=True, omit_defaults=True):
    """One file of the code snapshot by its content."""

    blob: str
    size: int
    executable: bool = False


class Definition(msgspec.Struct, frozen=True):
    """An accepted definition: the canonical document, its bytes and hash, and the words beside it."""

    document: Object
    canonical: bytes
    hash: str
    words: Words


def define(data: Json, *, code: Mapping[str, CodeFile] | None = None) -> Definition:
    """Validate a plain document. `code` is what its `code` patterns stand for.

    Raises:
        InvalidDefinition: with every problem; paths, but no places in a text.
    """
    document, words, findings = parse(data, code=code)
    if findings:
        raise InvalidDefinition([finding.problem() for finding in findings])
    data_bytes = canonical(document)
    return Definition(document, data_bytes, digest(data_bytes), words)


def parse(data: Json, *, code: Mapping[str, CodeFile] | None = None) -> tuple[Object, Words, list[Finding]]:
    """Return canonical document, words and findings; the first two mean nothing if there are findings."""
    reading = Reading()
    if unsound(data, reading.findings):
        return {}, Words(), list(reading.findings)
    reader = _Reader(reading)
    document = reader.document(data, code)
    return document, reader.words(data), list(reading.findings)


class _Reader:
    """Reads the top of a document, part by part, inputs first: expressions need their types."""

    def __init__(self, reading: Reading) -> None:
        self.reading: Final = reading
        self.asking: Final[list[tuple[str, Path]]] = []
        self.known: Object = {}

    def document(self, data: Json, code: Mapping[str, CodeFile] | None) -> Object:
        known = self.known = self.reading.fields((), data, grammar.FLOW, "a flow: an object with steps")
        if not isinstance(data, dict):
            return {}
        for key in [key for key, value in known.items() if value is None]:
            self.reading.findings.add((key,), f"`{key}` stands here without a value")
            del known[key]
        if "steps" not in data:
            self.reading.findings.add((), "a flow needs `steps`")
        inputs = InputReader(self.reading).read(("inputs",), known.get("inputs", {}))
        types = {name: declared.get("type", "any") for name, declared in inputs.items()}
        self.reading.language = Language(types)
        defaults = self._defaults(known.get("defaults", {}))
        steps = self._steps("steps", known.get("steps"))
        final = self._steps("finally", known.get("finally"))
        for name in final.keys() & steps.keys():
            self.reading.findings.add_key(
                ("finally", name), f'there is a step "{name}" under `steps` already'
            )
        fields = [
            ("if", self._condition(known)),
            ("outputs", self._outputs(known.get("outputs", {}))),
            ("on_failure", self._on_failure(known)),
            ("max_concurrency", self._count(known)),
            ("code", self._code(known.get("code"), code)),
        ]
        Links(self.reading, inputs, steps, final).check(self.asking)
        for key, group in (("steps", steps), ("finally", final)):
            for name, step in group.items():
                _fold(defaults, step, known[key][name])
        return without_nothing([("inputs", inputs), ("steps", steps), ("finally", final), *fields])

    # --- steps -----------------------------------------------------------------------------------

    def _defaults(self, value: Json) -> Object:
        table = self.reading.fields(("defaults",), value, grammar.DEFAULTS, "an object of step keys")
        reader = StepReader(self.reading, ("defaults",), "")
        before = len(self.reading.uses)
        step = reader.keys(table)
        for use in self.reading.uses[before:]:
            if use.reference.parts[0] in ("steps", "each"):
                message = "a default may refer to inputs and run only"
                self.reading.findings.add(use.path, message, use.reference.offset)
                self.reading.uses.remove(use)
        return step

    def _steps(self, key: str, value: Json) -> dict[str, Object]:
        if value is None:
            return {}
        if isinstance(value, list):
            self.reading.findings.add(
                (key,), "expected an object of name to step, got a list; order comes from needs"
            )
            return {}
        if value == {} and key == "steps":
            self.reading.findings.add((key,), "a flow needs at least one step")
        steps: dict[str, Object] = {}
        for name, data in self.reading.named((key,), value, "an object of name to step", STEP_NAME).items():
            reader = StepReader(self.reading, (key, name), name)
            steps[name] = reader.read(data)
            if reader.asks_status:
                self.asking.append((name, (key, name, "if")))
        return steps

    # --- the rest --------------------------------------------------------------------------------

    def _condition(self, known: Object) -> Json:
        value = known.get("if")
        if value is None or isinstance(value, bool):
            return None if value is not False else False
        text = self.reading.filled(("if",), value, "an expression")
        if text is None:
            return None
        compiled = self.reading.compiled(("if",), self.reading.language.condition, text, key="top")
        if compiled.asks_status:
            self.reading.findings.add(("if",), "status functions may stand in the `if` of a step only")
        return unwrapped(text)[0]

    def _outputs(self, value: Json) -> Json:
        names = self.reading.named(("outputs",), value, "an object of values", IDENTIFIER)
        for name, item in names.items():
            self.reading.template(("outputs", name), item, key="outputs")
        return names

    def _on_failure(self, known: Object) -> str | None:
        if "on_failure" not in known:
            return None
        word = self.reading.choice(("on_failure",), known["on_failure"], ("continue", "stop"))
        return word if word == "stop" else None

    def _count(self, known: Object) -> int | None:
        if "max_concurrency" not in known:
            return None
        return self.reading.integer(("max_concurrency",), known["max_concurrency"], 1, 100_000)

    def _code(self, value: Json, code: Mapping[str, CodeFile] | None) -> Json:
        if isinstance(value, dict):
            return {path: self._code_file(("code", path), path, file) for path, file in value.items()}
        if value is not None:
            patterns = self.reading.several(("code",), value, "a file name or a pattern", self._code_pattern)
            if code is None and patterns:
                self.reading.findings.add(("code",), "files are found when a flow is read from a file only")
        return {path: msgspec.to_builtins(file) for path, file in sorted((code or {}).items())}

    def _code_pattern(self, path: Path, value: Json) -> str | None:
        return self.reading.relative(path, value, "a file name or a pattern", glob=True)

    def _code_file(self, path: Path, name: str, value: Json) -> Object:
        self.reading.relative(path, name, glob=True)
        known = self.reading.fields(path, value, grammar.CODE, "an object with blob and size")
        blob, size = known.get("blob"), known.get("size")
        if not isinstance(blob, str) or not is_digest(blob):
            self.reading.findings.add((*path, "blob"), "expected sha256: and 64 hex digits")
        self.reading.integer((*path, "size"), size, 0, 2**53)
        return {"blob": blob, "size": size} | (
            {"executable": True} if known.get("executable") is True else {}
        )

    def words(self, data: Json) -> Words:
        """Return what is kept aside."""
        if not isinstance(data, dict):
            return Words()
        texts = {key: self._text((key,), self.known) for key in ("flow", "version", "title", "description")}
        name = texts["flow"]
        if name and not FLOW_NAME.fullmatch(name):
            rule = "letters, digits, dots, dashes and underscores, at most 128"
            self.reading.findings.add(("flow",), f'"{name[:80]}" cannot be the name of a flow: {rule}')
        groups = {key: self.known.get(key) for key in ("inputs", "steps", "finally")}
        parts = {key: group if isinstance(group, dict) else {} for key, group in groups.items()}
        return Words(
            **texts,
            test=self.known.get("test"),
            inputs=self._part_words("inputs", parts["inputs"]),
            steps=self._part_words("steps", parts["steps"]) | self._part_words("finally", parts["finally"]),
            order=(*parts["steps"], *parts["finally"]),
        )

    def _part_words(self, key: str, parts: Object) -> dict[str, dict[str, str]]:
        table = grammar.INPUT if key == "inputs" else grammar.STEP
        words = [word for word, row in table.items() if not row.hashed]
        found: dict[str, dict[str, str]] = {}
        for name, part in parts.items():
            if isinstance(part, dict):
                texts = {word: self._text((key, name, word), part) for word in words if word in part}
                found |= {name: texts} if texts else {}
        return found

    def _text(self, path: Path, data: Object) -> str:
        value = data.get(str(path[-1]))
        return "" if value is None else self.reading.text(path, value) or ""


def _fold(defaults: Object, step: Object, written: Object) -> None:
    """Give a `run` step the defaults for what it does not say itself; variables are merged one by one."""
    if "run" not in step:
        return
    for key, value in defaults.items():
        if key == "env":
            usual = {name: text for name, text in value.items() if name not in step.get("with", {})}
            step["env"] = {**usual, **step.get("env", {})}
        elif key not in written and (key != "shell" or not isinstance(step["run"], list)):
            step[key] = value
