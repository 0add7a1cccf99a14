"""`admin erase-principal` and `admin prune`: a person out of the record, leftovers out of the home."""

from __future__ import annotations

import asyncio
from argparse import Namespace
from typing import Any

from runnotary.app.forgetting import forgotten, pruned
from runnotary.cli import words
from runnotary.cli.asked import settings_of_home
from runnotary.cli.output import Page, emit
from runnotary.core.errors import InvalidInput

Json = Any


def erase_principal(args: Namespace) -> int:
    """Erase a person, or say what that would take."""
    settings = settings_of_home(args, "admin erase-principal")
    if not (args.reason or args.dry_run):
        raise InvalidInput("say why: --reason TEXT", hint="to see first what would go: --dry-run")
    answer = asyncio.run(
        forgotten(settings, args.principal, args.reason or "", runs=args.runs, dry_run=args.dry_run)
    )
    emit(args.format, answer, lambda: _write(answer, runs=args.runs), key="principal")
    return 0


def _write(answer: Json, *, runs: bool) -> None:
    page, would = Page(), "would be " if answer["dry_run"] else ""
    ended = [f"token {token}" for token in answer["tokens"]]
    ended += [f"{', '.join(roles)} in {name}" for name, roles in answer["roles"].items()]
    ended += [f"member of {group}" for group in answer["groups"]]
    for one in ended:
        page.line(f"{would}ended   {one}")
    for name, ledger in answer["ledgers"].items():
        events = words.plural(ledger["erased"], "event")
        page.line(f"{would}erased   {events} of ledger {name}, {ledger['said_again']} said again by you")
        for kept in ledger["kept"]:
            page.line(f"stays   {kept} in ledger {name}: strangers check signatures with it")
    done = f"{would}erased" if runs else "still there"
    why = {"owned": "theirs", "naming": "names them"}
    for kind, what in why.items():
        for run in answer[kind]:
            page.line(f"{done}   run {run}   {what}{'   held' if run in answer['held'] else ''}")
    for run in answer["mentions"]:
        page.line(f"look yourself   run {run}   the bare name stands in it")
    if (answer["owned"] or answer["naming"]) and not runs:
        page.line(("runs go with --runs only; until then they name the person", words.DIM))
    page.line(f"{answer['principal']} {'would be ' if answer['dry_run'] else 'was '}erased")


def prune(args: Namespace) -> int:
    """Clear away what nothing names."""
    count = asyncio.run(pruned(settings_of_home(args, "admin prune")))
    emit(
        args.format, {"blobs": count}, lambda: print(f"{words.plural(count, 'blob')} taken away"), key="blobs"
    )
    return 0
