"""`verify`, `admin backup` and `admin restore`: the record checked against itself, copied, brought back."""

from __future__ import annotations

import sqlite3
from argparse import Namespace
from pathlib import Path
from typing import Any, Final

import msgspec

from runnotary.app.checks import ROLLED_BACK, backed_up, checked, restored
from runnotary.app.records import reading
from runnotary.cli import words
from runnotary.cli.asked import settings_of, settings_of_home, with_key
from runnotary.cli.output import Page, Part, emit
from runnotary.cli.verify_bundle import is_bundle, verify_bundle
from runnotary.config import Settings
from runnotary.core.errors import Damaged, FileMissing, InvalidInput, RunNotFound
from runnotary.core.ids import TEXT_LENGTH, from_text

Json = Any
COUNTED: Final = ("runs", "definitions", "events", "tasks", "flows", "log")
NOUNS: Final = {"log": "log entry", "flows": "flow name"}
THERE: Final = "the server checked its own record; who does not trust it checks a bundle: run export RUN"


def verify(args: Namespace) -> int:
    """Check a run, a task, the runs of a flow, or everything. Whatever is damaged is exit status 10."""
    for name in ("run", "task", "flow", "key", "checkpoint"):
        if getattr(args, name) == "":  # a variable of a script that nobody set must not check less
            raise InvalidInput(f"verify: the {name} is empty", hint="runnotary verify --help")
    if sum(map(bool, (args.run, args.task, args.flow))) > 1:
        raise InvalidInput("verify: name a run, a task or a flow", hint="runnotary verify --help")
    if args.record and (args.deep or args.run or args.task or args.flow):
        raise InvalidInput("verify --record: it is of the whole home, and reads no blob")
    if is_bundle(args.run):
        return verify_bundle(args)
    settings = settings_of(args)
    document = _there(settings, args) if settings.url else _here(with_key(settings, args), args)
    emit(args.format, document, lambda: _write(Page(), document), key="ok")
    return 0 if document["ok"] else Damaged.exit_code


def _there(settings: Settings, args: Namespace) -> Json:
    """Let the server check its record."""
    from runnotary.app.remote import evidence_there

    if args.key is not None or args.checkpoint is not None or args.record:
        raise InvalidInput(
            f"--key, --checkpoint, --record: this reads the files of a home, and {settings.url} is a server",
            hint="where the server runs: runnotary verify … --home DIR; elsewhere check a bundle, or a "
            "checkpoint that was kept: runnotary log consistency FILE --key PUB",
        )
    run, task = _named(args)
    said = {"run": run, "task": task, "flow": args.flow or "", "namespace": args.namespace or ""}
    document = evidence_there(settings, "verify", said | {"deep": args.deep})
    document["not_proven"].append(THERE)
    return document


def _here(settings: Settings, args: Namespace) -> Json:
    """Check the files of the home. Before a run is called missing, all of it is looked through for damage."""
    said: dict[str, Any] = {
        "deep": args.deep,
        "record_only": args.record,
        "checkpoint": _text(args.checkpoint),
    }
    name, task = _named(args)
    try:
        run = _run(settings, name) if name else None
        flow = (args.namespace or "default", args.flow) if args.flow else None
        return checked(settings, run=run, task=task, flow=flow, **said)
    except (RunNotFound, Damaged, sqlite3.DatabaseError, msgspec.DecodeError):
        whole = checked(settings, **said)
        if whole["ok"]:
            raise
        return whole


def _named(args: Namespace) -> tuple[str, str]:
    """Return the run and the task that are meant."""
    run, slash, task = (args.task or "").partition("/")
    if args.task and not (run and slash and task):
        raise InvalidInput(f"--task {args.task}: write RUN/TASK")
    return args.run or run, task


def _text(place: str | None) -> str | None:
    try:
        return None if place is None else Path(place).read_text("utf-8")
    except FileNotFoundError:
        raise FileMissing(f"--checkpoint {place}: there is no such file") from None
    except UnicodeDecodeError:
        raise InvalidInput(f"--checkpoint {place}: this is no checkpoint") from None


def _run(settings: Settings, name: str) -> bytes:
    if len(name) == TEXT_LENGTH:
        try:
            return from_text(name.upper())
        except ValueError as wrong:
            raise InvalidInput(f"{name} is not a run id: {wrong}") from None
    with reading(settings) as reader:
        return reader.resolve(name).id


def _write(page: Page, report: Json) -> None:
    counts = report["checked"]
    parts = [counted(counts[name], name) for name in COUNTED if counts.get(name)]
    blobs = counts.get("blobs") or counts.get("named", 0)
    if blobs:
        read = counts.get("blobs_read", blobs if report["deep"] else 0)
        parts.append(f"{read:,}/{blobs:,} blobs")
    if task := report.get("task"):
        parts.append(f"task {', '.join(task['keys'])}: events {', '.join(map(str, task['events']))}")
    if proven := report["checkpoint"]:
        known = ", known to you" if proven["pinned"] else ""
        signers = "".join(f", witness {name}" for name in proven["witnesses"])
        parts.append(f"checkpoint {proven['size']:,}, key {proven['key']}{known}{signers}")
    if parts:
        mark = ("✓ ", "green") if report["ok"] else ("· ", words.DIM)
        marked: list[Part] = []
        for part in parts:
            marked += ["  " if marked else "", mark, words.visible(part)]
        page.line(*marked, wrap=True)
    for finding in report["findings"]:
        page.line(("✗ ", "red"), words.visible(f"{finding['where']}: {finding['message']}"), wrap=True)
    if report["more"]:
        page.line(f"… and {words.plural(report['more'], 'more finding')}")
    if {finding["code"] for finding in report["findings"]} & {"rollback"}:
        page.line("  ", ROLLED_BACK, wrap=True)
    for said in report["not_proven"]:
        page.line(("! ", "yellow"), (words.visible(said), words.DIM), wrap=True)
    page.line("verify: ", ("ok", "green") if report["ok"] else ("FAILED", "bold red"))


def counted(count: int, name: str) -> str:
    """Return a count of a report with its noun."""
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


def restore(args: Namespace) -> int:
    """Make a home from a backup, never over a record."""
    settings = settings_of_home(args, "admin restore")
    done = restored(settings, Path(args.backup), reason=args.reason or "", accept_loss=args.accept_loss)
    where = f"the database, and files in {settings.home}" if settings.shared else f"{settings.home}"
    print(f"{where}: {done.entries:,} log entries and what they name")
    if done.lost:
        print(f"{done.lost:,} log entries that followed are lost, and the record says so")
    print("a new key signs from now on; hand it to those who check: runnotary key show")
    print(f"check it: runnotary verify --deep --home {settings.home}")
    return 0
