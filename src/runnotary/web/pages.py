"""Every page, in one table: method, path, and what answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from runnotary.web import run_list, run_page
from runnotary.web.visit import Visit


class Page(NamedTuple):
    """A row: `handler` reads and blocks if the method is GET, and is awaited if it is POST."""

    method: str
    path: str
    handler: Callable[[Visit], Any]
    for_all: bool = False


PAGES: Final = (
    Page("GET", "/", run_list.runs),
    Page("GET", "/runs/{run}", run_page.run),
)
