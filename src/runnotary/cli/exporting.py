"""`run export`: a run as a file, for those who have no home of it."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from argparse import Namespace
from pathlib import Path
from tempfile import TemporaryDirectory

from runnotary.app.records import document_of
from runnotary.app.session import session
from runnotary.cli.asked import settings_of
from runnotary.config import Settings
from runnotary.core.errors import Conflict, InvalidInput, RunErased

BUNDLE = "bundle"
ZIPS = (BUNDLE, "ro-crate")


def export(args: Namespace) -> int:
    """Write a run to a file, or to standard output if that is no terminal.

    Raises:
        NotEnded: the run goes on, and the form is for runs that are over.
        Conflict: the file exists.
    """
    settings, form = settings_of(args), args.form or BUNDLE
    run = _run(settings, args.run)
    if args.output:
        _to_file(settings, run, form, Path(args.output), force=args.force)
        return 0
    if form in ZIPS and sys.stdout.isatty():
        raise InvalidInput(f"a {form} is no text: where to?", hint="runnotary run export RUN --output FILE")
    with TemporaryDirectory(prefix="runnotary-") as folder:
        growing = Path(folder) / "export"
        asyncio.run(_written(settings, run, form, growing))
        with growing.open("rb") as file:
            shutil.copyfileobj(file, sys.stdout.buffer)
    sys.stdout.flush()
    return 0


def _run(settings: Settings, name: str) -> str:
    """Return the id of the run that is meant; one that was erased has no document, but an id."""
    try:
        run: str = document_of(settings, name)["id"]
    except RunErased:
        return name.upper()
    return run


def _to_file(settings: Settings, run: str, form: str, target: Path, *, force: bool) -> None:
    exists = Conflict(f"{target} exists", hint="--force replaces what is there")
    if target.is_dir():
        raise Conflict(f"{target} is a folder", hint="name a file in it")
    if not force and os.path.lexists(target):
        raise exists
    target.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".runnotary-", dir=target.parent) as folder:
        growing = Path(folder) / "export"
        size = asyncio.run(_written(settings, run, form, growing))
        try:
            if not force:
                target.open("xb").close()
        except FileExistsError:
            raise exists from None
        growing.replace(target)
    print(f"{target}: {size:,} bytes")
    if form == BUNDLE:
        print(f"check it: runnotary verify {target}")


async def _written(settings: Settings, run: str, form: str, target: Path) -> int:
    """Write a run to a file in a folder of our own.

    Raises:
        OSError: and it names the folder that holds ours, if the file alone could not be written.
    """
    try:
        async with session(settings) as engine:
            return await engine.export(run, form, target)
    except OSError as wrong:
        wrong.filename = wrong.filename or str(target.parent.parent)
        raise
