"""`run shell`: stand where a failed step stood, in its folder and with its environment."""

from __future__ import annotations

import os
import shlex
import sys
from argparse import Namespace
from typing import Any

from runnotary.app.records import Shell, reading, shell_of
from runnotary.cli import words
from runnotary.cli.asked import settings_of_home
from runnotary.cli.steps import chosen_tasks
from runnotary.core.errors import InvalidInput, NotFound

Json = Any


def shell(args: Namespace) -> int:
    """Replace this process by a shell, or by the command after `--`, in the folder of a failed attempt."""
    settings = settings_of_home(args, "run shell")
    if not args.rest and not sys.stdin.isatty():
        raise InvalidInput(
            "run shell: no terminal",
            hint=f"give a command: runnotary run shell {args.run} {args.step} -- COMMAND",
        )
    with reading(settings) as reader:
        tasks = chosen_tasks(reader.tasks(reader.resolve(args.run)), args.step)
    tried = [task for task in tasks if task["attempts"]]
    if not tried:
        raise NotFound(f"{args.step} has not been tried in this run")
    wanted = [
        (task, attempt)
        for task in tried
        for attempt in reversed(task["attempts"])
        if args.attempt in (None, attempt["number"])
    ]
    for task, attempt in wanted:
        stood = shell_of(settings, attempt["id"])
        if stood is not None:
            return _enter(task, attempt, stood, args.rest)
    states = ", ".join(sorted({task["status"] for task in tried}))
    raise NotFound(
        f"the folder of {args.step} is gone ({states})",
        hint="only attempts that failed keep theirs",
    )


def _enter(task: Json, attempt: Json, stood: Shell, command: list[str]) -> int:
    inherited = {name: os.environ[name] for name in stood.inherit if name in os.environ}
    environment = {**inherited, **stood.environment}
    said = f"{task['key']}, attempt {attempt['number']} ({attempt['status']}), in {stood.cwd}"
    print(words.visible(said), file=sys.stderr)
    missing = [name for name in stood.inherit if name not in os.environ]
    if missing:
        print(f"not set here, as they were inherited: {', '.join(missing)}", file=sys.stderr)
    if stood.secrets:
        print(f"not set, as they are secret: {', '.join(sorted(stood.secrets))}", file=sys.stderr)
    if not command:
        print(f"the step ran: {words.visible(shlex.join(stood.argv))}", file=sys.stderr)
        command = [os.environ.get("SHELL") or "/bin/sh"]
        for name in ("TERM", "COLORTERM"):
            if name in os.environ:
                environment.setdefault(name, os.environ[name])
    sys.stdout.flush()
    sys.stderr.flush()
    try:
        os.chdir(stood.cwd)
        os.execvpe(command[0], command, environment)
    except OSError as wrong:
        raise NotFound(f"{command[0]}: {wrong.strerror}") from None
