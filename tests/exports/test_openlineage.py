"""Run events of OpenLineage: read by the types of `openlineage-python`, and compared with what happened."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from runnotary.core.hashing import digest
from runnotary.exports import openlineage
from runnotary.exports.identifiers import uuid
from runnotary.exports.openlineage import SCHEMAS
from tests.exports import readers
from tests.exports.recorded import HOSTILE_LABEL, Home

Json = Any
FLOWS = ("report", "failing", "unstarted", "calculated", "silent", "gated")
REVISION = "a" * 40
SCHEMA_FILES = Path(__file__).parents[1] / "data" / "openlineage"
PLACES = ("facets", "inputFacets", "outputFacets")


@pytest.fixture(scope="module")
def events(home: Home) -> dict[str, list[Json]]:
    """The events of each run, and of one that still goes on and says where its flow comes from."""
    found = {flow: read(openlineage.make(home.material(flow))) for flow in FLOWS}
    whole = home.material("silent")
    source = {"file": "silent.yaml", "git": REVISION, "changes": 0}
    attempt = whole.tasks[0]["attempts"][0] | {"status": "running", "ended_at": None}
    task = whole.tasks[0] | {"status": "running", "attempts": [attempt]}
    run = whole.run | {"status": "running", "ended_at": None, "source": source, "labels": {"k": "v"}}
    found["open"] = read(openlineage.make(replace(whole, run=run, tasks=[task])))
    return found


def read(data: bytes) -> list[Json]:
    assert data.endswith(b"\n")
    return [json.loads(line) for line in data.splitlines()]


def of(events: list[Json], job: str) -> list[Json]:
    return [event for event in events if event["job"]["name"] == job]


@pytest.mark.parametrize("flow", [*FLOWS, "open"])
def test_the_public_types_read_every_event_and_facet(
    events: dict[str, list[Json]], flow: str, tmp_path: Path
) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text("".join(json.dumps(event) + "\n" for event in events[flow]))
    told = readers.read("lineage_reader.py", [file])
    assert len(told) == len(events[flow])
    assert [one["wrong"] for one in told if one["wrong"]] == []


@pytest.mark.parametrize("flow", [*FLOWS, "open"])
def test_the_public_schemas_hold_for_every_event_and_facet(events: dict[str, list[Json]], flow: str) -> None:
    for event in events[flow]:
        assert [error.message for error in by(event["schemaURL"]).iter_errors(event)] == []
        for thing in (event["run"], event["job"], *event["inputs"], *event["outputs"]):
            for facet in (one for place in PLACES for one in thing.get(place, {}).values()):
                assert [error.message for error in by(facet["_schemaURL"]).iter_errors(facet)] == []


def test_the_schemas_find_what_is_wrong(events: dict[str, list[Json]]) -> None:
    event = events["silent"][0]
    assert not by(event["schemaURL"]).is_valid(event | {"eventTime": "yesterday"})
    assert not by(event["schemaURL"]).is_valid(event | {"run": {"runId": "no uuid"}})
    facet = event["run"]["facets"]["processing_engine"]
    assert not by(facet["_schemaURL"]).is_valid(facet | {"_producer": 1})


@cache
def by(address: str) -> Any:
    """Return what validates by the schema at an address, offline."""
    known = [json.loads(file.read_text()) for file in SCHEMA_FILES.glob("*.json")]
    registry = jsonschema_rs.Registry([(one["$id"], one) for one in known])
    return jsonschema_rs.validator_for({"$ref": address}, registry=registry, validate_formats=True)


def test_the_reader_finds_what_is_wrong(events: dict[str, list[Json]], tmp_path: Path) -> None:
    several = []
    for change in (
        lambda event: event["run"].update(runId="no uuid"),
        lambda event: event.update(eventType="DONE"),
        lambda event: event.update(more=1),
        lambda event: event["job"]["facets"]["jobType"].pop("integration"),
        lambda event: event["job"]["facets"]["jobType"].update(more=1),
        lambda event: event["run"]["facets"]["processing_engine"].update(version=1),
    ):
        several.append(json.loads(json.dumps(events["silent"][0])))
        change(several[-1])
    file = tmp_path / "events.jsonl"
    file.write_text("".join(json.dumps(event) + "\n" for event in several))
    assert all(one["wrong"] for one in readers.read("lineage_reader.py", [file]))


def test_every_kind_of_facet_is_sent(events: dict[str, list[Json]]) -> None:
    sent = set()
    for event in (one for several in events.values() for one in several):
        for thing in (event["run"], event["job"], *event["inputs"], *event["outputs"]):
            for place in PLACES:
                sent |= {facet["_schemaURL"] for facet in thing.get(place, {}).values()}
    kinds = {url.partition("/facets/")[2].partition(".json")[0] for url in sent}
    assert kinds == set(SCHEMAS.values())


def test_a_run_and_its_attempts_begin_and_end_in_order(events: dict[str, list[Json]], home: Home) -> None:
    report = events["report"]
    assert all(before["eventTime"] <= after["eventTime"] for before, after in pairwise(report))
    assert [event["run"]["runId"] for event in (report[0], report[-1])] == [uuid(home.runs["report"])] * 2
    assert [event["eventType"] for event in (report[0], report[-1])] == ["START", "COMPLETE"]
    assert [one["eventType"] for one in of(report, "report.unsteady")] == [
        "START",
        "FAIL",
        "START",
        "COMPLETE",
    ]
    assert len({one["run"]["runId"] for one in of(report, "report.unsteady")}) == 2
    assert len({one["run"]["runId"] for one in of(report, "report.by_letter")}) == 3
    assert len(of(report, "report.by_letter")) == 6
    assert len(of(report, "report.doubled")) == 2
    assert of(report, "report.never") == []


def test_attempts_name_the_run_as_parent_and_root(events: dict[str, list[Json]], home: Home) -> None:
    whole = {
        "run": {"runId": uuid(home.runs["report"])},
        "job": {"namespace": events["report"][0]["job"]["namespace"], "name": "report"},
    }
    for event in events["report"]:
        parent = event["run"]["facets"].get("parent")
        if event["job"]["name"] == "report":
            assert parent is None
        else:
            assert {name: parent[name] for name in ("run", "job", "root")} == {**whole, "root": whole}


def test_what_one_step_made_is_what_another_took(events: dict[str, list[Json]], home: Home) -> None:
    made = of(events["report"], "report.sort")[-1]["outputs"][0]
    took = of(events["report"], "report.folder")[0]["inputs"][-1]
    assert made["name"] == took["name"] == "report/sort/sorted.txt"
    [blob] = [file["blob"] for file in home.material("report").tasks[0]["attempts"][0]["outputs"].values()]
    assert made["facets"]["version"]["datasetVersion"] == blob
    assert made["outputFacets"]["outputStatistics"]["size"] == 26
    assert took["inputFacets"]["inputStatistics"]["size"] == 26
    folder = of(events["report"], "report.folder")[-1]["outputs"][0]
    assert folder["facets"]["datasetType"]["subType"] == "DIRECTORY"
    assert [one["name"] for one in events["report"][-1]["outputs"]] == [
        "report/folder/out",
        *(f"report/by_letter[{index}]/part.txt" for index in range(3)),
        "report/sort/sorted.txt",
    ]


def test_values_words_and_code(events: dict[str, list[Json]]) -> None:
    run, job = (events["report"][0][name]["facets"] for name in ("run", "job"))
    given = {one["key"]: one["value"] for one in run["executionParameters"]["parameters"]}
    assert given == {"more": "[]", "title": "Words", "top": "3"}
    assert job["documentation"]["description"].startswith("Words counted\n\nSorts words")
    assert {"key": "label", "value": "first numbers", "source": "USER"} in run["tags"]["tags"]
    step = of(events["report"], "report.sort")[0]["job"]["facets"]["sourceCode"]
    assert (step["language"], step["sourceCode"][:21]) == ("bash", "python3 sort_words.py")


def test_files_in_lists_and_objects_are_datasets_of_their_own(home: Home) -> None:
    whole = home.material("report")
    one, two, deep = (
        {"$file": digest(name.encode()), "name": name.rstrip("12"), "size": 1}
        for name in ("p1", "p2", "deep")
    )
    inputs = {"parts": [one, two, one], "config": {"in": [deep], "level": 3}}
    event = read(openlineage.make(replace(whole, run=whole.run | {"inputs": inputs})))[0]
    assert [dataset["name"] for dataset in event["inputs"]] == [
        "report/inputs/parts/p",
        "report/inputs/parts/1/p",
        "report/inputs/config/deep",
    ]
    (parameter,) = event["run"]["facets"]["executionParameters"]["parameters"]
    assert parameter["key"] == "config" and '"level":3' in parameter["value"]


def test_what_failed_says_so(events: dict[str, list[Json]]) -> None:
    failing = events["failing"]
    assert [one["eventType"] for one in (of(failing, "failing.broken")[-1], failing[-1])] == ["FAIL", "FAIL"]
    error = of(failing, "failing.broken")[-1]["run"]["facets"]["errorMessage"]
    assert (error["message"], error["programmingLanguage"]) == ("exit 3", "bash")
    assert {"key": HOSTILE_LABEL, "value": "true", "source": "USER"} in failing[0]["run"]["facets"]["tags"][
        "tags"
    ]
    assert of(failing, "failing.after") == []


def test_a_run_that_was_skipped_had_nothing_to_do(events: dict[str, list[Json]]) -> None:
    assert [one["eventType"] for one in events["unstarted"]] == ["START", "COMPLETE"]


def test_what_people_did_is_a_run_of_its_own(events: dict[str, list[Json]]) -> None:
    assert [one["eventType"] for one in of(events["gated"], "gated.ask")] == ["START", "COMPLETE"]


def test_a_run_that_goes_on(events: dict[str, list[Json]]) -> None:
    going = events["open"]
    assert [one["eventType"] for one in going] == ["START", "START", "RUNNING", "RUNNING"]
    place = going[0]["job"]["facets"]["sourceCodeLocation"]
    assert (place["url"], place["path"]) == (f"swh:1:rev:{REVISION}", "silent.yaml")
