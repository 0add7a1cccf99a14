"""`run files` and `run lineage`: what a run took and made, and how one came from the other."""

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
from argparse import Namespace
from functools import partial
from pathlib import Path
from typing import Any, Final

from runnotary.app.records import Reader, reading
from runnotary.cli import copying, words
from runnotary.cli.asked import settings_of
from runnotary.cli.copying import Item
from runnotary.cli.output import Page, Part, emit
from runnotary.core.errors import FileMissing, InvalidInput, NotFound
from runnotary.core.hashing import PREFIX, is_digest
from runnotary.core.lineage import DEPTH, DEPTH_MAX, files_in
from runnotary.core.lineage_drawing import drawn

Json = Any
IN_MEMORY: Final = 16 * 1024 * 1024


def files(args: Namespace) -> int:
    """List the files of a run, print one to stdout, or copy some out."""
    with reading(settings_of(args)) as reader:
        row = reader.resolve(args.run)
        document = reader.document(row)
        if args.to is not None:
            if args.name is not None:
                items = [_named(reader, document, args.name)]
            else:
                items = (copying.items_of_steps if args.all else copying.items_of)(reader, document)
            for place in copying.copy(reader, items, Path(args.to), force=args.force):
                print(place)
            return 0
        if args.name is not None:
            _print(reader, _named(reader, document, args.name))
            return 0
        found = reader.files(row)
    emit(args.format, found, lambda: _write(found), each=found, key="path")
    return 0


def _write(found: list[Json]) -> None:
    rows: list[list[Part]] = [
        [
            (file["role"], words.DIM),
            words.visible(f"{file['task']}/{file['path']}" if file["task"] else file["path"]),
            words.size(file["size"]),
            (words.short_digest(file["blob"]), words.DIM),
        ]
        for file in found
    ]
    Page().table(rows, ("ROLE", "FILE", "SIZE", "DIGEST"), right="2")


def _named(reader: Reader, document: Json, name: str) -> Item:
    """Return the one file that a name stands for.

    Raises:
        NotFound: none. InvalidInput: several, of different content.
    """
    listed = reader.files(reader.resolve(document["id"]))
    made = copying.items_of_steps(reader, document)
    is_tree = {item.blob for item in made if item.tree}
    is_tree |= {value["$dir"] for value in files_in(document["inputs"] or {}) if "$dir" in value}
    output: Json = (document["outputs"] or {}).get(name)
    if output and words.is_file(output):
        return Item(output["name"], words.blob_of(output), "$dir" in output)
    found = {
        file["blob"]: Item(Path(file["path"]).name, file["blob"], file["blob"] in is_tree)
        for file in listed
        if name
        in (file["path"], f"{file['task']}/{file['path']}", file["blob"], f"{file['role']}/{file['name']}")
    }
    if not found:
        raise NotFound(
            f"no file {words.visible(name)} in this run",
            hint=f"see: runnotary run files {words.short(document['id'])}",
        )
    if len(found) > 1:
        places = sorted(
            {f"{file['task'] or file['role']}/{file['path']}" for file in listed if file["blob"] in found}
        )
        raise InvalidInput(f"{name} names several files: {', '.join(places[:6])}")
    return next(iter(found.values()))


def _print(reader: Reader, item: Item) -> None:
    if item.tree:
        raise InvalidInput(f"{item.name} is a folder", hint="copy it out with --to DIR")
    if reader.blobs.size(item.blob) <= IN_MEMORY:
        sys.stdout.buffer.write(reader.blobs.get(item.blob))
        return
    with tempfile.TemporaryDirectory() as folder:
        staged = Path(folder, "file")
        reader.blobs.stage(item.blob, staged)
        with staged.open("rb") as source:
            shutil.copyfileobj(source, sys.stdout.buffer)


def lineage(args: Namespace) -> int:
    """Show what came from what: in a run, or across runs around a content."""
    if (args.run is None) == (args.blob is None):
        raise InvalidInput("name a run, or a file with --blob", hint="see: runnotary run lineage --help")
    if args.run is not None and (args.direction or args.depth is not None):
        raise InvalidInput("--direction and --depth go with --blob: they lead from run to run")
    if args.depth is not None and not 1 <= args.depth <= DEPTH_MAX:
        raise InvalidInput(f"--depth: a number from 1 to {DEPTH_MAX}")
    with reading(settings_of(args)) as reader:
        if args.blob is not None:
            graph = reader.across(_content(args.blob), args.direction or "both", args.depth or DEPTH)
            tasks = []
        else:
            row = reader.resolve(args.run)
            graph, tasks = reader.lineage(row), reader.tasks(row)
    if args.format in ("text", "mermaid", "dot"):
        print(drawn(graph, args.format), end="")
        return 0
    write = partial(_write_across, graph) if args.blob else partial(_write_lineage, graph, tasks)
    emit(args.format, graph, write, each=graph["edges"], key="from")
    return 0


def _content(named: str) -> str:
    """Return the digest that is meant, or that of the file that is.

    Raises:
        FileMissing: there is no such file. InvalidInput: it is a folder.
    """
    if is_digest(named):
        return named
    path = Path(named)
    if path.is_dir():
        raise InvalidInput(f"{named} is a folder", hint="name a file, or a digest out of `run files`")
    try:
        with path.open("rb") as file:
            return PREFIX + hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as wrong:
        raise FileMissing(f"{named} is no digest, and no file that can be read: {wrong.strerror}") from None


def _write_across(graph: Json) -> None:
    page = Page()
    if not graph["edges"]:
        page.line(f"no run that is over made {graph['blob']} or used it")
        return
    for line in drawn(graph, "text").splitlines():
        page.line(line)


def _write_lineage(graph: Json, tasks: list[Json]) -> None:
    page = Page()
    for sentence in graph["words"]:
        page.line(words.visible(sentence), wrap=True)
    rows: list[list[Part]] = []
    for task in tasks:
        for attempt in task["attempts"][-1:]:
            used = ", ".join(
                words.value(value) if not words.is_file(value) else words.visible(value["name"])
                for value in attempt["inputs"].values()
            )
            for made in (attempt.get("outputs") or {}).values():
                digest = (words.short_digest(made["blob"]), words.DIM)
                rows.append(
                    [
                        words.visible(made["name"]),
                        digest,
                        task["key"],
                        (f"from {used}" if used else "", words.DIM),
                    ]
                )
    if graph["words"] and rows:
        page.line()
    page.table(rows)
    if not rows:
        page.line(("no step of this run has made a file", words.DIM))
