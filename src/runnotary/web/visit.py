"""One visit to a page: who came, what they asked for, and the home behind the pages."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from starlette.datastructures import Headers

from runnotary.core.permissions import Action, People, Who, granted, visible
from runnotary.engine.operations import Operations
from runnotary.web.addresses import DEFAULT_NAMESPACE
from runnotary.web.answers import Answer
from runnotary.web.asked import Asked
from runnotary.web.rendering import render
from runnotary.web.sessions import Sessions

Json = Any


@dataclass(frozen=True)
class Site:
    """What the pages stand on.

    `identify` tells whom an Authorization header stands for, or raises Unauthenticated; `admit` refuses
    requests (by their headers) that have no business here at all; `now` is in µs.
    """

    operations: Operations
    identify: Callable[[str | None], Awaitable[Who]]
    admit: Callable[[Headers], None]
    sessions: Sessions
    now: Callable[[], int]


@dataclass(frozen=True)
class Visit:
    """What a page needs. Nobody has come if `who` is None; `cookie` is that of a visitor who signed in."""

    site: Site
    asked: Asked
    now: int
    who: Who | None = None
    cookie: str = ""

    @property
    def operations(self) -> Operations:
        """Return the facade of the home."""
        return self.site.operations

    @property
    def key(self) -> str:
        """Return what proves that a form came from one of our pages; nothing where no cookie is used."""
        return self.site.sessions.form_token(self.cookie) if self.cookie else ""

    def known(self) -> Who:
        """Return who came; pages that ask for somebody are not reached by nobody."""
        assert self.who is not None
        return self.who

    def page(self, template: str, http_status: int = 200, /, **names: Any) -> Answer:
        """Answer with a page; of a page that changes by itself, with that part alone if it was asked for."""
        return Answer(render(template, view=View(self), now=self.now, **names), http_status)

    def rights(self, document: Json) -> frozenset[Action]:
        """Return what the visitor may do with a run."""
        return granted(
            self.known().caller,
            People(
                document["namespace"],
                document["owner"],
                tuple(document["monitors"]),
                tuple(document["managers"]),
            ),
        )

    def may(self, action: Action, namespace: str = DEFAULT_NAMESPACE) -> bool:
        """Tell whether the visitor may do something in a namespace."""
        return action in granted(self.known().caller, People(namespace))


class View:
    """What every template may ask about the visitor."""

    def __init__(self, visit: Visit) -> None:
        self._visit = visit
        self.name = visit.who.by.principal if visit.who else ""
        self.how = visit.who.by.auth if visit.who else ""
        self.signed_in = bool(visit.key)

    @property
    def may_start(self) -> bool:
        """Tell whether to offer a start."""
        return self._visit.who is not None and self._visit.may(Action.START)

    @property
    def reads(self) -> bool:
        """Tell whether the visitor may read the runs of any namespace."""
        seen = visible(self._visit.known().caller)
        return seen.everything or bool(seen.namespaces)

    def form_token(self) -> Markup:
        """Return the hidden field that a form needs."""
        if not self._visit.key:
            return Markup("")
        return Markup('<input type="hidden" name="form_token" value="{}">').format(self._visit.key)


def flows_of(visit: Visit) -> list[Json]:
    """Return the flows of every namespace that the visitor may read."""
    who, operations = visit.known(), visit.operations
    names = [one["namespace"] for one in operations.access.namespaces(who)]
    readable = [name for name in names if visit.may(Action.READ, name)]
    return [flow for name in readable for flow in operations.flows(who, name)["flows"]]
