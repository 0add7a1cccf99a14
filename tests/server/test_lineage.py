"""Lineage and differences over HTTP: every form, and what cannot be asked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.server.up import Up

Json = Any
FLOW = {
    "flow": "makes",
    "version": "1",
    "steps": {"a": {"run": 'echo made > "x <b>.txt"', "files": ["x <b>.txt"]}},
}


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    place = Up(tmp_path_factory.mktemp("lineage")).start()
    for version, command in (("1", ""), ("2", "; true")):
        flow = FLOW | {"version": version}
        flow["steps"] = {"a": {**FLOW["steps"]["a"], "run": FLOW["steps"]["a"]["run"] + command}}  # type: ignore[index]
        place.register(flow, token=None)
    begun = place.post("/runs", {"flow": "makes"}, headers={"prefer": "wait=60"})
    assert begun.json["status"] == "success", begun
    yield place
    place.close()


def made(up: Up) -> tuple[str, str]:
    run = up.get("/runs").json["runs"][0]["id"]
    (file,) = (one for one in up.get(f"/runs/{run}/files").json["files"] if one["role"] == "output")
    return run, file["blob"]


def test_every_form(up: Up) -> None:
    run, blob = made(up)
    for path in (f"/runs/{run}/lineage?", f"/lineage?blob={blob}&"):
        graph = up.get(f"{path}format=json").json
        assert graph == up.get(path.rstrip("?&")).json
        assert ("task:a" if "runs" in path else f"run:{run}") in {node["id"] for node in graph["nodes"]}
        for form, begins in (("mermaid", "flowchart LR\n"), ("dot", "digraph lineage {\n"), ("text", "")):
            reply = up.get(f"{path}format={form}")
            assert reply.status == 200
            assert reply.headers["content-type"] == "text/plain; charset=utf-8"
            assert reply.headers["x-content-type-options"] == "nosniff", "nobody takes it for a page"
            written = reply.body.decode()
            assert written.startswith(begins) and written.endswith("\n")
            assert form == "text" or "<b>" not in written


def test_what_is_not_here_has_no_lineage(up: Up) -> None:
    answer = up.get("/lineage?blob=sha256:" + "00" * 32).json
    assert (len(answer["nodes"]), answer["edges"], answer["truncated"]) == (1, [], False)


@pytest.mark.parametrize(
    "query",
    [
        "",
        "?blob=",
        "?blob=sha256:00",
        "?blob=SHA256:" + "00" * 32,
        "?blob=sha256:" + "00" * 32 + "&depth=0",
        "?blob=sha256:" + "00" * 32 + "&depth=101",
        "?blob=sha256:" + "00" * 32 + "&depth=x",
        "?blob=sha256:" + "00" * 32 + "&direction=left",
        "?blob=sha256:" + "00" * 32 + "&format=svg",
        "?blob=sha256:" + "00" * 32 + "&run=x",
    ],
)
def test_what_cannot_be_asked(up: Up, query: str) -> None:
    reply = up.get(f"/lineage{query}")
    assert reply.status == 422 and reply.code in ("invalid_parameter", "unknown_parameter"), reply


def test_versions_of_a_flow(up: Up) -> None:
    versions = up.get("/flows/makes/versions").json["versions"]
    assert [(one["version"], one["runs"]) for one in versions] == [("2", 1), ("1", 0)]
    new, old = (one["definition"] for one in versions)
    whole = up.get("/flows/makes/diff").json
    assert (whole["from"], whole["to"]) == (old, new)
    assert [one["path"] for one in whole["changes"]] == ["steps.a.run"]
    assert whole == up.get(f"/flows/makes/diff?from=1&to={new}").json
    back = up.get("/flows/makes/diff?from=2&to=1").json
    assert (back["from"], back["changes"][0]["was"]) == (new, whole["changes"][0]["now"])
    for query in ("?from=9", "?to=9", "?to=1", "?from=sha256:" + "00" * 32):
        assert up.get(f"/flows/makes/diff{query}").code == "flow_not_found", query
    assert up.get("/flows/nothing/diff").code == "flow_not_found"
    assert up.get("/flows/makes/diff?since=1").code == "unknown_parameter"
