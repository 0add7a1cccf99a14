"""`flow diff`: what changed between two definitions."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, NamedTuple

from runnotary.app.intake import is_file
from runnotary.app.records import Reader, reading
from runnotary.cli import words
from runnotary.cli.asked import settings_of
from runnotary.cli.output import Page, emit
from runnotary.core.difference import Change, changes, lines
from runnotary.core.errors import InvalidInput
from runnotary.core.hashing import is_digest
from runnotary.formats import yaml_flow

Json = Any
MARKS: Final = {"added": ("+ ", "green"), "removed": ("- ", "red"), "changed": ("~ ", "yellow")}
READABLE_MAX: Final = 1_000_000


class Side(NamedTuple):
    """One of two definitions: how it is called, its document, and how to read a file of its code."""

    name: str
    hash: str
    document: Json
    read: Callable[[str], bytes]


def diff(args: Namespace) -> int:
    """Show what changed between two definitions."""
    with ExitStack() as stack:
        was, now = _sides(args, stack)
        changed = changes(was.document, now.document)
        texts = _texts(changed, was, now) if args.code else []
    if args.format in (None, "table"):
        _write(was, now, changed, texts)
    else:
        emit(args.format, changed, lambda: None, each=changed, key="path")
    return 0


def _sides(args: Namespace, stack: ExitStack) -> tuple[Side, Side]:
    """Return both definitions; a home is opened only for those that are no files."""
    opened: list[Reader] = []

    def reader() -> Reader:
        if not opened:
            opened.append(stack.enter_context(reading(settings_of(args))))
        return opened[0]

    namespace = args.namespace or "default"
    if args.now is not None:
        return _side(args.was, namespace, reader), _side(args.now, namespace, reader)
    if _is_file(args.was):
        now = _side(args.was, namespace, reader)
        name = yaml_flow.load(Path(args.was)).definition.words.flow
        if not name:
            raise InvalidInput(f"{args.was} has no name: say what to compare it with")
        return _side(name, namespace, reader), now
    if is_digest(args.was):
        raise InvalidInput("say what to compare it with: a second definition")
    now, name = _side(args.was, namespace, reader), args.was.partition("@")[0]
    return _known(name, reader().before(name, now.hash, namespace), reader()), now


def _is_file(target: str) -> bool:
    return is_file(target, Path.cwd())


def _side(target: str, namespace: str, reader: Callable[[], Reader]) -> Side:
    """Return what a file, a name, a version of a name, or a hash stands for."""
    if _is_file(target):
        loaded = yaml_flow.load(Path(target))
        made = loaded.definition
        return Side(target, made.hash, made.document, lambda path: loaded.code[path].read_bytes())
    if is_digest(target):
        return _known("", target, reader())
    name, at, version = target.partition("@")
    if at:
        return _known(target, reader().version(name, version, namespace), reader())
    return _known(target, reader().flow(target, namespace).definition, reader())


def _known(name: str, digest: str, reader: Reader) -> Side:
    document = reader.definition(digest)
    code = document.get("code", {})
    return Side(name, digest, document, lambda path: reader.blobs.get(code[path]["blob"]))


def _texts(changed: list[Change], was: Side, now: Side) -> list[str]:
    """Return how each changed code file became what it is, line by line."""
    before, after = was.document.get("code", {}), now.document.get("code", {})
    told: list[str] = []
    for path in sorted({*before, *after}):
        old, new = before.get(path), after.get(path)
        if old and new and old["blob"] == new["blob"]:
            continue
        texts = [_text(side, path, file) for side, file in ((was, old), (now, new))]
        if None in texts:
            told.append(f"{path}: not text, or too long to show")
        else:
            told += lines(texts[0] or "", texts[1] or "", path) or [
                f"{path}: differs in nothing but line ends"
            ]
    return told


def _text(side: Side, path: str, file: Json) -> str | None:
    if file is None:
        return ""
    if file["size"] > READABLE_MAX:
        return None
    data = side.read(path)
    try:
        return None if b"\0" in data else data.decode()
    except UnicodeDecodeError:
        return None


def _write(was: Side, now: Side, changed: list[Change], texts: list[str]) -> None:
    page = Page()
    for mark, side in (("--- ", was), ("+++ ", now)):
        page.line((f"{mark}{words.visible(side.name)} {side.hash}".replace("  ", " "), words.DIM))
    if not changed:
        page.line("the same definition" if was.hash == now.hash else "nothing differs")
    for change in changed:
        page.line(MARKS[change["change"]], words.visible(change["path"]))
        for mark, value in (("- ", change["was"]), ("+ ", change["now"])):
            for line in _lines(value):
                page.line(f"    {mark}", words.visible(line))
    for line in texts:
        page.line(words.visible(line.replace("\t", "    ")))


def _lines(value: Json) -> list[str]:
    """Return a value as lines: text as it is, an object key by key, the rest as JSON."""
    if value is None:
        return []
    if isinstance(value, str):
        return value.splitlines() or [""]
    if isinstance(value, dict) and value:
        return [f"{key}: {words.value(inner, 200)}" for key, inner in value.items()]
    return [words.value(value, 200)]
