"""Reading the `inputs` of a flow: each declaration, and its default against it."""

from __future__ import annotations

from typing import Any, Final

from runnotary.core import cel, grammar
from runnotary.core.findings import Path
from runnotary.core.inputs import MARKS, violations
from runnotary.core.reading import IDENTIFIER, Reading
from runnotary.core.references import EvaluationError

Json = Any
Object = dict[str, Json]

_NUMBERS: Final = ("integer", "number")
FITS: Final = {"minimum": _NUMBERS, "maximum": _NUMBERS, "pattern": ("string",), "items": ("array",)}
"""Words of a declaration that only these types take."""


class InputReader:
    """Reads declarations into their canonical form: words for people and `type: any` left out."""

    def __init__(self, reading: Reading) -> None:
        self.reading: Final = reading

    def read(self, path: Path, value: Json) -> dict[str, Object]:
        """Return the canonical inputs."""
        names = self.reading.named(path, value, "an object of inputs", IDENTIFIER)
        return {name: _spare(self._declared((*path, name), item)) for name, item in names.items()}

    def _declared(self, path: Path, value: Json) -> Object:
        known = self._known(path, value, grammar.INPUT_TYPES)
        schema = self._schema(path, known)
        if "default" in known and schema:
            where: Path = (*path, "default")
            if schema["type"] in MARKS:
                self.reading.filled(where, known["default"], "a path, relative to the flow file")
            else:
                self._fits(where, known["default"], schema)
            schema["default"] = known["default"]
        return schema

    def _known(self, path: Path, value: Json, kinds: tuple[str, ...]) -> Object:
        """Return the words of a declaration; the type is one of `kinds`, or "" if it is wrong."""
        if isinstance(value, str):
            value = {"type": value}
        known = self.reading.fields(path, value, grammar.INPUT, "a type, or an object with type")
        kind = "any"
        if "type" in known or not isinstance(value, dict):
            kind = self.reading.choice((*path, "type"), known["type"], kinds) or "" if known else ""
        for word in FITS.keys() & known.keys():
            if kind and kind not in FITS[word]:
                allowed = " and ".join(FITS[word])
                self.reading.findings.add_key(
                    (*path, word), f"`{word}` is for {allowed} only, not for {kind}"
                )
                return {"type": ""}
        return {**known, "type": kind}

    def _schema(self, path: Path, known: Object) -> Object:
        """Return the checked conditions; empty if the type itself is wrong."""
        kind = known["type"]
        if not kind:
            return {}
        schema: Object = {"type": kind}
        for word in ("minimum", "maximum"):
            if word in known and self._fits((*path, word), known[word], {"type": "number"}):
                schema[word] = known[word]
        if "enum" in known and self._choices((*path, "enum"), known["enum"], kind):
            schema["enum"] = known["enum"]
        if "pattern" in known and self._pattern((*path, "pattern"), known["pattern"]):
            schema["pattern"] = known["pattern"]
        if "items" in known:
            schema["items"] = self._items((*path, "items"), known["items"])
        return schema

    def _items(self, path: Path, value: Json) -> Object:
        known = self._known(path, value, grammar.VALUE_TYPES)
        if "default" in known:
            self.reading.findings.add_key((*path, "default"), "an entry of a list has no default")
        return _spare(self._schema(path, known))

    def _fits(self, path: Path, value: Json, schema: Object) -> bool:
        wrong = [text.removeprefix(": ") for text in violations(value, schema, "")]
        for text in wrong:
            self.reading.findings.add(path, text)
        return not wrong

    def _choices(self, path: Path, value: Json, kind: str) -> bool:
        if not isinstance(value, list) or not value:
            self.reading.wrong(path, "a list of values, not empty", value)
            return False
        fits = [self._fits((*path, index), item, {"type": kind}) for index, item in enumerate(value)]
        return all(fits)

    def _pattern(self, path: Path, value: Json) -> bool:
        text = self.reading.text(path, value, "a pattern")
        if text is None:
            return False
        try:
            cel.matches(text, "")
        except EvaluationError as wrong:
            self.reading.findings.add(path, str(wrong))
            return False
        return True


def _spare(schema: Object) -> Object:
    return {word: item for word, item in schema.items() if (word, item) != ("type", "any")}
