"""A file that gets its name when it is complete."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import BinaryIO


@contextmanager
def arriving(output: str | PathLike[str]) -> Iterator[BinaryIO]:
    """Open a new file beside `output`, which takes its place at the end, or goes if that does not come."""
    target = Path(output)
    growing = target.with_name(f".runnotary-{secrets.token_hex(8)}")
    try:
        with growing.open("xb") as file:
            yield file
        os.replace(growing, target)
    finally:
        growing.unlink(missing_ok=True)
