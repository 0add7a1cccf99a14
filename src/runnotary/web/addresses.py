"""Where things have their page. What comes from outside is quoted, and follows a fixed word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote, urlencode

Json = Any
DEFAULT_NAMESPACE: Final = "default"


def address(path: str, words: Mapping[str, str | tuple[str, ...]]) -> str:
    """Write an address with those words of a query that say something."""
    said = {name: value for name, value in words.items() if value}
    return f"{path}?{urlencode(said, doseq=True)}" if said else path


def part(text: str) -> str:
    """Write one part of a path."""
    return quote(text, safe="")


def of_run(run_id: str) -> str:
    """Return where a run has its page."""
    return f"/runs/{part(run_id)}"


def of_step(run_id: str, key: str, attempt: int = 0) -> str:
    """Return where a task has its page, or one of its attempts."""
    path = f"/runs/{part(run_id)}/steps/{part(key)}"
    return address(path, {"attempt": str(attempt) if attempt else ""})


def of_file(run_id: str, blob: str, path: str = "") -> str:
    """Return where a file or folder of a run is shown, or the file at a path in that folder."""
    inside = f"/{quote(path)}" if path else ""
    return f"/runs/{part(run_id)}/files/{quote(blob, safe=':')}{inside}"


def of_bytes(run_id: str, blob: str, path: str = "") -> str:
    """Return where the bytes of such a file can be had."""
    return f"/api/v1{of_file(run_id, blob, path)}"


def of_stream(run_id: str, key: str, stream: str, attempt: int) -> str:
    """Return where the bytes that an attempt printed can be had."""
    path = f"/api/v1/runs/{part(run_id)}/tasks/{part(key)}/{stream}"
    return address(path, {"attempt": str(attempt)})


def of_flow(flow: str | None, namespace: str, what: str = "flows") -> str:
    """Return where a flow has its page, or (`start`) its form; nothing for a definition without a name."""
    usual = namespace == DEFAULT_NAMESPACE
    return address(f"/{what}/{part(flow)}", {"namespace": "" if usual else namespace}) if flow else ""
