"""A bundle holds the record of one run, says what the record says, and is the same file every time."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import replace
from hashlib import sha256
from typing import Any

import msgspec
import pytest

from runnotary.app.exporting import Exporting
from runnotary.app.home import Embedded
from runnotary.core import events as ev
from runnotary.core import evidence
from runnotary.core.chain import run_stream
from runnotary.core.errors import Damaged, InvalidInput, NotEnded
from runnotary.exports import bundle_record
from runnotary.exports.bundle import make
from runnotary.exports.bundle_zip import NEEDED, REPORT, Layout, blob_name
from runnotary.exports.material import Material
from tests.exports.bundles import checked, exported, in_home, lines_of, members_of
from tests.exports.conftest import Lab

Json = Any
FLOWS = ("report", "failing", "unstarted", "calculated", "silent")
each_flow = pytest.mark.parametrize("flow", FLOWS)


def material_of(lab: Lab, flow: str) -> Material:
    """Gather a run; what is gathered is used while the home is closed, except for its blobs."""

    async def work(home: Embedded) -> Material:
        run = home.reader.resolve(lab.runs[flow]).id
        material = await Exporting(home.store, home.reader).gathered(run)
        assert isinstance(material, Material)
        digests = bundle_record.closure(_events(material), material.blob)
        blobs = {digest: material.blob(digest) for digest in digests}
        return replace(
            material,
            blob=blobs.__getitem__,
            blob_pieces=lambda digest: iter((blobs[digest],)),
            sign=lab.holder.note,
        )

    return in_home(lab.home, work)


def _events(material: Material) -> list[bundle_record.Event]:
    return [
        bundle_record.Event(
            one.seq, 0, int.from_bytes(one.envelope[24:26], "big"), json.loads(one.text or "")
        )
        for one in material.events
    ]


@each_flow
def test_a_bundle_verifies_with_the_key_of_its_home(lab: Lab, flow: str) -> None:
    report = checked(lab.bundles[flow], lab.holder.key)
    assert report.ok, report
    assert report.run == lab.runs[flow]
    assert report.not_proven[0] == "witness none: the key holder could have rewritten everything"
    assert str(report).endswith("verify: ok")


def test_without_a_key_it_says_that_the_key_is_unproven(lab: Lab) -> None:
    report = checked(lab.bundles["report"])
    assert report.ok
    assert report.not_proven[0] == "key: from the bundle, unproven"


def test_what_was_checked_is_counted(lab: Lab) -> None:
    report = checked(lab.bundles["report"], lab.holder.key)
    members = lab.members()
    blobs = [name for name in members if name.startswith("blobs/")]
    events = lines_of(members["events.jsonl"])
    attempts = [one for one in events if one["envelope"][48:52] == "0010"]
    assert report.parts == [
        "definition",
        "code 1 file",
        f"{len(events)} events",
        f"{len(attempts)} attempts",
        f"{len(blobs)}/{len(blobs)} blobs",
        f"checkpoint {report.checked['checkpoint']}, key {lab.holder.name}",
    ]


@each_flow
def test_the_same_run_is_the_same_file(lab: Lab, flow: str) -> None:
    """Also later, by another process: nothing in it is of the moment it was made."""
    first, again = exported(lab.home, lab.runs[flow], lab.runs[flow])
    assert first == again == lab.bundles[flow]


@each_flow
def test_any_unzip_reads_it(lab: Lab, flow: str) -> None:
    with zipfile.ZipFile(io.BytesIO(lab.bundles[flow])) as there:
        assert there.testzip() is None
        assert there.comment == b""
        assert [one.filename for one in there.infolist()] == sorted(there.namelist())
        for one in there.infolist():
            assert (one.compress_type, one.flag_bits, one.date_time) == (0, 0, (1980, 1, 1, 0, 0, 0))
            assert one.external_attr == 0o100644 << 16
        members = set(there.namelist())
    assert members >= NEEDED
    assert {name for name in members if not name.startswith("blobs/")} <= NEEDED | {REPORT}


@each_flow
def test_it_holds_every_blob_that_the_record_vouches_for_and_no_other(lab: Lab, flow: str) -> None:
    """As core/evidence.py finds them, which knows the events by their types."""

    async def work(home: Embedded) -> set[str]:
        read, blobs = home.store.read, home.blobs
        found = {named for entry in read(run_stream(row.id)) for named in evidence.blobs_in(entry.event)}
        extra = set()
        for entry in read(run_stream(row.id)):
            if isinstance(entry.event, ev.TaskEnded):
                extra |= {entry.event.environment, entry.event.runtime} - {""}
        left = list(found)
        while left:
            named = left.pop()
            inside: list[str] = []
            if named.form == "tree":
                inside = [one["blob"] for one in json.loads(blobs.get(named.digest))]
            elif named.form == "value":
                value = json.loads(blobs.get(named.digest))
                more = set(evidence.blobs_in_value(value)) - found
                left += more
                found |= more
            extra |= set(inside)
        code = home.reader.flow_of(row.definition).code
        return {one.digest for one in found} | extra | {file.blob for file in code.values()}

    async def row_of(home: Embedded) -> Any:
        return home.reader.resolve(lab.runs[flow])

    row = in_home(lab.home, row_of)
    expected = {blob_name(digest) for digest in in_home(lab.home, work)}
    assert {name for name in lab.members(flow) if name.startswith("blobs/")} == expected
    for name, data in lab.members(flow).items():
        assert not name.startswith("blobs/") or name.endswith(sha256(data).hexdigest())


def test_the_table_of_values_is_that_of_the_events() -> None:
    """Whoever adds a field with values to an event adds it to the verifier as well."""
    told = {"files", "artifacts", "stdout", "stderr", "error", "counts"}  # looked at by their names, or words
    told |= {"durability", "on_failure", "released", "force", "by", "waits_for", "why", "verdict"}
    for kind, (code, _) in ev.CODES.items():
        fields = {name for name in evidence._HOLDERS[kind] if not name.endswith("_large")} - told
        if code < 32:
            assert fields == set(bundle_record.VALUES.get(code, ())), kind
        large = {name for name in evidence._HOLDERS[kind] if name.endswith("_large")}
        assert large <= set(bundle_record.LARGE), kind


@each_flow
def test_run_json_says_what_the_run_document_says(lab: Lab, flow: str) -> None:
    async def work(home: Embedded) -> Json:
        document = home.reader.document(home.reader.resolve(lab.runs[flow]))
        return json.loads(msgspec.json.encode(document))

    document = in_home(lab.home, work)
    del document["log"]["sealed"]  # of the home's newest checkpoint; a bundle has a proof instead
    said = json.loads(lab.members(flow)["run.json"])
    assert {name: document.get(name) for name in said} == said
    assert {"status", "reason", "error", "outputs", "created_by", "created_at", "ended_at"} <= said.keys()


@each_flow
def test_tasks_json_says_what_the_task_documents_say(lab: Lab, flow: str) -> None:
    async def work(home: Embedded) -> Json:
        return home.reader.tasks(home.reader.resolve(lab.runs[flow]))

    said = json.loads(lab.members(flow)["tasks.json"])
    for task in in_home(lab.home, work):
        told = said.get(task["key"], {"attempts": []})
        assert len(told["attempts"]) == len(task["attempts"])
        for ours, theirs in zip(told["attempts"], task["attempts"], strict=True):
            assert ours["end"].get("exit_code") == theirs["exit_code"]
            assert ours["end"].get("started_at") == theirs["started_at"]
            assert ours["intent"]["fingerprint"] == theirs["fingerprint"]
            assert ours["end"].get("stdout", {}).get("digest") == (theirs["stdout"] or {}).get("digest")
            made = {name: file["blob"] for name, file in ours["end"].get("files", {}).items()}
            assert made == {name: file["blob"] for name, file in theirs["outputs"].items()}


def test_every_event_is_there_as_its_bytes_lie(lab: Lab) -> None:
    async def work(home: Embedded) -> list[tuple[int, bytes, bytes | None]]:
        return list(home.store.stored(run_stream(home.reader.resolve(lab.runs["report"]).id)))

    stored = in_home(lab.home, work)
    there = lines_of(lab.members()["events.jsonl"])
    assert [
        (one["seq"], bytes.fromhex(one["envelope"]), bytes.fromhex(one["nonce"]) + one["body"].encode())
        for one in there
    ] == stored


# --- what is refused -------------------------------------------------------------------------------


def test_a_run_that_goes_on_has_no_bundle(lab: Lab) -> None:
    material = material_of(lab, "silent")
    with pytest.raises(NotEnded):
        make(replace(material, events=material.events[:-1], rows=material.rows[:-1]))


def test_a_format_that_is_none_is_named(lab: Lab) -> None:
    async def work(home: Embedded) -> None:
        with pytest.raises(InvalidInput, match="no format pdf"):
            await Exporting(home.store, home.reader).export(home.reader.resolve(lab.runs["silent"]).id, "pdf")

    in_home(lab.home, work)


def test_a_damaged_blob_goes_into_no_bundle(lab: Lab) -> None:
    """Before the first byte is out; and one that changes while it is written leaves no whole bundle."""
    material = material_of(lab, "silent")
    with pytest.raises(Damaged, match="not those of the digest"):
        make(replace(material, blob_pieces=lambda digest: iter((b"others",))))
    looks: dict[str, int] = {}

    def changing(digest: str) -> Any:
        looks[digest] = looks.get(digest, 0) + 1
        yield material.blob(digest) if looks[digest] == 1 else b"others"

    pieces = make(replace(material, blob_pieces=changing))
    with pytest.raises(Damaged, match="changed while it was written"):
        b"".join(pieces)


def test_a_missing_body_without_a_tombstone_goes_into_no_bundle(lab: Lab) -> None:
    material = material_of(lab, "silent")
    first = msgspec.structs.replace(material.events[1], body=None)
    with pytest.raises(Damaged, match="#2: the body is missing"):
        make(replace(material, events=(material.events[0], first, *material.events[2:])))


# --- large -----------------------------------------------------------------------------------------


def test_members_and_places_beyond_4_gib_are_told_as_zip_tells_them(tmp_path: Any) -> None:
    """A sparse file stands for the bytes: only what is around them is written and read."""
    layout, sizes = Layout(), {"a": 5 << 30, "b": 7, "c": (4 << 30) - 1, "d": 1}
    path = tmp_path / "large.zip"
    with path.open("wb") as file:
        for name, size in sizes.items():
            file.write(layout.add(name, 0, size))
            file.seek(size, io.SEEK_CUR)
        file.write(layout.end())
    with zipfile.ZipFile(path) as there:
        assert {one.filename: one.file_size for one in there.infolist()} == sizes
        for one in there.infolist():
            with path.open("rb") as file:
                file.seek(one.header_offset)
                assert file.read(4) == b"PK\3\4"


def test_more_members_than_a_short_directory_counts() -> None:
    layout = Layout()
    out = b"".join(layout.add(f"{number:05}", 0, 0) for number in range(70_000))
    with zipfile.ZipFile(io.BytesIO(out + layout.end())) as there:
        assert len(there.infolist()) == 70_000


def test_members_of_a_bundle_are_read_back(lab: Lab) -> None:
    assert members_of(lab.bundles["silent"])["run.json"] == lab.members("silent")["run.json"]
