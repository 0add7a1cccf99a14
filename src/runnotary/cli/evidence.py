"""`log …` and `key …`: checkpoints, proofs, and the keys that sign."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import Any

from runnotary.app.evidence import asked, change
from runnotary.app.proof_checks import continuation, proof_of
from runnotary.cli import words
from runnotary.cli.asked import settings_of, with_key
from runnotary.cli.copying import refuse_existing
from runnotary.cli.listing import when
from runnotary.cli.output import Page, Part, emit
from runnotary.core.errors import InvalidInput, NotFound

Json = Any


def checkpoint(args: Namespace) -> int:
    """Print the newest checkpoint, that of a size, or a new one: the signed text itself."""
    if args.new and args.size:
        raise InvalidInput("log checkpoint: --new and --size exclude each other")
    settings = settings_of(args)
    if args.new:
        made = change(settings, "new_checkpoint")
    else:
        made = asked(settings, "checkpoint", size=args.size or 0)
    if args.output:
        _written(args.output, made["note"], force=args.force)
    else:
        emit(args.format, made, lambda: print(made["note"], end=""), key="size")
    return 0


def proof(args: Namespace) -> int:
    """Print the proof that a run, or an entry of the log, is covered by a checkpoint."""
    name = args.run
    settings = with_key(settings_of(args), args)
    made = proof_of(settings, entry=int(name)) if _is_number(name) else proof_of(settings, run=name)
    if args.output:
        _written(args.output, made["proof"], force=args.force)
    else:
        emit(args.format, made, lambda: print(made["proof"], end=""), key="entry")
    return 0


def consistency(args: Namespace) -> int:
    """Print the proof that the log has only grown; from a checkpoint that was kept, check it."""
    settings, new = with_key(settings_of(args), args), args.new or "0"
    if _is_number(args.old):
        made = asked(settings, "consistency", old=int(args.old), new=_size(new))
    else:
        made = continuation(settings, _kept(args.old), int(new) if _is_number(new) else _kept(new))
    emit(args.format, made, lambda: _write_path(made), key="new")
    return 0


def _write_path(made: Json) -> None:
    page = Page()
    checked = "known" in made
    said = "is the beginning of that of" if checked else "and that of"
    page.line(("✓ ", "green") if checked else "", f"log of {made['old']} entries {said} {made['new']}")
    for one in made["path"]:
        page.line(one)
    if checked and not made["known"]:
        unproven = "its key: from where the log is, unproven; bring the one you know (--key)"
        page.line(("! ", "yellow"), (unproven, words.DIM), wrap=True)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) < 19


def _size(text: str) -> int:
    if not _is_number(text):
        raise InvalidInput(f"log consistency: {text} is no number of log entries")
    return int(text)


def _kept(place: str) -> str:
    """Read a checkpoint that somebody kept."""
    if not Path(place).is_file():
        raise InvalidInput(f"log consistency: {place} is no number of log entries, and no file")
    return Path(place).read_text("utf-8", "replace")


def _written(place: str, text: str, *, force: bool) -> None:
    path = Path(place)
    if not force:
        refuse_existing([path], "--force replaces what is there")
    path.write_text(text, "utf-8")
    print(path)


# --- keys ----------------------------------------------------------------------------------------


def keys(args: Namespace) -> int:
    """List every key that ever signed here, newest first."""
    found = asked(settings_of(args), "keys")["keys"]
    rows: list[list[Part]] = [
        [
            one["id"],
            words.visible(one["name"]),
            one["status"],
            when(one["since"]),
            when(one["until"]) if one["until"] else "",
            words.visible(one["reason"]),
        ]
        for one in found
    ]
    headers = ("ID", "NAME", "STATUS", "SINCE", "UNTIL", "WHY")
    emit(args.format, {"keys": found}, lambda: Page().table(rows, headers), each=found, key="key")
    return 0


def show(args: Namespace) -> int:
    """Print a public key as those who check it take it; the one in use if none is named."""
    found = asked(settings_of(args), "keys")["keys"]
    if args.key is None:
        chosen = [one for one in found if one["status"] == "active"]
    else:
        chosen = [one for one in found if args.key in (one["id"], one["name"], one["key"])]
    if not chosen:
        what = f"no key {args.key}" if args.key else "no key yet: it is made with the first checkpoint"
        raise NotFound(what, hint="see: runnotary key list; make one: runnotary log checkpoint --new")
    emit(args.format, chosen[0], lambda: print(chosen[0]["key"]), key="key")
    return 0


def rotate(args: Namespace) -> int:
    """Put a new key in the place of the one in use, which vouches for it."""
    made = change(settings_of(args), "rotate", name=args.name or "", reason=args.reason or "")
    emit(args.format, made, lambda: _write_new(made), key="key")
    return 0


def _write_new(made: Json) -> None:
    page = Page()
    page.line(f"key {words.visible(made['name'])} ({made['id']}) signs from now on")
    page.line((made["key"], words.DIM))


def revoke(args: Namespace) -> int:
    """Say that a key must not be trusted any more."""
    made = change(settings_of(args), "revoke", key=args.key, reason=args.reason or "")
    emit(args.format, made, lambda: _write_revoked(made), key="key")
    return 0


def _write_revoked(made: Json) -> None:
    page = Page()
    page.line(f"key {words.visible(made['name'])} ({made['id']}) is revoked")
    page.line(("whoever trusts it is told so by `verify`: give them the one in use (key show)", words.DIM))
