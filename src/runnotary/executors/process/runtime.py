"""What the host brought to an attempt: interpreter, platform and installed distributions, as one blob."""

from __future__ import annotations

import os
import re
import sys
from typing import Final

from runnotary.core.hashing import canonical

_DIST: Final = re.compile(r"(.+?)-([^-]+)\.(?:dist|egg)-info")


class Runtime:
    """The blob of this process's runtime; made anew when something was installed or removed."""

    def __init__(self) -> None:
        self._folders = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
        self._seen: list[int] = []
        self._blob = b""

    def blob(self) -> bytes:
        """Return the canonical JSON."""
        now = [_changed_at(folder) for folder in self._folders]
        if not self._blob or now != self._seen:
            self._seen = now
            self._blob = self._look()
        return self._blob

    def _look(self) -> bytes:
        # Names of folders instead of importlib.metadata, whose import alone costs more than a short step.
        found = set()
        for folder in self._folders:
            for name in os.listdir(folder) if os.path.isdir(folder) else ():
                if match := _DIST.fullmatch(name):
                    found.add(f"{re.sub(r'[-_.]+', '-', match[1]).lower()}=={match[2]}")
        host = os.uname()
        return canonical(
            {
                "kind": "process",
                "implementation": sys.implementation.name,
                "interpreter": sys.version.split()[0],
                "platform": f"{host.sysname} {host.release}",
                "libc": _libc(),
                "machine": host.machine,
                "distributions": sorted(found),
            }
        )


def _changed_at(folder: str) -> int:
    try:
        return os.stat(folder).st_mtime_ns
    except OSError:
        return 0


def _libc() -> str:
    try:
        return os.confstr("CS_GNU_LIBC_VERSION") or ""
    except (OSError, ValueError):
        return ""
