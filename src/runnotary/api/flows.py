"""Routes about flows: register one, and what its name means and meant."""

from __future__ import annotations

from runnotary.api.call import Call, Document
from runnotary.core.definition import Words

DEFAULT_NAMESPACE = "default"


def namespace_of(call: Call) -> str:
    """Return the namespace of a call; the body's, else the query's, else `default`."""
    return getattr(call.body, "namespace", "") or getattr(call.query, "namespace", "") or DEFAULT_NAMESPACE


async def register(call: Call) -> Document:
    body = call.body
    words = Words(flow=body.flow, version=body.version, title=body.title, description=body.description)
    document = await call.operations.register(call.who, body.definition, namespace_of(call), words)
    place = f"/api/v1/flows/{document['flow']}"
    if document["namespace"] != DEFAULT_NAMESPACE:
        place += f"?namespace={document['namespace']}"
    return Document(document, 201, {"location": place})


def list_flows(call: Call) -> Document:
    return Document(call.operations.flows_of(call.who, call.query.namespace or (DEFAULT_NAMESPACE,)))


def show(call: Call) -> Document:
    return Document(call.operations.flow(call.who, call.path["flow"], namespace_of(call)))


def versions(call: Call) -> Document:
    return Document(call.operations.versions(call.who, call.path["flow"], namespace_of(call)))


def diff(call: Call) -> Document:
    asked = call.query
    return Document(
        call.operations.flow_diff(call.who, call.path["flow"], namespace_of(call), asked.from_, asked.to)
    )


def definition(call: Call) -> Document:
    return Document(call.operations.definition(call.who, call.path["hash"]))
