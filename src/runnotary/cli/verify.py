"""`verify` and `admin backup`: the record checked against itself, and copied."""

from __future__ import annotations

import sqlite3
from argparse import Namespace
from pathlib import Path
from typing import Any, Final

import msgspec

from runnotary.app.checks import Report, backed_up, verified
from runnotary.app.records import reading
from runnotary.cli import words
from runnotary.cli.asked import settings_of_home
from runnotary.cli.output import Page, Part, emit
from runnotary.config import Settings
from runnotary.core.errors import Damaged, InvalidInput, RunNotFound
from runnotary.core.ids import TEXT_LENGTH, from_text

Json = Any
COUNTED: Final = ("runs", "definitions", "events", "tasks", "flows", "log")
NOUNS: Final = {"log": "log entry", "flows": "flow name"}


def verify(args: Namespace) -> int:
    """Check one run, or the whole home. Whatever is damaged is exit status 10."""
    settings = settings_of_home(args, "verify")
    report = _report(settings, args.run, deep=args.deep)
    document = {
        "ok": report.ok,
        "deep": args.deep,
        "checked": report.checked,
        "findings": [msgspec.structs.asdict(finding) for finding in report.findings],
        "more": report.more,
        "not_proven": list(report.not_proven),
    }
    emit(args.format, document, lambda: _write(Page(), report, deep=args.deep), key="ok")
    return 0 if report.ok else Damaged.exit_code


def _report(settings: Settings, name: str | None, *, deep: bool) -> Report:
    """Check what was named. Before a run is called missing, the whole home is looked through for damage."""
    if name is None:
        return verified(settings, run=None, deep=deep)
    try:
        return verified(settings, run=_run(settings, name), deep=deep)
    except (RunNotFound, Damaged, sqlite3.DatabaseError, msgspec.DecodeError):
        whole = verified(settings, run=None, deep=deep)
        if whole.ok:
            raise
        return whole


def _run(settings: Settings, name: str) -> bytes:
    if len(name) == TEXT_LENGTH:
        try:
            return from_text(name.upper())
        except ValueError as wrong:
            raise InvalidInput(f"{name} is not a run id: {wrong}") from None
    with reading(settings) as reader:
        return reader.resolve(name).id


def _write(page: Page, report: Report, *, deep: bool) -> None:
    counts = report.checked
    parts = [_counted(counts[name], name) for name in COUNTED if counts.get(name)]
    blobs = counts.get("blobs") or counts.get("named", 0)
    if blobs:
        read = counts.get("blobs_read", blobs if deep else 0)
        parts.append(f"{read:,}/{blobs:,} blobs")
    if parts:
        mark = ("✓ ", "green") if report.ok else ("· ", words.DIM)
        marked: list[Part] = []
        for part in parts:
            marked += ["  " if marked else "", mark, part]
        page.line(*marked, wrap=True)
    for finding in report.findings:
        page.line(("✗ ", "red"), words.visible(str(finding)), wrap=True)
    if report.more:
        page.line(f"… and {words.plural(report.more, 'more finding')}")
    for said in report.not_proven:
        page.line(("! ", "yellow"), (words.visible(said), words.DIM), wrap=True)
    page.line("verify: ", ("ok", "green") if report.ok else ("FAILED", "bold red"))


def _counted(count: int, name: str) -> str:
    noun = NOUNS.get(name, name.removesuffix("s"))
    if count == 1:
        return f"1 {noun}"
    return f"{count:,} {noun[:-1] + 'ies' if noun.endswith('y') else noun + 's'}"


def backup(args: Namespace) -> int:
    """Copy the record to a folder that does not exist yet."""
    if not args.target:
        raise InvalidInput("admin backup: where to?", hint="runnotary admin backup --output DIR")
    settings = settings_of_home(args, "admin backup")
    target = Path(args.target)
    count = backed_up(settings, target)
    print(f"{target}: the record and {words.plural(count, 'blob file')}")
    print(f"check it: runnotary verify --deep --home {target}")
    return 0
