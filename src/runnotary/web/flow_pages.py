"""`/flows`: what can be run. One flow: what it takes, what it does in which order, what it meant before."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from runnotary.core.errors import FlowNotFound
from runnotary.core.flow import Flow, Step
from runnotary.core.hashing import is_digest
from runnotary.core.permissions import Action
from runnotary.core.queries import RunQuery
from runnotary.web import addresses, graph, shown
from runnotary.web.addresses import DEFAULT_NAMESPACE
from runnotary.web.answers import Answer
from runnotary.web.visit import Visit, flows_of

Json = Any
RUNS_SHOWN: Final = 10
VERSIONS_SHOWN: Final = 50


def flows(visit: Visit) -> Answer:
    """Show every flow that the visitor may see."""
    listed = [
        flow | {"address": addresses.of_flow(flow["flow"], flow["namespace"])} for flow in flows_of(visit)
    ]
    return visit.page("flows.html", flows=listed)


def flow(visit: Visit) -> Answer:
    """Show one flow."""
    who, operations = visit.known(), visit.operations
    document, compiled = named_flow(visit)
    name, namespace = document["flow"], document["namespace"]
    versions = operations.versions(who, name, namespace)["versions"]
    recent = operations.runs(who, RunQuery(flow=(name,), namespace=(namespace,), limit=RUNS_SHOWN))
    return visit.page(
        "flow.html",
        flow=document,
        may_start=visit.may(Action.START, namespace),
        start_address=addresses.of_flow(name, namespace, "start"),
        runs_address=addresses.address("/", {"namespace": namespace, "flow": name}),
        inputs=[
            {
                "name": one.name,
                "type": one.type,
                "required": one.required,
                "default": one.default,
                "limits": limits(one.schema),
            }
            for one in compiled.inputs.values()
        ],
        steps=[step_row(step) for step in compiled.steps.values()],
        outputs=sorted(compiled.outputs),
        drawing=graph.drawing(compiled),
        versions=versions[:VERSIONS_SHOWN],
        older=max(0, len(versions) - VERSIONS_SHOWN),
        runs=recent["runs"],
    )


def named_flow(visit: Visit) -> tuple[Json, Flow]:
    """Return the flow that an address names: as a document, and compiled.

    Raises:
        FlowNotFound: there is none.
    """
    namespace = visit.asked.word("namespace") or DEFAULT_NAMESPACE
    document = visit.operations.flow(visit.known(), visit.asked.params["flow"], namespace)
    return document, visit.operations.reader.flow_of(document["definition_hash"])


def limits(schema: dict[str, Json]) -> str:
    """Say which values of its type an input takes."""
    said = []
    if "enum" in schema:
        said.append("one of " + ", ".join(shown.value(one, 60) for one in schema["enum"]))
    if "minimum" in schema:
        said.append(f"from {schema['minimum']}")
    if "maximum" in schema:
        said.append(f"to {schema['maximum']}")
    if "pattern" in schema:
        said.append(f"matches {schema['pattern']}")
    if isinstance(schema.get("items"), dict) and "type" in schema["items"]:
        said.append(f"of {schema['items']['type']}")
    return " ".join(said)


def step_row(step: Step) -> dict[str, Json]:
    """Return what is known of a step before it runs."""
    return {
        "name": step.name,
        "action": step.action,
        "needs": step.needs,
        "after": sorted(set(step.before) - set(step.needs)),
        "condition": step.condition.text if step.condition else "",
        "for_each": step.for_each.text if step.for_each else "",
        "cleanup": step.cleanup,
    }


def definition_text(visit: Visit) -> Answer:
    """Show a definition as it is kept.

    Raises:
        FlowNotFound: there is none.
    """
    digest = visit.asked.params["digest"]
    if not is_digest(digest):
        raise FlowNotFound(f"no definition {digest}")
    document = visit.operations.definition(visit.known(), digest)
    return visit.page("definition.html", digest=digest, text=pretty(document))


def pretty(document: Json) -> str:
    """Write JSON so that a person can read it."""
    return msgspec.json.format(msgspec.json.encode(document), indent=2).decode()
