"""Files brought out of the record: under their own names, inside one folder, over nothing that is there.

Rules of this file:

1. Every name is checked before the first byte is written; a link below the folder is not followed.
2. A file gets its name when it is complete.
3. What exists is replaced only if that was asked for.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from runnotary.app.records import Reader, reading
from runnotary.cli import words
from runnotary.config import Settings
from runnotary.core import trees
from runnotary.core.errors import Conflict, InvalidInput, NotFound

Json = Any


class Item(NamedTuple):
    """A file or a tree of the record, and the relative name it is to get."""

    name: str
    blob: str
    tree: bool
    executable: bool = False


def outputs(settings: Settings, run: str, target: Path, *, force: bool) -> list[Path]:
    """Copy the outputs of a run into a folder; return the files made."""
    with reading(settings) as reader:
        items = items_of(reader, reader.document(reader.resolve(run)))
        return copy(reader, items, target, force=force) if items else []


def items_of(reader: Reader, document: Json) -> list[Item]:
    """Return the files among a run's outputs; without any, what its steps made, as STEP/FILE.

    An output has its file's name; where two have the same, each stands in a folder named like the output.
    """
    found: list[tuple[str, Json]] = []
    for name, value in (document["outputs"] or {}).items():
        if words.is_file(value):
            found.append((name, value))
        elif isinstance(value, list):
            found += [(f"{name}/{number}", one) for number, one in enumerate(value) if words.is_file(one)]
    if not found:
        return items_of_steps(reader, document)
    names = Counter(value["name"] for _, value in found)
    return [
        Item(
            value["name"] if names[value["name"]] == 1 else f"{name}/{value['name']}",
            words.blob_of(value),
            "$dir" in value,
        )
        for name, value in found
    ]


def items_of_steps(reader: Reader, document: Json) -> list[Item]:
    """Return every file that every step made, as STEP/FILE."""
    return [
        Item(f"{task['key']}/{file['name']}", file["blob"], file["tree"])
        for task in reader.tasks(reader.resolve(document["id"]))
        for attempt in task["attempts"][-1:]
        for file in (attempt.get("outputs") or {}).values()
    ]


def copy(reader: Reader, items: Sequence[Item], target: Path, *, force: bool) -> list[Path]:
    """Copy files into a folder, trees as folders; return the files made.

    Raises:
        Conflict: a file is there already, or a link is in the way.
        InvalidInput: a name leads out of the folder.
    """
    if not items:
        raise NotFound("this run has no output files", hint="see: runnotary run files RUN")
    files = [file for item in items for file in _files_of(reader, item)]
    try:
        places = [target.joinpath(*trees.parts(file.name)) for file in files]
    except trees.BadPath as wrong:
        raise InvalidInput(f"{wrong}: not copied") from None
    if not force:
        refuse_existing(places, "--force replaces what is there")
    for file, place in zip(files, places, strict=True):
        _folder_for(place, target)
        _place(reader, file, place, force=force)
    return places


def refuse_existing(places: Sequence[Path], hint: str) -> None:
    """Raise `Conflict` naming every file that exists."""
    there = [str(place) for place in places if os.path.lexists(place)]
    if there:
        noun = "exists" if len(there) == 1 else "exist"
        raise Conflict(f"{', '.join(there[:5])}{', …' if len(there) > 5 else ''} {noun}", hint=hint)


def _files_of(reader: Reader, item: Item) -> list[Item]:
    if not item.tree:
        return [item]
    return [
        Item(f"{item.name}/{entry.path}", entry.blob, False, entry.x)
        for entry in trees.entries(reader.blobs.get(item.blob))
    ]


def _folder_for(place: Path, target: Path) -> None:
    """Make the folders between the target and a file; none of them may be a link."""
    target.mkdir(parents=True, exist_ok=True)
    folder = target
    for part in place.relative_to(target).parts[:-1]:
        folder = folder / part
        if folder.is_symlink():
            raise Conflict(f"{folder} is a link; nothing is written through it")
        folder.mkdir(exist_ok=True)


def _place(reader: Reader, file: Item, place: Path, *, force: bool) -> None:
    growing = place.with_name(f".{place.name[:100]}.{os.getpid()}")
    growing.unlink(missing_ok=True)
    try:
        reader.blobs.stage(file.blob, growing, executable=file.executable)
        growing.chmod((0o777 if file.executable else 0o666) & ~_umask())
        if force:
            growing.replace(place)
        else:
            place.hardlink_to(growing)
    except FileExistsError:
        raise Conflict(f"{place} exists", hint="--force replaces what is there") from None
    except IsADirectoryError:
        raise Conflict(f"{place} is a folder") from None
    finally:
        growing.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask
