"""What a visitor does to runs: cancel one, run it again, start the demo."""

from __future__ import annotations

from importlib import resources
from typing import Final

import msgspec

from runnotary.core.definition import Words
from runnotary.core.errors import Conflict
from runnotary.core.events import Trigger
from runnotary.core.permissions import Action
from runnotary.core.profile import Change
from runnotary.core.states import OPEN, State
from runnotary.engine.requests import RunRequest
from runnotary.web import addresses
from runnotary.web.addresses import DEFAULT_NAMESPACE
from runnotary.web.answers import Answer, see_other
from runnotary.web.visit import Visit

BY_HAND: Final = Trigger("manual")
DEMO: Final = "demo.json"


# --- cancel ----------------------------------------------------------------------------------------


def ask_to_cancel(visit: Visit) -> Answer:
    """Ask whether a run is to be cancelled."""
    document = visit.operations.run(visit.known(), visit.asked.params["run"])
    if State(document["status"]) not in OPEN:
        return see_other(addresses.of_run(document["id"]))
    return visit.page(
        "cancel.html",
        run=document,
        flow_address=addresses.of_flow(document["flow"], document["namespace"]),
        allowed=Action.CANCEL in visit.rights(document),
        reason_required=visit.operations.asks_why(Change.CANCEL),
    )


async def cancel(visit: Visit) -> Answer:
    """Cancel a run, and go back to it; one that is over meanwhile says so itself."""
    who, run_id = visit.known(), visit.asked.params["run"]
    try:
        document = await visit.operations.cancel(
            who,
            run_id,
            reason=visit.asked.field("reason").strip()[:256],
            force=visit.asked.field("force") == "1",
        )
    except Conflict:
        document = visit.operations.run(who, run_id)
    return see_other(addresses.of_run(document["id"]))


# --- run again -------------------------------------------------------------------------------------


async def rerun(visit: Visit) -> Answer:
    """Start the same definition with the same inputs and words."""
    started, _ = await visit.operations.rerun(visit.known(), visit.asked.params["run"], trigger=BY_HAND)
    return see_other(addresses.of_run(started["id"]))


# --- the demo --------------------------------------------------------------------------------------


async def demo(visit: Visit) -> Answer:
    """Register the small flow that comes with the product, and start it."""
    who, operations = visit.known(), visit.operations
    document = msgspec.json.decode(resources.files("runnotary.web").joinpath(DEMO).read_bytes())
    flow = await operations.register(who, document, DEFAULT_NAMESPACE, Words())
    request = RunRequest(flow=flow["flow"], namespace=DEFAULT_NAMESPACE, label="first run")
    started, _ = await operations.start(who, request, trigger=BY_HAND)
    return see_other(addresses.of_run(started["id"]))
