"""`/`: the runs, newest first."""

from __future__ import annotations

from typing import Any, Final

from runnotary.core.errors import InvalidInput
from runnotary.core.queries import RunQuery
from runnotary.core.states import OPEN, State
from runnotary.web.addresses import address
from runnotary.web.answers import Answer, see_other
from runnotary.web.run_page import EVENTS
from runnotary.web.visit import Visit, flows_of

Json = Any
SHOWN: Final = 50
NOTHING: Final[Json] = {"runs": [], "has_next": False, "next_cursor": None}
TABS: Final = (
    ("", "All"),
    ("pending", "Pending"),
    ("running", "Running"),
    ("waiting", "Waiting"),
    ("failed", "Failed"),
    ("success", "Success"),
    ("cancelled", "Cancelled"),
    ("skipped", "Skipped"),
)


def beginning(_: Visit) -> Answer:
    """Lead to the runs, for whoever shortened the address of one."""
    return see_other("/")


def runs(visit: Visit) -> Answer:
    """Show one page of the listing."""
    asked = visit.asked
    chosen = {name: asked.word(name) for name in ("status", "namespace", "flow", "q")}
    cursor = asked.word("cursor")
    wrong, page = "", NOTHING
    try:
        page = _page(visit, chosen, cursor)
    except InvalidInput as refused:
        wrong = refused.message
    names: dict[str, Json] = {
        "runs": page["runs"],
        "wrong": wrong,
        "summary": summary(page["runs"]),
        "going": under_way(page["runs"]),
        "filtered": any(chosen.values()) or bool(cursor),
        "newest": address("/", chosen) if cursor else "",
        "older": address("/", {**chosen, "cursor": page["next_cursor"] or ""}) if page["has_next"] else "",
    }
    if asked.live:
        return visit.page("runs_live.html", **names)
    tabs = [
        {
            "name": name,
            "address": address("/", {**chosen, "status": status}),
            "chosen": chosen["status"] == status,
        }
        for status, name in TABS
    ]
    return visit.page(
        "runs.html", tabs=tabs, flow_names=_flow_names(visit, page), events=EVENTS, **chosen, **names
    )


def _flow_names(visit: Visit, page: Json) -> list[str]:
    """Return the flows to choose from: those the visitor may read, and those in sight."""
    names = {run["flow"] for run in page["runs"]} - {None}
    return sorted(names | {flow["flow"] for flow in flows_of(visit)})


def _page(visit: Visit, chosen: dict[str, str], cursor: str) -> Json:
    query = RunQuery(
        status=_one(chosen["status"]),
        namespace=_one(chosen["namespace"]),
        flow=_one(chosen["flow"]),
        q=chosen["q"],
        limit=SHOWN,
    )
    return visit.operations.runs(visit.known(), query, page=cursor)


def _one(word: str) -> tuple[str, ...]:
    return (word,) if word else ()


def under_way(runs: list[Json]) -> int:
    """Return how many of these runs are not over."""
    return sum(State(run["status"]) in OPEN for run in runs)


def summary(runs: list[Json]) -> str:
    """Say in a sentence what a change of the listing comes to, for those who do not see it."""
    if not runs:
        return "No run"
    newest = runs[0]
    return f"{under_way(runs)} under way. Newest: {newest['flow'] or 'unnamed flow'}, {newest['status']}"
