"""Writes the client without asyncio from the one with it, so that the two cannot differ.

.venv/bin/python tools/unasync.py            writes src/runnotary/client/sync_*.py from its async_*.py
.venv/bin/python tools/unasync.py --check    compares instead; exits 1 if a file is not current

Only words are exchanged, so the files read alike line by line. A name that begins with `Async` loses that.
"""

import re
import subprocess
import sys
from pathlib import Path

CLIENT = Path(__file__).parents[1] / "src" / "runnotary" / "client"
HEAD = "Written by `tools/unasync.py` from `{source}`; do not edit."

SAID = [
    ("The client for asyncio.", "The client."),
    (
        "Open it with `async with`, or `await close()` it; one may serve many tasks.",
        "Open it with `with`, or `close()` it; one may serve many threads.",
    ),
    (", asked with asyncio", ""),
]
WORDS = [
    (r" `tools/unasync\.py` writes .*? change only this one\.", ""),
    (r"\basync_(\w+)", r"sync_\1"),
    (r"\basync (def|for|with) ", r"\1 "),
    (r"\basync for\b", "for"),
    (r"\bawait ", ""),
    (r"\basyncio\.to_thread\(function, ", "function("),
    (r"\bimport asyncio\n", "import time\n"),
    (r"\basyncio\.sleep\b", "time.sleep"),
    (r"\bAsyncGenerator\[(\w+), None\]", r"Generator[\1, None, None]"),
    (r"\bAsync(?=[A-Z])", ""),
    (r"\b__a(enter|exit)__\b", r"__\1__"),
    (r"\baclosing\b", "closing"),
    (r"\baclose\b", "close"),
    (r"\baread\b", "read"),
    (r"\baiter_bytes\b", "iter_bytes"),
]
RUFF = [sys.executable, "-m", "ruff"]


def without(text: str, source: str) -> str:
    """Return the text of a module without asyncio."""
    for said, instead in SAID:
        text = text.replace(said, instead)
    for pattern, word in WORDS:
        text = re.sub(pattern, word, text)
    _, first, rest = text.split('"""', 2)
    return tidied(f'"""{first.rstrip()}\n\n{HEAD.format(source=source)}\n"""{rest}')


def tidied(text: str) -> str:
    """Return a text as ruff wants it: the new names sort differently and leave shorter lines."""
    for command in (["check", "--fix", "--unsafe-fixes", "--quiet"], ["format", "--quiet"]):
        name = str(CLIENT / "sync_client.py")
        told = [*RUFF, *command, "--stdin-filename", name, "-"]
        text = subprocess.run(told, input=text, capture_output=True, text=True, check=False).stdout
    return text


def pages() -> dict[Path, str]:
    """Return every file that is written, with its content."""
    return {
        path.with_name(path.name.replace("async_", "sync_", 1)): without(path.read_text(), path.name)
        for path in sorted(CLIENT.glob("async_*.py"))
    }


def main() -> int:
    """Write, or compare."""
    written = pages()
    stale = [path for path, text in written.items() if not path.exists() or path.read_text() != text]
    if "--check" in sys.argv[1:]:
        for path in stale:
            print(f"not current: {path.name}; run .venv/bin/python tools/unasync.py", file=sys.stderr)
        return 1 if stale else 0
    for path in stale:
        path.write_text(written[path])
    return 0


if __name__ == "__main__":
    sys.exit(main())
