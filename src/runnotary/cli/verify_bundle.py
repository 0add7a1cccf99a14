"""`verify BUNDLE`: a bundle checked against itself and a key. Neither needs a home nor makes one."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from runnotary.cli import words
from runnotary.cli.asked import settings_of, with_key
from runnotary.cli.output import Page, Part, emit
from runnotary.core.errors import Damaged, FileMissing, InvalidInput

Json = Any


def is_bundle(name: str | None) -> bool:
    """Tell whether what is to be checked is a file: one that is here, or a name that is no run's."""
    return bool(name) and (Path(str(name)).is_file() or str(name).endswith(".zip") or "/" in str(name))


def verify_bundle(args: Namespace) -> int:
    """Check a bundle. Whatever is wrong with it is exit status 10.

    Raises:
        FileMissing: it is not here. InvalidInput: it, or a key, cannot be read.
    """
    from runnotary.app.bundles import bundle_verified

    path = Path(args.run)
    if args.checkpoint:
        raise InvalidInput("--checkpoint is for a home; a bundle holds one of its own", hint="--key KEY")
    if not path.exists():
        raise FileMissing(f"{path} is not here")
    settings = with_key(settings_of(args), args)
    report = bundle_verified(path, settings.key, settings.witness_keys.split())
    findings = [] if report.ok else [{"code": "bundle", "where": str(path), "message": report.wrong}]
    document = {
        "ok": report.ok,
        "run": report.run or None,
        "checked": report.checked,
        "findings": findings,
        "not_proven": report.not_proven,
    }

    def write() -> None:
        page = Page()
        marked: list[Part] = []
        for part in report.parts:
            marked += ["  " if marked else "", ("✓ ", "green"), words.visible(part)]
        if marked:
            page.line(*marked, wrap=True)
        for said in report.not_proven:
            page.line(("! ", "yellow"), (words.visible(said), words.DIM), wrap=True)
        if not report.ok:
            page.line(("✗ ", "red"), words.visible(report.wrong), wrap=True)
        page.line("verify: ", ("ok", "green") if report.ok else ("FAILED", "bold red"))

    emit(args.format, document, write, key="ok")
    return 0 if report.ok else Damaged.exit_code
