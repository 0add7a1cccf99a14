"""Other people's programs that read our exports, in an environment of their own.

They need many libraries that ours does not. The environment is made by whichever test asks first, from the
package registry, and kept inside the product's own until `readers.txt` changes.
"""

from __future__ import annotations

import fcntl
import json
import subprocess
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
WANTED = HERE / "readers.txt"
CONTEXTS = HERE.parent / "data" / "ro-crate"
PATIENCE_S = 600


def python() -> Path:
    """Return the interpreter of the environment."""
    name = f"readers-{sha256(WANTED.read_bytes()).hexdigest()[:12]}-{sys.version_info[1]}"
    folder = Path(sys.prefix, "share", "runnotary", name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with Path(f"{folder}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            make = [sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder)]
            subprocess.run(make, check=True, timeout=PATIENCE_S)
            install = ["pip", "--python", str(folder / "bin" / "python"), "install", "-q", "-r", str(WANTED)]
            subprocess.run([sys.executable, "-m", *install], check=True, timeout=PATIENCE_S)
            (folder / "complete").touch()
    return folder / "bin" / "python"


def read(program: str, words: Sequence[object]) -> Any:
    """Run a program of this folder there; return the JSON that it prints."""
    asked = [str(python()), "-I", str(HERE / program), *map(str, words)]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads(done.stdout.splitlines()[-1])
