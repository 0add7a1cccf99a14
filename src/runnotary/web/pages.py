"""Every page, in one table: method, path, and what answers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from runnotary.core.errors import NotFound
from runnotary.web import actions, details, door, files, flow_pages, requests, run_list, run_page, start_form
from runnotary.web.visit import Visit


class NoSuchPage(NotFound):
    """An address at which there is nothing."""

    code = "no_such_page"


def nowhere(visit: Visit) -> Any:
    """Say that there is no such page.

    Raises:
        NoSuchPage: always.
    """
    raise NoSuchPage(f"there is no page at {visit.asked.path[:200]}", hint="perhaps it was mistyped")


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
    Page("GET", "/runs", run_list.beginning),
    Page("POST", "/demo", actions.demo),
    Page("GET", "/runs/{run}", run_page.run),
    Page("GET", "/runs/{run}/cancel", actions.ask_to_cancel),
    Page("POST", "/runs/{run}/cancel", actions.cancel),
    Page("POST", "/runs/{run}/rerun", actions.rerun),
    Page("GET", "/runs/{run}/log", details.log),
    Page("GET", "/runs/{run}/steps/{task}", details.step),
    Page("POST", "/runs/{run}/steps/{task}/answer", requests.answer),
    Page("GET", "/approvals", requests.approvals),
    Page("GET", "/runs/{run}/files/{blob}", files.file),
    Page("GET", "/runs/{run}/files/{blob}/{path:path}", files.file),
    Page("GET", "/flows", flow_pages.flows),
    Page("GET", "/flows/{flow}", flow_pages.flow),
    Page("GET", "/definitions/{digest}", flow_pages.definition_text),
    Page("GET", "/start/{flow}", start_form.form),
    Page("POST", "/start/{flow}", start_form.start),
    Page("GET", "/sign-in", door.sign_in_form, for_all=True),
    Page("POST", "/sign-in", door.sign_in, for_all=True),
    Page("POST", "/sign-out", door.sign_out, for_all=True),
)
ELSEWHERE: Final = Page("GET", "/{path:path}", nowhere, for_all=True)
"""Every other address that is not the API's."""
