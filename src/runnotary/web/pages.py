"""Every page, in one table: method, path, and what answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from runnotary.web import actions, details, door, flow_pages, run_list, run_page, start_form
from runnotary.web.visit import Visit


class Page(NamedTuple):
    """A row: `handler` reads and blocks if the method is GET, and is awaited if it is POST.

    What is not `for_all` is reached by nobody but those who may be told something.
    """

    method: str
    path: str
    handler: Callable[[Visit], Any]
    for_all: bool = False


PAGES: Final = (
    Page("GET", "/", run_list.runs),
    Page("POST", "/demo", actions.demo),
    Page("GET", "/runs/{run}", run_page.run),
    Page("GET", "/runs/{run}/cancel", actions.ask_to_cancel),
    Page("POST", "/runs/{run}/cancel", actions.cancel),
    Page("POST", "/runs/{run}/rerun", actions.rerun),
    Page("GET", "/runs/{run}/log", details.log),
    Page("GET", "/runs/{run}/steps/{task}", details.step),
    Page("GET", "/runs/{run}/files/{blob}", details.file),
    Page("GET", "/flows", flow_pages.flows),
    Page("GET", "/flows/{flow}", flow_pages.flow),
    Page("GET", "/definitions/{digest}", flow_pages.definition_text),
    Page("GET", "/start/{flow}", start_form.form),
    Page("POST", "/start/{flow}", start_form.start),
    Page("GET", "/sign-in", door.sign_in_form, for_all=True),
    Page("POST", "/sign-in", door.sign_in, for_all=True),
    Page("POST", "/sign-out", door.sign_out, for_all=True),
)
