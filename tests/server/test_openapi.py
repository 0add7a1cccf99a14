"""The OpenAPI document is true: what it allows is answered as it says, what it does not is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import load_all_checks
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from runnotary.api.openapi import description
from runnotary.api.routes import ROUTES
from tests.server.up import QUICK, SAYS, Up

Json = Any
EXAMPLES = 8
DOCUMENT = msgspec.json.decode(msgspec.json.encode(description(ROUTES)))
# Both go on for ever or as long as the run does; test_feeds.py has them.
FEEDS = ("/api/v1/events", "/api/v1/runs/{run}/events")
OPERATIONS = [
    (verb.upper(), path) for path, verbs in DOCUMENT["paths"].items() for verb in verbs if path not in FEEDS
]
CHECKS = [status_code_conformance, content_type_conformance, response_schema_conformance]
HEADER_NAMES = {"authorization", "host", "content-length", "transfer-encoding", "connection", "cookie"}

load_all_checks()
schema = schemathesis.openapi.from_dict(DOCUMENT)


def test_an_erased_run_is_answered_as_the_document_says(tmp_path: Path) -> None:
    up = Up(tmp_path).start()
    up.register(SAYS)
    run = up.run("says")["id"]
    assert up.post(f"/runs/{run}/erase", {"reason": "asked for"}).status == 200
    for verb, path in OPERATIONS:
        if "{run}" in path:
            place = path.removeprefix("/api/v1").replace("{run}", run)
            place = re.sub(r"\{\w+\}", "say", place)
            answer = up.ask(verb, place, {"reason": "x"} if verb in ("POST", "PATCH") else None)
            assert str(answer.status) in DOCUMENT["paths"][path][verb.lower()]["responses"], (path, answer)
    assert up.ask("GET", f"/runs/{run}").status == 410
    assert up.ask("GET", f"/runs/{run}/export").status == 200
    up.close()


@pytest.fixture(scope="module")
def known(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """A server, and parts of paths that exist in it."""
    up = Up(tmp_path_factory.mktemp("up"), body_limit=100_000).start()
    up.register(QUICK, SAYS)
    run = up.run("says")
    up.post("/namespaces", {"name": "lab"})
    made = up.post("/tokens", {"principal": "user:x", "name": "x"}).json
    yield {
        "up": up,
        "run": run["id"],
        "task": "say",
        "name": "out.txt",
        "flow": "says",
        "hash": run["definition_hash"],
        "namespace": "lab",
        "principal": "user:ana",
        "group": "group:g",
        "token": made["id"],
    }
    up.close()


def test_the_document_is_one(known: dict[str, Any]) -> None:
    served = known["up"].get("/openapi.json").json
    assert served == DOCUMENT
    assert served["openapi"] == "3.1.0"
    ids = [one["operationId"] for verbs in served["paths"].values() for one in verbs.values()]
    assert len(ids) == len(set(ids)) == len(ROUTES)
    for name, part in served["components"]["schemas"].items():
        jsonschema_rs.validator_for({**part, "components": served["components"]})
        assert re.fullmatch(r"[A-Za-z]+", name)


def can_be_wrong(verb: str, path: str) -> bool:
    """Whether anything can be sent that the document does not allow: any text names a run or a file."""
    operation = DOCUMENT["paths"][path][verb.lower()]
    return "requestBody" in operation or any(one["in"] == "query" for one in operation["parameters"])


CASES = [
    pytest.param(
        *operation, mode, real, id=f"{operation[0]}-{operation[1]}-{mode.value}-{'real' if real else 'any'}"
    )
    for operation in OPERATIONS
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
    for real in (False, True)
    if ("{" in operation[1] or not real) and (mode is GenerationMode.POSITIVE or can_be_wrong(*operation))
]


@pytest.mark.parametrize(("verb", "path", "mode", "real"), CASES)
def test_an_operation(known: dict[str, Any], verb: str, path: str, mode: GenerationMode, real: bool) -> None:
    """`real`: the parts of the path are of things that are there."""
    cases = schema[path][verb].as_strategy(generation_mode=mode)

    @settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=cases)
    def answered(case: Any) -> None:
        if real:
            case.path_parameters = {
                name: known.get(name, value) for name, value in (case.path_parameters or {}).items()
            }
        case.headers = {
            name: value for name, value in (case.headers or {}).items() if name.lower() not in HEADER_NAMES
        }
        response = case.call(base_url=known["up"].url)
        assert response.status_code < 500, (case.as_curl_command(), response.text)
        case.validate_response(response, checks=CHECKS)

    answered()
