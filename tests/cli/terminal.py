"""A directory with a home, and the command run in it: to its end, in the background, or on a terminal."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from tests.database import ENVIRON

COMMAND = [sys.executable, "-m", "runnotary"]
PATIENCE = 40.0
KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "XDG_RUNTIME_DIR")


class Done(NamedTuple):
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Desk:
    """Where a user works: files are written here, and commands run here."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.home = path / ".runnotary"
        self.environ = {name: os.environ[name] for name in KEPT if name in os.environ}
        self.environ |= ENVIRON | {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONWARNINGS": "error::ResourceWarning"}
        self.begun: list[subprocess.Popen[str]] = []

    def write(self, name: str, text: str) -> Path:
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def run(self, *words: str, **more: Any) -> Done:
        """Run a command to its end."""
        done = subprocess.run(
            [*COMMAND, *words],
            cwd=self.path,
            env=self.environ | more.pop("env", {}),
            stdin=subprocess.DEVNULL if "input" not in more else None,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
            **more,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def ok(self, *words: str, **more: Any) -> Done:
        done = self.run(*words, **more)
        assert done.code == 0, done
        assert "Traceback" not in done.err
        return done

    def json(self, *words: str) -> Any:
        return self.ok(*words, "-o", "json").json

    def begin(self, *words: str) -> subprocess.Popen[str]:
        """Run a command in the background."""
        process = subprocess.Popen(
            [*COMMAND, *words],
            cwd=self.path,
            env=self.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.begun.append(process)
        return process

    def end(self, process: subprocess.Popen[str]) -> Done:
        out, err = process.communicate(timeout=PATIENCE)
        assert "Traceback" not in err, err
        assert "Warning" not in err, err
        return Done(process.returncode, out, err)

    def wait_for(self, name: str, text: str = "") -> None:
        """Wait until a file exists, and holds a text."""
        file = self.path / name
        until(lambda: file.exists() and text in file.read_text(), f"{name} with {text!r}")

    def lines(self, name: str) -> list[str]:
        file = self.path / name
        return file.read_text().split() if file.exists() else []

    def close(self) -> None:
        for process in self.begun:
            if process.poll() is None:
                process.kill()
            process.communicate()


def until(happened: Callable[[], bool], what: str) -> None:
    limit = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < limit, f"never came: {what}"
        time.sleep(0.02)


def plain(text: str) -> str:
    """Return what stands on a screen without the codes that put it there."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


class Screen:
    """A command on a terminal of its own; what it writes is gathered as it comes."""

    def __init__(self, desk: Desk, *words: str, columns: int = 80, lines: int = 24) -> None:
        self.text = ""
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:  # the child
            os.chdir(desk.path)
            size = {"COLUMNS": str(columns), "LINES": str(lines), "TERM": "xterm-256color"}
            os.execvpe(COMMAND[0], [*COMMAND, *words], desk.environ | size)

    def read_until(self, text: str) -> None:
        until(lambda: self._read() and text in plain(self.text), f"{text!r} on the screen")

    def press(self, keys: str) -> None:
        os.write(self._terminal, keys.encode())

    def end(self) -> int:
        """Read to the end; return the exit status."""
        while self._read():
            pass
        _, status = os.waitpid(self.pid, 0)
        os.close(self._terminal)
        return os.waitstatus_to_exitcode(status)

    def _read(self) -> bool:
        ready, _, _ = select.select([self._terminal], [], [], PATIENCE)
        if not ready:
            os.kill(self.pid, signal.SIGKILL)
            raise AssertionError(f"nothing more came: {self.text[-2000:]}")
        try:
            data = os.read(self._terminal, 65536)
        except OSError:
            return False
        self.text += data.decode(errors="replace")
        return bool(data)
