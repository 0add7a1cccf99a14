"""What a person asks to start, taken in: flow file, code and input files become blobs and a submission.

Nothing is recorded before everything was read and checked: a bad flow or a bad input leaves no trace.
"""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import msgspec

from runnotary.core import definition, inputs
from runnotary.core.definition import Definition, Words
from runnotary.core.errors import Conflict, InvalidRunInput
from runnotary.core.events import File, Trigger
from runnotary.core.flow import Flow, Input
from runnotary.core.hashing import is_digest
from runnotary.core.scope import file_value
from runnotary.core.trees import Entry, manifest
from runnotary.engine.reader import Reader
from runnotary.engine.service import Submission
from runnotary.formats import snapshot, yaml_flow
from runnotary.ports import Blobs

Json = Any
FILE_ENDINGS = (".yaml", ".yml", ".json")


class ExecRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """One command without a flow: exact argv, files it takes and files it makes, relative to `cwd`."""

    argv: tuple[str, ...]
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    env: dict[str, str] = {}
    timeout_ms: int = 0


class StartRequest(msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What `start` and `exec` ask for. `given` are texts as typed, `values` JSON; paths are from `cwd`."""

    cwd: str
    target: str = ""
    command: ExecRequest | None = None
    given: dict[str, str] = {}
    values: dict[str, Json] = {}
    namespace: str = "default"
    label: str = ""
    tags: tuple[str, ...] = ()
    labels: dict[str, str] = {}
    monitors: tuple[str, ...] = ()
    managers: tuple[str, ...] = ()
    max_concurrency: int = 0
    on_failure: str | None = None


class Source(msgspec.Struct, frozen=True):
    """A definition ready to be stored, and where paths of its own are relative to."""

    definition: str
    flow: Flow
    words: Words
    base: Path
    origin: dict[str, Json]


def is_file(target: str, cwd: Path) -> bool:
    """Tell whether an argument names a flow file rather than a flow (ruling 63)."""
    return "/" in target or target.endswith(FILE_ENDINGS) or (cwd / target).is_file()


async def taken_in(request: StartRequest, blobs: Blobs, reader: Reader) -> Submission:
    """Read, check and keep everything a run needs.

    Raises:
        InvalidDefinition, InvalidRunInput, FlowNotFound, FileMissing: with everything that is wrong.
    """
    return await asyncio.to_thread(_taken_in, request, blobs, reader)


def _taken_in(request: StartRequest, blobs: Blobs, reader: Reader) -> Submission:
    source = find(request, blobs, reader)
    return Submission(
        definition=source.definition,
        words=source.words,
        inputs=resolved(request, source, blobs),
        namespace=request.namespace,
        label=request.label,
        tags=request.tags,
        labels=request.labels,
        monitors=request.monitors,
        managers=request.managers,
        max_concurrency=request.max_concurrency,
        on_failure=request.on_failure,
        trigger=Trigger("manual"),
        source=source.origin,
    )


def find(request: StartRequest, blobs: Blobs, reader: Reader) -> Source:
    """Return the definition a request means; that of a file is kept first."""
    cwd = Path(request.cwd)
    if request.command is not None:
        made = definition.define(command_document(request.command))
        return _kept(made, Words(), cwd, {"command": "exec"}, blobs)
    if is_digest(request.target):
        return Source(request.target, reader.flow_of(request.target), Words(), cwd, {})
    if not is_file(request.target, cwd):
        row = reader.flow(request.target, request.namespace)
        words = Words(flow=row.name, version=row.version, title=row.title, description=row.description)
        return Source(row.definition, reader.flow_of(row.definition), words, cwd, {})
    loaded = yaml_flow.load(cwd / request.target, name=request.target)
    named = loaded.definition.document.get("code", {})
    for name, path in loaded.code.items():
        if blobs.put_file(path)[0] != named[name]["blob"]:
            raise Conflict(f"{path} changed while it was being read", hint="start again")
    origin = {"file": loaded.source.name, "digest": loaded.source.digest, **_revision(loaded)}
    return _kept(loaded.definition, loaded.definition.words, loaded.base, origin, blobs)


def _revision(loaded: yaml_flow.Loaded) -> dict[str, Json]:
    names = [Path(loaded.source.name).name, *loaded.code]
    return snapshot.revision(loaded.base, names)


def _kept(made: Definition, words: Words, base: Path, origin: dict[str, Json], blobs: Blobs) -> Source:
    digest = blobs.put(made.canonical)
    return Source(digest, definition.compile(made.document), words, base, origin)


def _named(paths: tuple[str, ...]) -> dict[str, str]:
    """Give each path a name that an expression can use: `out/table.csv` is `table_csv`."""
    named: dict[str, str] = {}
    for path in paths:
        stem = re.sub("[^A-Za-z0-9_]", "_", Path(path).name)
        stem = stem if stem[:1].isalpha() else f"file_{stem}"
        name, number = stem, 1
        while name in named:
            number += 1
            name = f"{stem}_{number}"
        named[name] = path
    return named


def command_document(command: ExecRequest) -> Json:
    """Return the flow that `exec` means: one step, its files staged under the names it expects."""
    names = _named(command.inputs)
    step: dict[str, Json] = {"run": list(command.argv)}
    if names:
        step["stage"] = {path: f"${{{{ inputs.{name} }}}}" for name, path in names.items()}
    if command.outputs:
        step["files"] = list(command.outputs)
    if command.env:
        step["env"] = dict(command.env)
    if command.timeout_ms:
        step["timeout"] = command.timeout_ms / 1000
    document: dict[str, Json] = {"steps": {"command": step}}
    if names:
        document["inputs"] = {name: {"type": "file", "default": path} for name, path in names.items()}
    if command.outputs:
        made = _named(command.outputs)
        document["outputs"] = {
            name: f"${{{{ steps.command.files['{path}'] }}}}" for name, path in made.items()
        }
    return document


def resolved(request: StartRequest, source: Source, blobs: Blobs) -> dict[str, Json]:
    """Return the inputs as values; files are taken in. Undeclared names pass on and are refused later."""
    cwd = Path(request.cwd)
    found: dict[str, Json] = dict(request.values)
    problems: list[str] = []
    for name, text in request.given.items():
        declared = source.flow.inputs.get(name)
        try:
            found[name] = inputs.from_text(declared, text) if declared else text
        except InvalidRunInput as wrong:
            problems += wrong.problems
    for name, declared in source.flow.inputs.items():
        base = cwd if name in found else source.base
        value = found.get(name, declared.default)
        if declared.type in ("file", "directory") and isinstance(value, str):
            try:
                found[name] = _file(declared, base / value, blobs)
            except OSError as wrong:
                problems.append(f"inputs.{name}: {base / value}: {wrong.strerror}")
    if problems:
        raise InvalidRunInput(problems)
    return found


def _file(declared: Input, path: Path, blobs: Blobs) -> Json:
    if declared.type == "directory":
        return _directory(path, blobs)
    if not path.is_file():
        raise FileNotFoundError(2, "there is no such file")
    digest, size = blobs.put_file(path)
    return file_value(File(digest, size, path.name))


def _directory(path: Path, blobs: Blobs) -> Json:
    """Take in a directory as a tree: its regular files, sorted; a link inside it is refused."""
    if not path.is_dir():
        raise NotADirectoryError(20, "there is no such directory")
    entries: list[Entry] = []
    for file in sorted(path.rglob("*")):
        if file.is_symlink():
            raise OSError(40, f"{file.relative_to(path)} is a link; a tree holds regular files only")
        if file.is_file():
            digest, size = blobs.put_file(file)
            runs = bool(file.stat().st_mode & 0o100)
            entries.append(Entry(file.relative_to(path).as_posix(), digest, size, runs))
    data = manifest(entries)
    digest = blobs.put(data)
    return file_value(File(digest, sum(entry.size for entry in entries), path.name, tree=True))
