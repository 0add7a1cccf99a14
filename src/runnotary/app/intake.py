"""What a person asks to start, taken in: flow file, code and input files become blobs and a submission.

Nothing is recorded before everything was read and checked: a bad flow or a bad input leaves no trace.
"""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from typing import Any

import msgspec

from runnotary.core import definition, inputs
from runnotary.core.definition import Words
from runnotary.core.errors import Conflict, FlowNotFound, InvalidInput, InvalidRunInput
from runnotary.core.events import File, Trigger
from runnotary.core.flow import Flow, Input
from runnotary.core.hashing import EMPTY, is_digest
from runnotary.core.scope import file_value
from runnotary.core.trees import Entry, manifest
from runnotary.engine.reader import Reader
from runnotary.engine.service import Submission, Wishes
from runnotary.formats import snapshot, yaml_flow
from runnotary.ports import Blobs

Json = Any


class ExecRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """One command without a flow: exact argv, files it takes and files it makes, relative to `cwd`."""

    argv: tuple[str, ...]
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    env: dict[str, str] = {}
    timeout_ms: int = 0


class StartRequest(Wishes, msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True):
    """What `start` and `exec` ask for. `given` are texts as typed, `values` JSON; paths are from `cwd`.

    Two requests with one `key` are one run.
    """

    key: str = ""
    cwd: str
    target: str = ""
    command: ExecRequest | None = None
    given: dict[str, str] = {}
    values: dict[str, Json] = {}


class Source(msgspec.Struct, frozen=True):
    """A definition that was read and checked, and where paths of its own are relative to.

    `canonical` and `code` are what is still to be kept: nothing for a definition that already is.
    """

    definition: str
    flow: Flow
    words: Words
    base: Path
    origin: dict[str, Json] = {}
    canonical: bytes = b""
    code: dict[str, Path] = {}


class Inputs(msgspec.Struct, frozen=True):
    """Inputs that fit their declaration, apart from the content of files, which is still to be taken in."""

    values: dict[str, Json]
    files: dict[str, Path]


def is_file(target: str, cwd: Path) -> bool:
    """Tell whether an argument names a flow file rather than a flow (ruling 63)."""
    if is_digest(target):
        return False
    return "/" in target or target.endswith(yaml_flow.SUFFIXES) or (cwd / target).is_file()


async def taken_in(request: StartRequest, blobs: Blobs, reader: Reader) -> Submission:
    """Read, check and keep everything a run needs.

    Raises:
        InvalidDefinition, InvalidRunInput, FlowNotFound, FileMissing: with everything that is wrong.
    """
    return await asyncio.to_thread(_taken_in, request, blobs, reader)


def _taken_in(request: StartRequest, blobs: Blobs, reader: Reader) -> Submission:
    source = find(request, reader)
    given = checked(request, source)
    keep(source, blobs)
    return Submission(
        definition=source.definition,
        words=source.words,
        inputs=with_files(given, blobs),
        trigger=Trigger("manual"),
        source=source.origin,
        **{name: getattr(request, name) for name in Wishes.__struct_fields__},
    )


def find(request: StartRequest, reader: Reader | None) -> Source:
    """Return the definition a request means. A file or a command needs no reader."""
    cwd = Path(request.cwd)
    if request.command is not None:
        made = definition.define(command_document(request.command))
        flow = definition.compile(made.document)
        return Source(made.hash, flow, Words(), cwd, {"command": "exec"}, made.canonical)
    if is_file(request.target, cwd):
        return _of_file(cwd / request.target, request.target)
    if reader is None:
        raise FlowNotFound(f"no flow {request.target}: nothing is recorded here yet")
    if is_digest(request.target):
        reader.definition(request.target)
        return Source(request.target, reader.flow_of(request.target), Words(), cwd)
    row = reader.flow(request.target, request.namespace)
    words = Words(flow=row.name, version=row.version, title=row.title, description=row.description)
    return Source(row.definition, reader.flow_of(row.definition), words, cwd)


def _of_file(path: Path, name: str) -> Source:
    loaded = yaml_flow.load(path, name=name)
    made = loaded.definition
    names = [Path(loaded.source.name).name, *loaded.code]
    revision = snapshot.revision(loaded.base, names)
    origin = {"file": loaded.source.name, "digest": loaded.source.digest, **revision}
    flow = definition.compile(made.document)
    return Source(made.hash, flow, made.words, loaded.base, origin, made.canonical, loaded.code)


def nameless(target: str) -> InvalidInput:
    """Return why a flow cannot be registered."""
    return InvalidInput(f"{target} has no name to register", hint="write `flow: NAME` into it")


def keep(source: Source, blobs: Blobs) -> None:
    """Keep a definition and its code.

    Raises:
        Conflict: a code file changed since it was read.
    """
    for name, path in source.code.items():
        if blobs.put_file(path)[0] != source.flow.code[name].blob:
            raise Conflict(f"{path} changed while it was being read", hint="start again")
    if source.canonical:
        blobs.put(source.canonical)


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


def checked(request: StartRequest, source: Source) -> Inputs:
    """Check everything about the inputs that does not need the content of a file.

    Raises:
        InvalidRunInput: with everything that is wrong; nothing was kept.
    """
    cwd = Path(request.cwd)
    values: dict[str, Json] = dict(request.values)
    problems: list[str] = []
    for name, text in request.given.items():
        declared = source.flow.inputs.get(name)
        try:
            values[name] = inputs.from_text(declared, text) if declared else text
        except InvalidRunInput as wrong:
            problems += wrong.problems
    files: dict[str, Path] = {}
    for name, declared in source.flow.inputs.items():
        value = values.get(name, declared.default)
        if declared.type in ("file", "directory") and isinstance(value, str):
            files[name] = (cwd if name in values else source.base) / value
            problems += _unreadable(declared, files[name])
            values[name] = file_value(File(EMPTY, 0, files[name].name, declared.type == "directory"))
    if problems:
        raise InvalidRunInput(problems)
    return Inputs(inputs.complete(source.flow, values), files)


def _unreadable(declared: Input, path: Path) -> list[str]:
    """Return what keeps a file or directory from being taken in."""
    if declared.type == "directory":
        there, what = path.is_dir(), "directory"
        allowed = os.access(path, os.R_OK | os.X_OK)
    else:
        there, what = path.is_file(), "file"
        allowed = os.access(path, os.R_OK)
    if not there:
        return [f"inputs.{declared.name}: there is no {what} {path}"]
    return [] if allowed else [f"inputs.{declared.name}: the {what} {path} cannot be read"]


def with_files(given: Inputs, blobs: Blobs) -> dict[str, Json]:
    """Take the files in and return the inputs as values.

    Raises:
        InvalidRunInput: a file went away, or a directory holds what a tree cannot.
    """
    values = dict(given.values)
    for name, path in given.files.items():
        try:
            values[name] = _directory(path, blobs) if path.is_dir() else _file(path, blobs)
        except OSError as wrong:
            raise InvalidRunInput([f"inputs.{name}: {path}: {wrong.strerror or wrong}"]) from None
    return values


def _file(path: Path, blobs: Blobs) -> Json:
    digest, size = blobs.put_file(path)
    return file_value(File(digest, size, path.name))


def _directory(path: Path, blobs: Blobs) -> Json:
    """Take in a directory as a tree: its regular files, sorted; a link inside it is refused."""
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
