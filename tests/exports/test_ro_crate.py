"""Crates: read by the public validator and by runcrate, offline; and what they claim, against the run."""

from __future__ import annotations

import io
import json
import re
import zipfile
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from urllib.parse import unquote

import msgspec
import pytest

from runnotary.core import trees
from runnotary.core.hashing import digest
from runnotary.exports import ro_crate
from runnotary.exports.material import Material
from runnotary.exports.ro_crate_files import Files, fit
from tests.exports import readers
from tests.exports.recorded import HOSTILE, HOSTILE_LABEL, ODD_NAME, Home

Json = Any
FLOWS = ("report", "failing", "unstarted", "calculated", "silent", "gated")

# The profile lets what is in the crate have a relative id ("MAY be a relative URI to a data entity in the
# crate"), and a main workflow has to be in it; the validator asks every one for `http` nevertheless:
# https://github.com/crs4/rocrate-validator/issues/51. No crate with a workflow in it passes this check.
NO_CRATE_PASSES = {
    f"RECOMMENDED process-run-crate-0.5_5.1 {kind}: The SoftwareApplication id SHOULD be an absolute URI"
    for kind in ("http://schema.org/SoftwareSourceCode", "https://bioschemas.org/ComputationalWorkflow")
}


class Crate:
    """A crate in memory: its members, and its entities by their ids."""

    def __init__(self, data: bytes) -> None:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            assert archive.testzip() is None
            self.members = {name: archive.read(name) for name in archive.namelist()}
        self.metadata = json.loads(self.members["ro-crate-metadata.json"])
        self.entities: dict[str, Json] = {one["@id"]: one for one in self.metadata["@graph"]}
        assert len(self.entities) == len(self.metadata["@graph"])

    def of(self, kind: str) -> list[Json]:
        return [one for one in self.entities.values() if kind in several(one["@type"])]

    def behind(self, entity: Json, name: str) -> list[Json]:
        """Return the entities that a property points to."""
        return [self.entities[one["@id"]] for one in several(entity.get(name, []))]

    def put(self, folder: Path) -> Path:
        with zipfile.ZipFile(io.BytesIO(zipped(self.members))) as archive:
            archive.extractall(folder)
        return folder


def several(value: Json) -> list[Json]:
    return value if isinstance(value, list) else [value]


def zipped(members: dict[str, bytes]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return target.getvalue()


def made(material: Material) -> Crate:
    return Crate(b"".join(ro_crate.make(material)))


@pytest.fixture(scope="module")
def crates(home: Home) -> dict[str, Crate]:
    """A crate of each run; one of a run whose file is gone; and one that lacks what each must have."""
    found = {flow: made(home.material(flow)) for flow in FLOWS}
    whole = home.material("report")
    gone = {file["blob"] for file in whole.tasks[0]["attempts"][0]["outputs"].values()}
    found["gone"] = made(replace(whole, has_blob=lambda blob: blob not in gone))
    broken = made(home.material("silent"))
    del broken.entities["./"]["datePublished"], broken.entities["README.md"]["encodingFormat"]
    broken.members["ro-crate-metadata.json"] = json.dumps(broken.metadata).encode()
    found["broken"] = broken
    return found


@pytest.fixture(scope="module")
def read(crates: dict[str, Crate], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Json]:
    """What the validator says about each crate, and what `runcrate report` prints."""
    place = tmp_path_factory.mktemp("crates")
    folders = {name: crate.put(place / name) for name, crate in crates.items()}
    said = readers.read("crate_reader.py", [readers.CONTEXTS, *folders.values()])
    return {name: said[str(folder)] for name, folder in folders.items()}


@pytest.fixture
def report(crates: dict[str, Crate]) -> Crate:
    return crates["report"]


# --- what others say -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*FLOWS, "gone"])
def test_all_that_is_required_and_recommended(read: dict[str, Json], name: str) -> None:
    assert set(read[name]["issues"]) == NO_CRATE_PASSES
    expected = ("workflow-run-crate", 140) if name == "unstarted" else ("provenance-run-crate", 185)
    assert read[name]["profile"] == expected[0]
    assert read[name]["checks"] >= expected[1]


def test_the_validator_finds_what_is_missing(read: dict[str, Json]) -> None:
    found = {issue.partition(" ")[0] for issue in set(read["broken"]["issues"]) - NO_CRATE_PASSES}
    assert found == {"REQUIRED", "RECOMMENDED"}


def test_runcrate_reads_actions_with_what_they_took_and_made(read: dict[str, Json]) -> None:
    actions = told(read["report"]["report"])
    assert list(actions) == [
        "#run",
        "#attempt/sort/1",
        *(f"#attempt/unsteady/{number}" for number in (1, 2)),
        *(f"#attempt/by_letter%5B{index}%5D/1" for index in range(3)),
        "#attempt/doubled/1",
        "#attempt/folder/1",
        "#attempt/bye/1",
    ]
    sort = actions["#attempt/sort/1"]
    assert sort["step"] == "definition.json#sort"
    assert [name for _, name in sort["inputs"]] == ["#parameter/sort/in/words"]
    assert {name: value for value, name in sort["outputs"][1:]} == {
        "#parameter/sort/out/count": "5",
        "#parameter/sort/out/letters": '["a","f","p"]',
        "#parameter/sort/out/mean": "4.2",
    }
    letters = [actions[f"#attempt/by_letter%5B{index}%5D/1"]["inputs"][-1][0] for index in range(3)]
    assert letters == ["a", "f", "p"]
    whole = actions["#run"]
    assert ("3", "#parameter/definition.json/in/top") in whole["inputs"]
    assert ("10", "#parameter/definition.json/out/twice") in whole["outputs"]
    assert [name for _, name in whole["outputs"]].count("#parameter/definition.json/out/parts") == 3
    assert unquote(dict(map(reversed, whole["inputs"]))["#parameter/definition.json/in/words"]).endswith(
        fit(ODD_NAME)
    )


def told(report: str) -> dict[str, Json]:
    """Read what `runcrate report` prints."""
    actions: dict[str, Json] = {}
    for block in report.strip().split("\n\n"):
        action: Json = {"inputs": [], "outputs": []}
        kind = ""
        for line in block.splitlines():
            if line.startswith("    "):
                value, _, parameter = line.strip().partition(" <- ")
                action[kind].append((value, parameter))
            else:
                kind, _, value = line.strip().partition(":")
                action[kind] = value.strip() if value else action[kind]
        actions[action["action"]] = action
    return actions


# --- the files -------------------------------------------------------------------------------------


def test_every_member_is_described_with_its_size_and_hash(crates: dict[str, Crate]) -> None:
    for crate in (crates[flow] for flow in FLOWS):
        described = {unquote(one["@id"]): one for one in crate.of("File") + crate.of("Dataset")}
        del described["./"]
        assert set(crate.members) - {"ro-crate-metadata.json"} == set(described)
        for path, entity in described.items():
            if entity["@type"] == "Dataset":
                continue
            assert entity["contentSize"] == str(len(crate.members[path]))
            if path not in ("README.md", "run.json", "tasks.json"):  # made for the crate
                assert entity["sha256"] == sha256(crate.members[path]).hexdigest()
            assert re.fullmatch(r"[\w.+-]+/[\w.+-]+", entity["encodingFormat"])


def test_a_name_that_means_something_in_an_address(report: Crate) -> None:
    entity = next(one for one in report.of("File") if one["name"] == ODD_NAME)
    assert unquote(entity["@id"]).endswith("a file #1 50% _b_&é.txt")
    assert report.members[unquote(entity["@id"])].startswith(b"pear")


def test_a_folder_is_a_dataset_with_its_files(report: Crate) -> None:
    [folder] = [one for one in report.of("Dataset") if one["@id"] != "./"]
    assert [one["name"] for one in report.behind(folder, "hasPart")] == ["sorted.txt", "sub dir/a b#.txt"]
    [parameter] = report.behind(folder, "exampleOfWork")[:1]
    assert parameter["additionalType"] == "Dataset"


def test_code_definition_logs_and_words(report: Crate, home: Home) -> None:
    material = home.material("report")
    assert digest(report.members["definition.json"]) == material.run["definition_hash"]
    assert b"sorted(open" in report.members["code/sort_words.py"]
    assert report.members["logs/sort/1/stdout.txt"] == b"sorted them\n"
    assert report.members["logs/sort/1/stderr.txt"] == b"mind the gap\n"
    assert json.loads(report.members["run.json"]) == msgspec.json.decode(msgspec.json.encode(material.run))
    assert b"**success**" in report.members["README.md"]
    logs = report.behind(report.entities["#attempt/sort/1"], "subjectOf")
    assert [one["about"] for one in logs] == [{"@id": "#attempt/sort/1"}] * 2


def test_a_file_that_is_gone_is_named_and_not_promised(crates: dict[str, Crate]) -> None:
    gone = crates["gone"]
    [absent] = [one for one in gone.of("CreativeWork") if one["@id"].startswith("#absent/")]
    assert absent["name"] == "sorted.txt"
    assert absent in gone.behind(gone.entities["#attempt/sort/1"], "result")
    assert not any(absent["identifier"][7:] == one.get("sha256") for one in gone.of("File"))


@pytest.mark.parametrize(
    "name, path",
    [
        ("a b.txt", "a b.txt"),
        ("../../etc/passwd", ".._.._etc_passwd"),
        ("..", "_"),
        ("", "_"),
        ("C:\\x", "C__x"),
        ("\x00\x1b\n", "___"),
        ("\ud800", "_"),
        ("trailing. ", "trailing"),
        ("é" * 200 + ".csv", "é" * 58 + ".csv"),
    ],
)
def test_names_become_parts_of_a_path(name: str, path: str) -> None:
    assert fit(name) == path


def test_two_names_that_become_one_are_two_files() -> None:
    blobs = {digest(data): data for data in (b"one", b"two")}
    entries = [trees.Entry(name, blob, 3, False) for name, blob in zip(("a:b", "a_b"), blobs, strict=True)]
    manifest = trees.manifest(entries)
    blobs[digest(manifest)] = manifest
    fake = SimpleNamespace(has_blob=blobs.__contains__, blob=blobs.get, blob_size=lambda one: len(blobs[one]))
    files = Files(cast(Material, fake))
    folder = files.of({"$dir": digest(manifest), "name": "both", "size": 6})
    paths = [unquote(one["@id"]) for one in folder["hasPart"]]
    assert len(set(paths)) == 2
    assert {blobs[files.members[path].blob] for path in paths} == {b"one", b"two"}


@pytest.mark.parametrize(
    "names",
    [
        ("a:", "a_/x"),  # a file where a folder has to be
        ("a/x", "a:"),
        ("a:/x", "a_/x"),
        ("a:/x", "a_"),
        ("Read.me", "read.me"),
        ("Docs/x", "docs/y"),
    ],
)
def test_no_name_is_in_the_way_of_another(names: tuple[str, ...], tmp_path: Path) -> None:
    blobs = {digest(name.encode()): name.encode() for name in names}
    entries = [trees.Entry(name, blob, 3, False) for name, blob in zip(names, blobs, strict=True)]
    manifest = trees.manifest(entries)
    blobs[digest(manifest)] = manifest
    fake = SimpleNamespace(has_blob=blobs.__contains__, blob=blobs.get, blob_size=lambda one: len(blobs[one]))
    files = Files(cast(Material, fake))
    folder = files.of({"$dir": digest(manifest), "name": "both", "size": 6})
    for entity in folder["hasPart"]:
        place = tmp_path / unquote(entity["@id"]).casefold()  # as where case makes no difference
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(blobs[files.members[unquote(entity["@id"])].blob])
    assert sorted(one.read_bytes() for one in tmp_path.rglob("*") if one.is_file()) == sorted(
        name.encode() for name in names
    )


def test_a_file_deep_in_a_value_is_in_the_crate_too() -> None:
    blob = digest(b"deep")
    fake = SimpleNamespace(has_blob=lambda one: one == blob, blob_size=lambda one: 4)
    files = Files(cast(Material, fake))
    given = {"in": [{"$file": blob, "name": "deep.csv", "size": 4}], "level": 3}
    kinds = [(one["@type"], one["name"]) for one in files.values("run/in", "config", given)]
    assert kinds == [("File", "deep.csv"), ("PropertyValue", "config")]
    assert [member.blob for member in files.members.values()] == [blob]


def test_the_same_record_is_the_same_crate(home: Home) -> None:
    first, second = (b"".join(ro_crate.make(home.material("report"))) for _ in range(2))
    assert first == second


# --- the actions -----------------------------------------------------------------------------------


def test_each_attempt_is_an_action_and_what_was_skipped_is_none(report: Crate) -> None:
    [control] = [one for one in report.of("ControlAction") if one["name"] == "Step unsteady"]
    first, second = report.behind(control, "object")
    assert first["actionStatus"].endswith("/FailedActionStatus")
    assert first["error"] == "exit 7"
    assert second["actionStatus"].endswith("/CompletedActionStatus")
    assert "error" not in second
    assert control["actionStatus"].endswith("/CompletedActionStatus")
    [control] = [one for one in report.of("ControlAction") if one["name"] == "Step by_letter"]
    assert len(report.behind(control, "object")) == 3
    assert not any("never" in at for at in report.entities)


def test_a_failed_run(crates: dict[str, Crate]) -> None:
    crate = crates["failing"]
    whole = crate.entities["#run"]
    assert whole["actionStatus"].endswith("/FailedActionStatus")
    assert whole["error"] == "exit 3"
    assert HOSTILE_LABEL in whole["description"]
    [given] = crate.behind(crate.entities["#attempt/broken/1"], "object")
    assert given["value"] == HOSTILE
    assert "#attempt/after/1" not in crate.entities
    assert "<img" not in crate.members["README.md"].decode().replace("\\<", "")


def test_who_answered_is_the_agent(crates: dict[str, Crate]) -> None:
    crate = crates["gated"]
    answer = crate.entities["#attempt/ask/1"]
    [agent] = crate.behind(answer, "agent")
    assert agent["@type"] == "Person"
    said = f"Publish <b>it</b>? approved by {agent['identifier']}: <i>as it should be</i>."
    assert answer["description"] == said


def test_a_request_that_waits_has_begun(home: Home) -> None:
    whole = home.material("gated")
    asks, publish = whole.tasks
    asks |= {"status": "waiting", "ended_at": None, "variables": {}}
    asks["approval"]["decisions"] = []
    publish |= {"status": "pending", "attempts": [], "started_at": None, "ended_at": None}
    action = made(replace(whole, tasks=[asks, publish])).entities["#attempt/ask/1"]
    assert "startTime" in action
    assert "endTime" not in action
    assert "actionStatus" not in action


def test_a_run_without_an_action_claims_no_provenance_of_steps(crates: dict[str, Crate]) -> None:
    root = crates["unstarted"].entities["./"]
    assert not any("provenance" in one["@id"] for one in root["conformsTo"])
    assert not crates["unstarted"].of("OrganizeAction")


def test_times_lists_and_ids_are_as_readers_take_them(crates: dict[str, Crate]) -> None:
    for crate in (crates[flow] for flow in FLOWS):
        for entity in crate.entities.values():
            for name in ("startTime", "endTime", "datePublished"):
                assert re.fullmatch(
                    r"\d{4}(-\d\d){2}T(\d\d:){2}\d\d\+00:00", entity.get(name, "2000-01-01T00:00:00+00:00")
                )
            assert not any(isinstance(value, list) and len(value) < 2 for value in entity.values())
            assert None not in entity.values()
        for tool in crate.of("SoftwareApplication"):
            assert tool["@id"].startswith("https://")


def test_nothing_is_pointed_to_that_is_not_described(crates: dict[str, Crate]) -> None:
    outside = ("https://bioschemas.org/", "https://w3id.org/ro/crate/1.1")
    for crate in (crates[flow] for flow in FLOWS):
        for entity in crate.entities.values():
            for value in entity.values():
                for one in several(value):
                    at = one["@id"] if isinstance(one, dict) else "./"
                    assert at in crate.entities or at.startswith(outside)


def test_the_terms_that_crates_use_are_those_that_the_validator_is_given() -> None:
    terms = json.loads((readers.CONTEXTS / "workflow-run-terms.jsonld").read_text())["@context"]
    assert all(at == f"https://w3id.org/ro/terms/workflow-run#{term}" for term, at in terms.items())
