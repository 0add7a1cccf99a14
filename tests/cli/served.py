"""A desk whose commands ask a server, and what two transcripts have in common."""

from __future__ import annotations

import atexit
import re
from functools import cache
from pathlib import Path
from typing import Any

from tests.cli.prepared import Prepared
from tests.cli.terminal import Desk, Done
from tests.server.up import Up

VOLATILE = (
    # A start that travels has a key, so that it is one run however often it is sent.
    (re.compile(r',\s*"key": "[0-9a-f]{32}",\s*"key_body": "[^"]+"'), ""),
    (re.compile(r"\b[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]+Z?"), "TIME"),
    (re.compile(r"\b[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?\b"), "TIME"),
    (re.compile(r"\b[0-9][0-9A-HJKMNP-TV-Z]{25}\b"), "ID"),
    (re.compile(r"\b[0-9][0-9A-HJKMNP-TV-Z]{11}\b"), "ID"),
    (re.compile(r" +\b[0-9]+(\.[0-9]+)?(ms|s|m)( [0-9]+s)?\b"), " DURATION"),
    (
        re.compile(r"(\"(head|fingerprint|runtime|environment|hash|next_cursor|actor)\": )\"[^\"]+\""),
        r'\1"…"',
    ),
    (re.compile(r"(\"(pid|cpu_s|cpu_ms|max_rss_bytes|ready_at|started_at|exited_at|at)\": )[0-9.]+"), r"\1…"),
    (re.compile(r"( · |\n +)runnotary run shell \S+ \S+"), ""),  # needs the files of a home
    (re.compile(r"(\"sealed\": )(null|[0-9]+)"), r"\1…"),  # a checkpoint comes a moment after the end
    (re.compile(r" +"), " "),  # a column is as wide as the longest time in it
    (re.compile(r"\"names\": \[[^]]*\]"), '"names": […]'),
    (re.compile(r"(head|--cursor) [\w:-]+…?"), r"\1 …"),
)


def masked(text: str, folder: Path) -> str:
    """Return a text without what differs from one run to the next, or from one folder to another."""
    for pattern, word in VOLATILE:
        text = pattern.sub(word, text)
    return text.replace(str(folder), "FOLDER")


class Served(Desk):
    """Where a user of a server works. The home is the server's and nobody else's."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.up = Up(path.with_name(f"{path.name}-server")).start()
        self.home = self.up.home
        self.environ["RUNNOTARY_URL"] = self.up.url

    def run(self, *words: str, **more: Any) -> Done:
        """Run a command to its end, as a fork."""
        return prepared().run(words, self.path, self.environ | more.get("env", {}))

    def restart(self) -> None:
        """Kill the server as a power cut would, and start it again."""
        self.up.kill()
        self.up.start()

    def close(self) -> None:
        super().close()
        self.up.close()


@cache
def prepared() -> Prepared:
    """The process from which the commands of all transcripts are forked."""
    made = Prepared()
    atexit.register(made.close)
    return made


def transcript(desk: Desk, *commands: str) -> str:
    """Run commands one after the other; return what they printed and how they ended, masked."""
    parts: list[str] = []
    for command in commands:
        done: Done = prepared().run(command.split(), desk.path, desk.environ)
        assert "Traceback" not in done.err, done
        assert "Warning" not in done.err, done
        parts.append(f"$ {command}\n{done.out}--- {done.code}\n{done.err}")
    return masked("\n".join(parts), desk.path)
