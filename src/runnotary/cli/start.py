"""`start`, `run rerun` and `exec`: a run from the words typed to its end, followed."""

from __future__ import annotations

import os
import sys
from argparse import Namespace
from pathlib import Path
from typing import Any

from runnotary.app.intake import ExecRequest, StartRequest, is_file
from runnotary.app.planning import planned
from runnotary.app.records import document_of, reading, shown_status
from runnotary.app.session import Session
from runnotary.app.stores import is_new
from runnotary.cli import copying, words
from runnotary.cli.asked import duration_ms, json_object, pairs, settings_of
from runnotary.cli.following import LEFT, Followed, View, accepted, follow
from runnotary.cli.output import Page, emit
from runnotary.cli.plans import plan_document, write_plan
from runnotary.cli.summary import conclude, exit_status, stderr_page, write_accepted
from runnotary.cli.views import view_for
from runnotary.config import Settings
from runnotary.core.errors import InvalidInput, NotFound
from runnotary.core.states import State
from runnotary.core.trees import BadPath, parts

Json = Any


def start(args: Namespace) -> int:
    """Start a run of a flow."""
    given, values = pairs("-i", args.given), json_object("-I", args.inputs)
    if twice := sorted(given.keys() & values.keys()):
        raise InvalidInput(f"-i {twice[0]}: also in {args.inputs}")
    request = _request(args, target=args.target, given=given, values=values)
    settings = settings_of(args)
    try:
        if args.dry_run:
            plan = planned(request, settings)
            emit(args.format, plan_document(plan), lambda: write_plan(Page(), plan))
            return 0
        target = Path(args.out) if args.out else None
        if settings.url and not (args.wait or args.watch or target):
            # The server goes on with it whether anybody looks or not.
            return told(args, settings, accepted(settings, lambda engine: engine.start(request)))
        view = view_for(quiet=args.quiet, wait=args.wait)
        return _run(args, settings, request, view, target)
    except NotFound as missing:
        if not args.meant or is_file(args.target, Path.cwd()):
            raise
        # `run lst` is no flow either: it was meant as a command.
        raise InvalidInput(
            f"no command run {args.target}, nor a flow of that name", hint=args.meant
        ) from missing


def rerun(args: Namespace) -> int:
    """Start the definition of a run on the same inputs again."""
    settings = settings_of(args)
    before = document_of(settings, args.run)["id"]

    async def enter(engine: Session) -> str:
        return await engine.rerun(before, args.idempotency_key or "")

    if settings.url and not (args.wait or args.watch):
        return told(args, settings, accepted(settings, enter))
    return concluded(args, settings, follow(settings, enter, view_for(quiet=args.quiet, wait=args.wait)))


def execute(args: Namespace) -> int:
    """Record the run of one command."""
    if not args.rest:
        raise InvalidInput(
            "exec: no command", hint="write it after --: runnotary exec -i FILE -o FILE -- COMMAND"
        )
    command = ExecRequest(
        argv=tuple(args.rest),
        inputs=tuple(args.inputs),
        outputs=tuple(args.outputs),
        env=pairs("--env", args.env),
        timeout_ms=duration_ms("--timeout", args.timeout),
    )
    for option, names in (("-i", args.inputs), ("-o", args.outputs)):
        _refuse_outside(option, names)
    settings = settings_of(args)
    target = None if args.no_copy or not args.outputs else Path(args.out or ".")
    if target is not None and not args.force:
        copying.refuse_existing(
            [target / name for name in args.outputs], "--force replaces, --no-copy leaves it"
        )
    view: View = view_for(quiet=args.quiet, wait=True)
    if not args.quiet and args.format is None:
        from runnotary.cli.logs import PassedThrough

        view = PassedThrough(settings)
    return _run(args, settings, _request(args, command=command), view, target)


def _refuse_outside(option: str, names: list[str]) -> None:
    """Raise `InvalidInput` for a file that has no relative name below the working directory."""
    for name in names:
        try:
            parts(name)
        except BadPath:
            raise InvalidInput(
                f"exec {option} {name}: not a name below the working directory",
                hint="the command finds the file under the same relative name; change to a folder above it",
            ) from None


def _request(args: Namespace, **more: Any) -> StartRequest:
    return StartRequest(
        cwd=str(Path.cwd()),
        key=getattr(args, "idempotency_key", None) or "",
        namespace=args.namespace or "default",
        label=args.label or "",
        tags=tuple(args.tags),
        monitors=tuple(args.monitors),
        managers=tuple(args.managers),
        max_concurrency=getattr(args, "max_concurrency", None) or 0,
        on_failure=getattr(args, "on_failure", None),
        **more,
    )


def told(args: Namespace, settings: Settings, run: str) -> int:
    """Write which run was accepted; return the exit status."""
    if args.quiet:
        print(run)
        return 0
    document = document_of(settings, run)
    emit(args.format, document, lambda: write_accepted(Page(), document))
    return 0


def _run(args: Namespace, settings: Settings, request: StartRequest, view: View, target: Path | None) -> int:
    if not settings.url and is_new(settings):
        planned(request, settings)  # what is refused makes no home
    followed = follow(settings, lambda engine: engine.start(request), view)
    status = concluded(args, settings, followed)
    if target is not None and status == 0:
        copied = copying.outputs(settings, followed.run, target, force=args.force)
        if not args.quiet:
            stderr_page().line((f"{words.plural(len(copied), 'file')} copied to {target}{os.sep}", words.DIM))
    return status


def concluded(args: Namespace, settings: Settings, followed: Followed) -> int:
    """Write what a followed run came to; return the exit status."""
    with reading(settings) as reader:
        document = reader.document(reader.resolve(followed.run))
        passed_through = hasattr(args, "rest") and args.format is None and args.rest
        over = document["status"] in (State.SUCCESS, State.FAILED, State.CANCELLED, State.SKIPPED)
        if not over:
            document["status"] = shown_status(document["status"], settings)
        if args.quiet or passed_through or not over:
            sys.stdout.flush()
            if over and (passed_through or exit_status(document)):
                conclude(stderr_page(), settings, reader, document)
            if not over and args.format not in (None, "table"):
                emit(args.format, document, lambda: None)
        else:
            emit(args.format, document, lambda: conclude(Page(), settings, reader, document))
    return LEFT if followed.left else exit_status(document)
