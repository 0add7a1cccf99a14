"""`/start/{flow}`: a form with a field for each input, checked by the same code as every other start."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from runnotary.core.errors import InvalidInput, InvalidRunInput
from runnotary.core.flow import Flow, Input
from runnotary.core.hashing import is_digest
from runnotary.core.inputs import from_text
from runnotary.core.permissions import Action, People, require
from runnotary.engine.requests import RunRequest
from runnotary.web import addresses
from runnotary.web.actions import BY_HAND
from runnotary.web.answers import Answer, see_other
from runnotary.web.flow_pages import named_flow
from runnotary.web.visit import Visit

Json = Any
PREFIX: Final = "input."
"""Before the name of an input in the form, so that no input can be called like a field of ours."""

FILES: Final = ("file", "directory")
UNPROCESSABLE: Final = 422


class Field(msgspec.Struct, frozen=True):
    """A field of the form: what it is called and takes, what stands in it, and what is wrong with that."""

    name: str
    kind: str
    type: str
    required: bool
    text: str
    about: str
    choices: tuple[tuple[str, str], ...] = ()
    minimum: Json = None
    maximum: Json = None
    problem: str = ""


def form(visit: Visit) -> Answer:
    """Show the form, with the defaults in it."""
    document, flow = named_flow(visit)
    require(visit.known().caller, Action.START, People(document["namespace"]))
    return _page(visit, document, flow, {name: default_text(one) for name, one in flow.inputs.items()})


async def start(visit: Visit) -> Answer:
    """Start the flow with what the form holds, or show the form again with what is wrong."""
    document, flow = named_flow(visit)
    require(visit.known().caller, Action.START, People(document["namespace"]))
    asked = visit.asked
    texts = {name: asked.field(PREFIX + name) for name in flow.inputs}
    try:
        request = RunRequest(
            flow=document["flow"],
            namespace=document["namespace"],
            inputs=values(flow, texts),
            label=asked.field("label").strip(),
            tags=tuple(tag for part in asked.field("tags").split(",") if (tag := part.strip())),
        )
        started, _ = await visit.operations.start(
            visit.known(), request, key=asked.field("once")[:64], trigger=BY_HAND
        )
    except InvalidRunInput as wrong:
        return _page(visit, document, flow, texts, problems=wrong.problems)
    except InvalidInput as wrong:
        return _page(visit, document, flow, texts, problems=(wrong.message,))
    return see_other(addresses.of_run(started["id"]))


def _page(
    visit: Visit, document: Json, flow: Flow, texts: dict[str, str], problems: tuple[str, ...] = ()
) -> Answer:
    asked = visit.asked
    by_name = {name: [one for one in problems if _is_about(one, name)] for name in flow.inputs}
    placed = {one for some in by_name.values() for one in some}
    fields = [_field(flow.inputs[name], texts[name], "; ".join(by_name[name])) for name in flow.inputs]
    return visit.page(
        "start.html",
        UNPROCESSABLE if problems else 200,
        flow=document,
        flow_address=addresses.of_flow(document["flow"], document["namespace"]),
        address=addresses.of_flow(document["flow"], document["namespace"], "start"),
        fields=fields,
        label=asked.field("label"),
        tags=asked.field("tags"),
        once=asked.field("once") or visit.site.sessions.once(),
        problems=[one for one in problems if one not in placed],
    )


def _is_about(problem: str, name: str) -> bool:
    path = problem.partition(":")[0]
    return path == f"inputs.{name}" or path.startswith((f"inputs.{name}.", f"inputs.{name}["))


# --- fields ----------------------------------------------------------------------------------------


def _field(declared: Input, text: str, problem: str) -> Field:
    kind, choices = "text", tuple[tuple[str, str], ...]()
    if "enum" in declared.schema:
        kind, choices = "choice", tuple((_written(one), _written(one)) for one in declared.schema["enum"])
    elif declared.type == "boolean":
        kind, choices = "choice", (("true", "true"), ("false", "false"))
    elif declared.type in ("integer", "number"):
        kind = declared.type
    elif declared.type in ("array", "object", "any") or "\n" in text:
        kind = "lines"
    return Field(
        name=declared.name,
        kind=kind,
        type=declared.type,
        required=declared.required,
        text=text,
        about=_about(declared),
        choices=choices,
        minimum=declared.schema.get("minimum"),
        maximum=declared.schema.get("maximum"),
        problem=problem,
    )


def _about(declared: Input) -> str:
    """Say what a field takes, where the type alone does not."""
    if declared.type in FILES:
        return "the digest of a file that is here: sha256:…; or start from a terminal with a path"
    if declared.type in ("array", "object", "any"):
        return "JSON"
    return f"matches {declared.schema['pattern']}" if "pattern" in declared.schema else ""


def default_text(declared: Input) -> str:
    """Return what stands in a field at first."""
    if declared.default is None or declared.type in FILES:
        return ""
    return _written(declared.default)


def _written(value: Json) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def values(flow: Flow, texts: dict[str, str]) -> dict[str, Json]:
    """Return the inputs of a run; a field that was left empty gives none.

    Raises:
        InvalidRunInput: naming every text that cannot be of its type.
    """
    found: dict[str, Json] = {}
    problems: list[str] = []
    for name, declared in flow.inputs.items():
        text = texts[name].replace("\r\n", "\n")
        if not text.strip() and not (declared.type == "string" and declared.default):
            continue
        try:
            found[name] = _value(declared, text)
        except InvalidRunInput as wrong:
            problems += wrong.problems
    if problems:
        raise InvalidRunInput(problems)
    return found


def _value(declared: Input, text: str) -> Json:
    if declared.type not in FILES:
        return from_text(declared, text)
    digest = text.strip()
    if not is_digest(digest):
        raise InvalidRunInput([f"inputs.{declared.name}: write the digest of a {declared.type}: sha256:…"])
    return {"$file" if declared.type == "file" else "$dir": digest, "name": declared.name}
