"""Commands in processes of their own that need not import the product first: each is a fork of one that did.

A command has its own directory, environment and streams. What it does not have is an interpreter that starts
and ends: nine tenths of the time of a short command. Tests that are about that use `Desk.run`.
"""

from __future__ import annotations

import gc
import json
import os
import pkgutil
import signal
import subprocess
import sys
import traceback
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NoReturn

from runnotary.__main__ import main as command
from tests.cli.terminal import PATIENCE, Done
from tests.database import outer


class Prepared:
    """A process that has imported every command, and forks for each that is asked for."""

    def __init__(self) -> None:
        self._folder = TemporaryDirectory()
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__],
            cwd=Path(__file__).parents[2],
            env=outer() | {"PYTHONWARNINGS": "error::ResourceWarning"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def run(self, words: Sequence[str], cwd: Path, environ: Mapping[str, str]) -> Done:
        """Run a command to its end."""
        out, err = (Path(self._folder.name, name) for name in ("out", "err"))
        asked = {"words": words, "cwd": str(cwd), "environ": dict(environ), "out": str(out), "err": str(err)}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        code = int(self._process.stdout.readline())
        return Done(code, out.read_text(), err.read_text())

    def close(self) -> None:
        self._process.communicate()
        self._folder.cleanup()


def main() -> None:
    """Read what to run, a line each; answer with its exit status."""
    for name in ("runnotary.cli", "runnotary.app", "runnotary.client"):
        for module in pkgutil.iter_modules(import_module(name).__path__, f"{name}."):
            import_module(module.name)
    gc.collect()
    gc.freeze()  # else every child looks through, and so copies, all that was imported
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            become(asked)
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def become(asked: dict[str, Any]) -> NoReturn:
    """Be the command that is asked for, in this process, to its end."""
    signal.alarm(int(PATIENCE))
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["environ"])
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    places = ((os.devnull, os.O_RDONLY), (asked["out"], flags), (asked["err"], flags))
    for number, (place, how) in enumerate(places):
        handle = os.open(place, how, 0o600)
        os.dup2(handle, number)
        os.close(handle)
    sys.argv = ["runnotary", *asked["words"]]
    try:
        status = command()
        gc.collect()  # what was left open says so
    except Exception:  # noqa: BLE001 - told to whoever reads the transcript
        traceback.print_exc()
        status = 1
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(status)


if __name__ == "__main__":
    main()
