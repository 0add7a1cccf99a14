"""The OpenAPI 3.1 document of the route table. Schemas come from the same types that requests are read by."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Final

import msgspec

from runnotary import __version__
from runnotary.api.problems import MEDIA_TYPE, Problem
from runnotary.api.route import BYTES, EVENTS, JSON, TEXT, ZIP, Route
from runnotary.api.wire import Update
from runnotary.engine.requests import RunRequest

Json = Any
REFERENCE: Final = "#/components/schemas/{name}"
RAW: Final = (BYTES, TEXT, EVENTS, ZIP)
ALWAYS: Final = {
    400: "The request cannot be read",
    401: "Nobody knows who asks",
    403: "The caller may not do this, or the request comes from where it must not",
    422: "The request is not as this route takes it",
    431: "Path, query and headers are too long",
}
PROBLEMS: Final = ALWAYS | {
    404: "There is no such thing, or not for this caller",
    409: "The present state does not allow it",
    410: "The run was erased; what is left of it can be exported and verified",
    412: "It has changed since the caller looked",
    413: "The body is too large",
    415: "The body is no JSON",
    416: "The range begins behind the last byte",
    503: "It cannot be done now",
    507: "It could not be written, so it did not happen",
}
STATES: Final = {
    200: "Done",
    201: "Made",
    202: "Accepted; the end follows",
    206: "The part that was asked for",
    304: "Unchanged",
}
HEADERS: Final[dict[str, tuple[str, Json]]] = {
    "prefer": ("`wait=N`: answer when the run is over, or after N seconds", {"type": "string"}),
    "idempotency-key": (
        "the same key with the same body is the same run, however often it is sent",
        {"type": "string", "maxLength": 256},
    ),
    "if-match": ("the ETag that the run must still have", {"type": "string"}),
    "if-none-match": ("the ETag of what the caller has", {"type": "string"}),
    "last-event-id": ("go on after this event", {"type": "string", "pattern": "^[0-9]{1,18}$"}),
    "range": ("`bytes=FROM-TO`", {"type": "string"}),
    "traceparent": ("the caller's place in its trace: the run's trace links to it", {"type": "string"}),
}
PATH_PARTS: Final[dict[str, Json]] = {
    "hash": {"type": "string", "pattern": "^sha256:[0-9a-f]{64}$"},
}


def description(routes: Iterable[Route]) -> Json:
    """Return the document."""
    table = list(routes)
    types = {Problem, RunRequest, Update}
    for route in table:
        types |= {kind for kind in (route.body, *route.answers.values()) if _is_struct(kind)}
    ordered = sorted(types, key=lambda kind: kind.__name__)
    _, schemas = msgspec.json.schema_components(ordered, ref_template=REFERENCE)
    paths: dict[str, Json] = {}
    for route in table:
        paths.setdefault(_plain(route.path), {})[route.verb.lower()] = operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Runnotary",
            "version": __version__,
            "description": "Runs flows and keeps a record of every run.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"bearer": []}, {}],
    }


def operation(route: Route) -> Json:
    """Return one route as an operation."""
    found: dict[str, Json] = {
        "operationId": route.name,
        "summary": route.summary,
        "description": f"Needs: {route.needs}.",
        "tags": [route.name.partition("_")[0]],
        "parameters": [*_path_parameters(route), *_query_parameters(route), *_header_parameters(route)],
        "responses": _responses(route),
    }
    if route.body is bytes:
        binary = {"schema": {"type": "string", "format": "binary"}}
        found["requestBody"] = {"required": True, "content": {BYTES: binary}}
    elif route.body is not None:
        found["requestBody"] = {
            "required": _has_required(route.body),
            "content": {JSON: {"schema": {"$ref": REFERENCE.format(name=route.body.__name__)}}},
        }
    if route.needs == "nothing":
        found["security"] = []
    return found


def _responses(route: Route) -> Json:
    responses: dict[str, Json] = {}
    for status, kind in route.answers.items():
        responses[str(status)] = {"description": STATES[status], **_content(route, kind)}
        if route.path.endswith("/runs/{run}") or status in (201, 202):
            responses[str(status)]["headers"] = {"etag": {"schema": {"type": "string"}}}
    statuses = {*ALWAYS, *route.problems, *((413, 415) if route.body is not None else ()), 503}
    statuses |= set() if route.verb == "GET" else {507}
    statuses |= {410} if "{run}" in route.path else set()
    for status in sorted(statuses):
        content = {MEDIA_TYPE: {"schema": {"$ref": REFERENCE.format(name="Problem")}}}
        responses[str(status)] = {"description": PROBLEMS[status], "content": content}
    return responses


def _content(route: Route, kind: Any) -> Json:
    if kind is None:
        return {}
    if route.media in RAW:
        return {"content": {media: {"schema": {"type": "string"}} for media in (route.media, *route.also)}}
    others = {media: {"schema": {"type": "string"}} for media in route.also}
    if _is_struct(kind):
        return {"content": {JSON: {"schema": {"$ref": REFERENCE.format(name=kind.__name__)}}, **others}}
    return {"content": {JSON: {"schema": {"type": "object"}}}}


def _path_parameters(route: Route) -> list[Json]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": PATH_PARTS.get(kind, {"type": "string", "minLength": 1}),
        }
        for name, kind in re.findall(r"{(\w+)(?::(\w+))?}", route.path)
    ]


def _query_parameters(route: Route) -> list[Json]:
    _, schemas = msgspec.json.schema_components([route.query], ref_template=REFERENCE)
    found: list[Json] = []
    for name, schema in schemas[route.query.__name__].get("properties", {}).items():
        plain = {key: value for key, value in _inlined(schema, schemas).items() if key != "default"}
        said = plain.pop("description", "")
        one = {"name": name, "in": "query", "required": False, "schema": plain}
        found.append(one | ({"description": said} if said else {}))
    return found


def _inlined(schema: Json, schemas: Json) -> Json:
    """Return a schema with the small types it refers to in place of the references."""
    if isinstance(schema, dict):
        if "$ref" in schema:
            return _inlined(schemas[schema["$ref"].rpartition("/")[2]], schemas)
        return {key: _inlined(value, schemas) for key, value in schema.items()}
    return [_inlined(one, schemas) for one in schema] if isinstance(schema, list) else schema


def _header_parameters(route: Route) -> list[Json]:
    return [
        {"name": name, "in": "header", "required": False, "description": said, "schema": schema}
        for name, (said, schema) in HEADERS.items()
        if name in route.headers
    ]


def _plain(path: str) -> str:
    return re.sub(r"{(\w+):\w+}", r"{\1}", path)


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _has_required(kind: type[msgspec.Struct]) -> bool:
    return any(field.required for field in msgspec.structs.fields(kind))
