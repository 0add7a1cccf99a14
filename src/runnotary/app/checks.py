"""Verification and backup of a home, for commands."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgspec

from runnotary.app.home import reading
from runnotary.config import Settings
from runnotary.core.chain import run_stream
from runnotary.core.errors import BlobNotFound, Damaged
from runnotary.core.events import RunCreated
from runnotary.core.evidence import Named, blobs_in, blobs_in_value
from runnotary.core.trees import entries
from runnotary.engine.reader import Reader
from runnotary.store.backup import backup
from runnotary.store.report import Finding
from runnotary.store.report import Report as Report
from runnotary.store.verify import verify

__all__ = ["Report", "backed_up", "verified"]

IN_MEMORY: Final = 64 * 1024 * 1024


def verified(settings: Settings, *, run: bytes | None, deep: bool) -> Report:
    """Check the whole home, or one run in it; `deep` reads every blob there, or every blob of the run."""
    report = verify(settings.home, run=run, deep=deep)
    if run is None or not deep or not report.ok:
        return report
    with reading(settings) as reader:
        named = _blobs_of(reader, run)
        findings = tuple(Finding("blob", one, said) for one in sorted(named) if (said := _wrong(reader, one)))
    checked = {**report.checked, "blobs": len(named), "blobs_read": len(named)}
    return msgspec.structs.replace(report, checked=checked, findings=findings)


def _blobs_of(reader: Reader, run: bytes) -> set[str]:
    """Return every blob that a whole run names: in its events, in trees and large values, and its code."""
    found: set[str] = set()
    left: list[Named] = []
    for recorded in reader.store.read(run_stream(run)):
        if isinstance(recorded.event, RunCreated):
            code = reader.flow_of(recorded.event.definition).code
            found |= {file.blob for file in code.values()}
        left += blobs_in(recorded.event)
    while left:
        one = left.pop()
        if one.digest in found and one.form == "bytes":
            continue
        found.add(one.digest)
        if one.form == "tree":
            found |= {entry.blob for entry in entries(reader.blobs.get(one.digest))}
        elif one.form == "value":
            left += blobs_in_value(reader.value(one.digest))
    return found


def _wrong(reader: Reader, digest: str) -> str:
    """Return what is wrong with a blob, or nothing; a large one is never held in memory."""
    try:
        if reader.blobs.size(digest) <= IN_MEMORY:
            reader.blobs.get(digest)
            return ""
        with TemporaryDirectory() as folder:
            reader.blobs.stage(digest, Path(folder, "copy"))
    except (BlobNotFound, Damaged) as error:
        return error.message
    return ""


def backed_up(settings: Settings, target: Path) -> int:
    """Copy the home's record to a new folder; return the number of blob files."""
    return backup(settings.home, target)
