"""`admin migrate`: a record moved from a home's own database to one that servers share, or back."""

from __future__ import annotations

from argparse import Namespace
from typing import Any, Final

import msgspec

from runnotary import config
from runnotary.app.moving import moved
from runnotary.cli import words
from runnotary.cli.asked import settings_of_home
from runnotary.cli.output import Page, emit
from runnotary.cli.verify import COUNTED, counted
from runnotary.config import Settings
from runnotary.core.errors import InvalidInput

Json = Any
PARTS: Final = (*(name for name in COUNTED if name != "log"), "blobs")


def migrate(args: Namespace) -> int:
    """Move a record to the other kind of database, and show that it is the same one there."""
    settings = settings_of_home(args, "admin migrate")
    source, target = (
        _settings(settings, option, url) for option, url in (("--from", args.source), ("--to", args.target))
    )
    if not settings.home_named and target.shared:
        target = _settings(config.at_home(settings, source.home), "--to", args.target)
    elif not settings.home_named and source.shared and not source.home.is_dir():
        source = _settings(config.at_home(settings, target.home), "--from", args.source)
    sides = moved(source, target, reason=args.reason or "")
    document = {name: msgspec.to_builtins(side) for name, side in zip(("from", "to"), sides, strict=True)}
    emit(args.format, document, lambda: _write(document), key="to")
    return 0


def _settings(settings: Settings, option: str, url: str | None) -> Settings:
    if not url:
        raise InvalidInput(
            f"admin migrate: {option} is missing",
            hint="runnotary admin migrate --from sqlite:///HOME/runnotary.db --to postgresql://…",
        )
    try:
        return config.with_database(settings, url)
    except InvalidInput as wrong:
        raise InvalidInput(f"{option}: {wrong.message}", hint=wrong.hint) from None


def _write(document: Json) -> None:
    page = Page()
    for side in document.values():
        counts, log = side["checked"], side["log"]
        page.line(words.visible(side["place"]), (f"   files in {words.visible(side['home'])}", words.DIM))
        found = [counted(counts[name], name) for name in PARTS if counts.get(name)]
        page.line("  ", ("✓ ", "green"), "  ".join(found), wrap=True)
        page.line(
            "  ",
            ("✓ ", "green"),
            f"log {log['size']:,} with the move  root {log['root']}  head {log['head']}",
            wrap=True,
        )
    page.line("verify: ", ("ok", "green"), " on both sides, and equal")
    page.line(
        ("the one moved from takes nothing more; the other one goes on under its name and key", words.DIM)
    )
