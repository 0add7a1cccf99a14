"""Runs the terminal sessions in README.md and docs/, so that every output they show is a real one.

.venv/bin/python tools/sessions.py PAGE…            runs each page's sessions and writes the outputs into it
.venv/bin/python tools/sessions.py --check PAGE…    compares instead; exits 1 with the differences

A page is run from top to bottom in an empty folder. A block whose first line is `# NAME.EXT` is written to
that file; in a `console` block every line that begins with `$ ` is a command, and what follows is what it
printed, to both streams. Ids, hashes, times and durations are not compared, nor what depends on which of two
steps side by side ended first. A command must succeed, or say what else it gave: `… || echo "exit $?"`.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from difflib import unified_diff
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"# ([\w-]+\.\w+)\n")
KILLED = re.compile(r"^bash: line 1: +[0-9]+ Killed.*$", re.MULTILINE)
TIME_LIMIT = 120
# What stands in a README for a reader, and what runs here instead: the environment is there already.
INSTEAD = {"make demo": f"{sys.executable} examples/demo.py"}

SAME = [
    (re.compile(r"\b[0-9]{4}-[0-9]{2}-[0-9]{2}[T ][0-9:.]+Z?"), "TIME"),
    (re.compile(r"\b[0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?\b"), "TIME"),
    (re.compile(r"\bsha256:[0-9a-f]+…?"), "HASH"),
    (re.compile(r"\b00-[0-9a-f]{32}-[0-9a-f]{16}-01\b"), "TRACEPARENT"),
    (re.compile(r"\b[0-9a-f]{32,64}\b"), "HASH"),
    (re.compile(r"\b[0-9][0-9A-HJKMNP-TV-Z]{11,25}\b"), "ID"),
    (re.compile(r" …[A-Za-z0-9_-]{4} "), " …LAST "),
    (re.compile(r"\b[0-9]+(\.[0-9]+)?(µs|ms|s|m|h)( ?[0-9]+(ms|s|m))?\b"), "DURATION"),
    (re.compile(r"\b[0-9]+ log entries\b"), "N log entries"),
    (re.compile(r"\bcheckpoint [0-9]+\b"), "checkpoint N"),
    (re.compile(r"\b[0-9a-f]{8}\b"), "KEY ID"),
    (re.compile(r"(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{43}=|(?<![A-Za-z0-9+/])[A-Za-z0-9+/]{44,}=*"), "BASE64"),
    (re.compile(r" +"), " "),
    (re.compile(r"^[0-9]+ TIME", re.MULTILINE), "TIME"),
]


class Difference(NamedTuple):
    """A command that printed something else than its page says."""

    command: str
    lines: list[str]


def normal(text: str) -> str:
    """Return a text without what differs from one run to the next."""
    for pattern, word in SAME:
        text = pattern.sub(word, text)
    lines = [line.strip() for line in text.strip().splitlines()]
    timed = sorted(line for line in lines if line.startswith("TIME"))
    return "\n".join(timed.pop(0) if line.startswith("TIME") else line for line in lines)


def commands(block: str) -> Iterator[tuple[str, str]]:
    """Yield the commands of a console block with what they printed."""
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        command, _, printed = part.partition("\n")
        yield command, printed


def ran(command: str, folder: Path) -> str:
    """Run one command as a reader would; return what it printed.

    Raises:
        RuntimeError: it failed, or did not end.
    """
    environment = {
        "PATH": f"{Path(sys.executable).parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(folder),
        "LOGNAME": "ana",
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "COLUMNS": "110",
    }
    done = subprocess.run(
        ["bash", "-c", INSTEAD.get(command, command)],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=TIME_LIMIT,
    )
    if done.returncode:
        raise RuntimeError(f"$ {command}\n{done.stdout}exit {done.returncode}")
    printed = KILLED.sub("Killed", done.stdout)
    return printed.replace(os.path.realpath(folder), "…").replace(str(folder), "…")


def played(text: str, folder: Path) -> Iterator[tuple[str, str, str]]:
    """Run a page; yield each command with what the page says and what it printed."""
    shutil.copytree(ROOT / "examples", folder / "examples", dirs_exist_ok=True)
    (folder / ".venv").symlink_to(Path(sys.executable).parents[1])
    for kind, block in BLOCK.findall(text):
        name = FILE.match(block)
        if kind == "console":
            for command, said in commands(block):
                yield command, said, ran(command, folder)
        elif name:
            (folder / name[1]).write_text(block)


def differences(text: str, folder: Path) -> list[Difference]:
    """Run a page and compare."""
    found = []
    for command, said, printed in played(text, folder):
        before, after = normal(said).splitlines(), normal(printed).splitlines()
        if before != after:
            found.append(
                Difference(command, list(unified_diff(before, after, "page", "printed", lineterm="")))
            )
    return found


def written(text: str, folder: Path) -> str:
    """Run a page and return it with the real outputs; one that says the same is left as it is."""
    outputs = iter([(said, printed) for _, said, printed in played(text, folder)])

    def renewed(match: re.Match[str]) -> str:
        if match[1] != "console":
            return match[0]
        lines = []
        for command, _ in commands(match[2]):
            said, printed = next(outputs)
            lines.append(f"$ {command}\n{said if normal(said) == normal(printed) else printed}")
        lead = match[2].partition("$ ")[0]
        body = "".join(line if line.endswith("\n") else line + "\n" for line in lines)
        return f"```console\n{lead}{body}```"

    return BLOCK.sub(renewed, text)


def main() -> int:
    check = "--check" in sys.argv[1:]
    status = 0
    for name in (name for name in sys.argv[1:] if not name.startswith("--")):
        page = Path(name)
        with tempfile.TemporaryDirectory(prefix="session-") as folder:
            if not check:
                page.write_text(written(page.read_text(), Path(folder)))
                continue
            for difference in differences(page.read_text(), Path(folder)):
                print(f"{name}: $ {difference.command}", *difference.lines, sep="\n", file=sys.stderr)
                status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
