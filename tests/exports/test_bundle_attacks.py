"""Whatever is done to a bundle is found, and said: real zips, changed by whoever has no key or the key."""

from __future__ import annotations

import io
import json
import os
import stat
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable
from hashlib import sha256
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runnotary.core.chain import heads
from runnotary.core.ids import from_text
from runnotary.exports import bundle_zip, verifier
from runnotary.exports.bundle_zip import Layout
from tests.exports.bundles import (
    Holder,
    Members,
    checked,
    lines,
    lines_of,
    members_of,
    refused,
    zipped,
)
from tests.exports.conftest import Lab

Json = Any


# --- bytes -----------------------------------------------------------------------------------------


def test_every_byte_counts(lab: Lab) -> None:
    """Each byte of a bundle in turn, its headers and its directory included."""
    data = bytearray(lab.bundles["silent"])
    for offset in range(len(data)):
        data[offset] ^= 1 << offset % 8
        assert not checked(bytes(data), lab.holder.key).ok, offset
        data[offset] ^= 1 << offset % 8
    assert checked(bytes(data), lab.holder.key).ok


@given(st.data())
def test_any_change_of_a_few_bytes_is_found(lab: Lab, data: st.DataObject) -> None:
    whole = bytearray(lab.bundles["report"])
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    assert checked(bytes(whole)).ok == (bytes(whole) == lab.bundles["report"])


@given(st.data())
def test_cut_off_anywhere_or_longer(lab: Lab, data: st.DataObject) -> None:
    whole = lab.bundles["report"]
    at = data.draw(st.integers(0, len(whole) - 1))
    assert refused(whole[:at])
    assert refused(whole[at + 1 :])
    assert refused(whole[:at] + b"\0" + whole[at:])


def test_a_changed_byte_with_a_checksum_that_fits(lab: Lab) -> None:
    """CRC-32 is no secret: whoever changes a member makes it anew. Every member, one byte each."""
    members = lab.members()
    for name, data in members.items():
        changed = bytearray(data)
        if not changed:
            continue
        changed[len(changed) // 2] ^= 1
        wrong = refused(zipped({**members, name: bytes(changed)}), lab.holder.key)
        assert name in wrong or "MANIFEST" in wrong or "form" in wrong, (name, wrong)


@given(st.binary(max_size=300))
def test_what_is_no_zip(data: bytes) -> None:
    assert refused(data)
    assert refused(b"PK\3\4" + data)


def test_files_that_are_none(lab: Lab) -> None:
    assert refused(b"") == "the file is empty"
    assert refused(b"hello") == "this is no bundle: the file does not begin as a zip with members does"
    assert refused(Layout().end()) == "this is no bundle: the file does not begin as a zip with members does"
    assert "cut off" in refused(lab.bundles["silent"][:-1])
    assert "cut off" in refused(lab.bundles["silent"][:1000])
    assert refused(lab.bundles["silent"] + b"\0") == "bytes follow behind the end of the bundle"
    assert refused(lab.bundles["silent"] * 2).endswith(
        "not that of its members: more or fewer of them, or a comment"
    ) or "follow" in refused(lab.bundles["silent"] * 2)


def test_what_cannot_be_read_from_any_place_is_no_finding() -> None:
    """A pipe: nothing is known about the bundle, so it is neither whole nor wrong."""
    reading, writing = os.pipe()
    os.close(writing)
    with os.fdopen(reading, "rb") as file, pytest.raises(OSError, match="seek"):
        verifier.verify(file)


# --- members ---------------------------------------------------------------------------------------


def test_a_missing_member(lab: Lab) -> None:
    for name in lab.members():
        left = {other: data for other, data in lab.members().items() if other != name}
        assert refused(zipped(left), lab.holder.key) == f"{name} is missing"


def test_an_extra_member(lab: Lab) -> None:
    extra = dict(sorted({**lab.members(), "blobs/sha256/" + "0" * 64: b"more"}.items()))
    assert refused(zipped(extra)).endswith("is there, and MANIFEST does not name it")
    stones = dict(sorted({**lab.members(), "tombstones.jsonl": b""}.items()))
    assert refused(zipped(stones)) == "tombstones.jsonl is there, and MANIFEST does not name it"
    assert refused(zipped([*lab.members().items(), ("zzz", b"")])) == "zzz is no member of a bundle"


def test_a_name_twice(lab: Lab) -> None:
    members = list(lab.members().items())
    (at,) = (number for number, (name, _) in enumerate(members) if name == "run.json")
    assert refused(zipped([*members[: at + 1], members[at], *members[at + 1 :]])) == "run.json is there twice"
    assert refused(zipped([*members, members[at]])) == "run.json is there twice"


def test_members_in_another_order(lab: Lab) -> None:
    members = dict(reversed(lab.members().items()))
    assert "sorted by name" in refused(zipped(members))


@pytest.mark.parametrize(
    "name",
    [
        "../evil", "a/../../evil", "/etc/passwd", "//host/share", "..\\evil", "C:\\evil", "C:evil", "\\evil",
        "blobs/sha256/../../../evil", "blobs\\sha256\\" + "0" * 64, "..", "/", "~/.ssh/authorized_keys/..",
    ],
)  # fmt: skip
def test_a_name_that_leads_elsewhere(lab: Lab, name: str) -> None:
    for members in ([(name, b"x"), *lab.members().items()], [*lab.members().items(), (name, b"x")]):
        assert refused(zipped(members)).endswith("leads out of the bundle")


@pytest.mark.parametrize(
    "name", ["", "RUN.JSON", "run.json ", "run.json\0.txt", "rün.json", "a/", "~", "\x1b[2J"]
)
def test_a_name_that_is_none_of_a_bundle(lab: Lab, name: str) -> None:
    wrong = refused(zipped([(name, b"x"), *lab.members().items()]))
    assert wrong.endswith("is no member of a bundle")
    assert wrong.isprintable()


# --- the zip itself --------------------------------------------------------------------------------


def rewritten(data: bytes, change: Callable[[zipfile.ZipInfo], None], comment: bytes = b"") -> bytes:
    """Write a bundle anew as any zip program would."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as there:
        for name, content in members_of(data).items():
            one = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            one.external_attr = 0o100644 << 16
            change(one)
            there.writestr(one, content)
        there.comment = comment
    return out.getvalue()


def test_the_standard_library_writes_the_same_zip(lab: Lab) -> None:
    """So the form is a common one, and what follows is refused for what it changes."""
    for data in lab.bundles.values():
        assert rewritten(data, lambda one: None) == data


def test_compressed_members(lab: Lab) -> None:
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        bundle = rewritten(
            lab.bundles["silent"], lambda one, method=method: setattr(one, "compress_type", method)
        )
        assert refused(bundle) == "MANIFEST is compressed or encrypted; a bundle holds bytes as they are"


def test_a_bomb_is_refused_before_anything_is_inflated(lab: Lab) -> None:
    """1 GiB of zeros in 1 MB, as a member of its own name."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as there, there.open("MANIFEST", "w") as member:
        for _ in range(64):
            member.write(bytes(1 << 20))
    assert len(out.getvalue()) < 1 << 20
    assert "compressed" in refused(out.getvalue())


@pytest.mark.parametrize("size", [1 << 20, 0x7FFFFFFF, 0xFFFFFFFE])
def test_a_declared_size_that_is_not_there(lab: Lab, size: int) -> None:
    header = Layout().add("MANIFEST", 0, size)
    assert refused(header + b"x").startswith(f"MANIFEST should have {size:,} bytes")


@pytest.mark.parametrize("size", [0xFFFFFFFF, 1 << 40, (1 << 64) - 1])
def test_a_declared_size_beyond_4_gib_that_is_not_there(lab: Lab, size: int) -> None:
    header = Layout().add("MANIFEST", 0, size)
    assert refused(header + b"x").startswith(f"MANIFEST should have {size:,} bytes")


def test_a_short_member_in_the_long_form(lab: Lab) -> None:
    """What zip allows beyond need: a size of 4 GiB that the extra field takes back."""
    name, data = next(iter(lab.members("silent").items()))
    header = bytearray(Layout().add(name, zlib.crc32(data), 0xFFFFFFFF))
    header[-16:] = struct.pack("<2Q", len(data), len(data))
    assert refused(bytes(header) + data) == "the header of MANIFEST is not the one that a bundle has there"


def test_a_long_end_where_a_short_one_does(lab: Lab) -> None:
    data = lab.bundles["silent"]
    count, size, at = len(lab.members("silent")), *struct.unpack("<2I", data[-10:-2])
    end = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 3 << 8 | 45, 45, 0, 0, count, count, size, at)
    end += struct.pack("<4sIQI", b"PK\6\7", 0, at + size, 1)
    assert "directory" in refused(data[:-22] + end + data[-22:])


def test_links_and_other_modes(lab: Lab) -> None:
    def link(one: zipfile.ZipInfo) -> None:
        if one.filename == "run.json":
            one.external_attr = (stat.S_IFLNK | 0o777) << 16

    assert refused(rewritten(lab.bundles["silent"], link)) == "run.json is a link"
    for mode in (0o100755, 0o104755, stat.S_IFDIR | 0o755, 0):
        bundle = rewritten(lab.bundles["silent"], lambda one, m=mode: setattr(one, "external_attr", m << 16))
        assert refused(bundle).startswith("the directory of the zip says something else of MANIFEST")


def test_comments_and_times_and_extra_fields(lab: Lab) -> None:
    data = lab.bundles["silent"]
    assert "comment" in refused(rewritten(data, lambda one: None, comment=b"hello"))
    assert "comment" in refused(data[:-2] + struct.pack("<H", 3) + b"abc")
    for name, value in (("comment", b"x"), ("create_system", 0), ("internal_attr", 1)):
        assert refused(rewritten(data, lambda one, n=name, v=value: setattr(one, n, v))), name
    for flags in (2, 8, 0x800):
        assert refused(data[:6] + struct.pack("<H", flags) + data[8:]).startswith("the header of MANIFEST")
    assert "encrypted" in refused(data[:6] + struct.pack("<H", 1) + data[8:])
    for name, value in (("extra", b"\1\0\0\0"), ("date_time", (2026, 1, 1, 0, 0, 0))):
        wrong = refused(rewritten(data, lambda one, n=name, v=value: setattr(one, n, v)))
        assert wrong == "the header of MANIFEST is not the one that a bundle has there", name


def test_a_directory_of_other_members(lab: Lab) -> None:
    """What others read may not be what we read: names, places and sizes of the directory are compared."""
    data = lab.bundles["silent"]
    at = struct.unpack("<I", data[-6:-2])[0]
    assert refused(data[:at] + data[at:].replace(b"run.json", b"ran.json"))
    fewer = Layout()
    for name, content in list(lab.members("silent").items())[:-1]:
        fewer.add(name, zlib.crc32(content), len(content))
    assert refused(data[:at] + fewer.end())


# --- the record: by whoever has no key ---------------------------------------------------------------


def test_another_run_s_members(lab: Lab) -> None:
    """Each member in turn from another bundle of the same home, under its own manifest or that one's."""
    other = lab.members("calculated")
    for name in other.keys() & lab.members("silent").keys():
        mixed = lab.members("silent") | {name: other[name]}
        if mixed != lab.members("silent"):
            assert refused(zipped(mixed), lab.holder.key), name


def test_a_stranger_s_key_in_place_of_the_home_s(lab: Lab) -> None:
    """All of it signed anew by somebody else: whole in itself, until whoever checks has a key."""
    stranger = Holder.stranger(lab.holder.name)
    members = lab.members()
    proof, _, note = members["proof.tlog-proof"].decode().partition("\n\n")
    text = note.rpartition("\n\n")[0] + "\n"
    members |= {
        "key.vkey": f"{stranger.key.text}\n".encode(),
        "keys.jsonl": lines([{"key": stranger.key.text, "endorsed": "", "revoked": False}]),
        "proof.tlog-proof": f"{proof}\n\n{stranger.note(text)}".encode(),
    }
    bundle = stranger.bundle(members)
    report = checked(bundle)
    assert report.ok
    assert "key: from the bundle, unproven" in report.not_proven
    assert "does not vouch for it" in refused(bundle, lab.holder.key)


def test_only_one_of_the_signatures_by_a_stranger(lab: Lab) -> None:
    stranger = Holder.stranger(lab.holder.name)
    members = lab.members()
    assert refused(stranger.bundle(members)) == (
        "MANIFEST was not signed by the key in key.vkey, or was changed"
    )
    members |= {"key.vkey": f"{stranger.key.text}\n".encode()}
    assert refused(stranger.bundle(members)) == (
        "the checkpoint was not signed by the key in key.vkey, or was changed"
    )


def test_a_second_signature_under_the_manifest(lab: Lab) -> None:
    members = lab.members()
    members["MANIFEST"] += Holder.stranger("another").note("x\n").rpartition("\n\n")[2].encode()
    assert "MANIFEST" in refused(zipped(members))


# --- the record: by whoever holds the key of the home --------------------------------------------------


def forged(lab: Lab, change: Callable[[Members], None], flow: str = "report") -> str:
    """Change members, make the manifest anew with the home's own key; return what is found."""
    members = lab.members(flow)
    change(members)
    return refused(lab.holder.bundle(members), lab.holder.key)


def document(name: str, change: Callable[[Json], Any]) -> Callable[[Members], None]:
    def changed(members: Members) -> None:
        document = json.loads(members[name])
        change(document)
        members[name] = (json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()

    return changed


def rows(name: str, change: Callable[[list[Json]], Any]) -> Callable[[Members], None]:
    def changed(members: Members) -> None:
        listed = lines_of(members[name])
        change(listed)
        members[name] = lines(listed)

    return changed


def test_a_manifest_made_anew_over_nothing_changed_holds(lab: Lab) -> None:
    assert checked(lab.holder.bundle(lab.members()), lab.holder.key).ok


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("status", "success"), ("reason", None), ("error", None), ("outputs", {"x": 1}),
        ("created_by", "user:eve"),
        ("created_at", "2020-01-01T00:00:00.000000Z"), ("ended_at", "2020-01-01T00:00:00.000000Z"),
        ("inputs", {}), ("label", "another"), ("definition_hash", "sha256:" + "0" * 64), ("new", "field"),
        ("id", "0" * 26), ("log", {"events": 1, "head": "sha256:" + "0" * 64}),
    ],
)  # fmt: skip
def test_run_json_that_says_something_else(lab: Lab, field: str, value: Json) -> None:
    wrong = forged(lab, document("run.json", lambda run: run.update({field: value})), "failing")
    assert wrong == "run.json does not say what the events say"


@pytest.mark.parametrize(
    ("field", "value"),
    [("exit_code", 0), ("host", "elsewhere"), ("verdict", "success"), ("exited_at", "2020-01-01T00:00:00Z")],
)
def test_tasks_json_that_says_something_else(lab: Lab, field: str, value: Json) -> None:
    def change(tasks: Json) -> None:
        tasks["broken"]["attempts"][-1]["end"][field] = value

    wrong = forged(lab, document("tasks.json", change), "failing")
    assert wrong == "tasks.json does not say what the events say"


def test_an_event_whose_body_says_something_else(lab: Lab) -> None:
    def change(events: list[Json]) -> None:
        events[-1]["body"] = events[-1]["body"].replace("failed", "success")

    assert forged(lab, rows("events.jsonl", change), "failing").startswith("event 7 was changed")


def test_events_that_are_missing_or_in_another_order(lab: Lab) -> None:
    assert "event" in forged(lab, rows("events.jsonl", lambda events: events.pop(3)))
    assert "event" in forged(lab, rows("events.jsonl", lambda events: events.pop(0)))
    assert "event" in forged(lab, rows("events.jsonl", list.reverse))
    assert "cover" in forged(lab, rows("events.jsonl", lambda events: events.pop()))
    assert "cover" in forged(lab, rows("events.jsonl", list.clear))

    def fewer(members: Members) -> None:
        rows("log.jsonl", lambda log: log.pop())(members)
        last = lines_of(members["log.jsonl"])[-1]["seq"]
        rows("events.jsonl", lambda events: events.__delitem__(slice(last, None)))(members)

    assert forged(lab, fewer) == "the events are not those of one run from its beginning to its end"


def late(events: list[Json]) -> None:
    """A task starts after the end of the run."""
    events.append(events[1] | {"envelope": events[-1]["envelope"][:48] + events[1]["envelope"][48:]})


def newer(events: list[Json]) -> None:
    events[1]["envelope"] = events[1]["envelope"][:52] + "0002" + events[1]["envelope"][56:]


def backwards(events: list[Json]) -> None:
    events[-1]["envelope"] = "00" * 8 + events[-1]["envelope"][16:]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda events: events.pop(0), "the events are not those of one run"),
        (lambda events: events.append(dict(events[-1])), "the events are not those of one run"),
        (late, "the events are not those of one run"),
        (newer, "a later release wrote it"),
        (backwards, "does not stand in its place"),
    ],
)
def test_a_history_that_no_run_has(lab: Lab, change: Callable[[list[Json]], Any], said: str) -> None:
    members = lab.members("silent")
    assert checked(lab.holder.history(members, lambda events: None), lab.holder.key).ok
    assert said in refused(lab.holder.history(members, change), lab.holder.key)


def test_a_log_that_ends_before_the_events(lab: Lab) -> None:
    wrong = forged(lab, rows("log.jsonl", lambda log: log.pop()), "silent")
    assert wrong.startswith("the log does not cover 4 events")


def test_what_changes_between_two_looks(lab: Lab) -> None:
    file = io.BytesIO(lab.bundles["silent"])
    opened = bundle_zip.Zip(file)
    for name, read in (("run.json", opened.read), ("log.jsonl", lambda name: list(opened.lines(name)))):
        file.getbuffer()[opened.members[name].offset + 3] ^= 1
        with pytest.raises(bundle_zip.Refused, match=f"{name} changed while|is no JSON"):
            read(name)


def test_members_and_lines_that_nobody_should_hold(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = forged(lab, lambda members: members.update({"log.jsonl": members["log.jsonl"][:-1]}))
    assert wrong == "log.jsonl holds a line that is too long, or does not end"
    monkeypatch.setattr(bundle_zip, "WHOLE_MAX", 10)
    assert refused(lab.bundles["silent"]) == "key.vkey is longer than 10 bytes"


def test_a_body_that_is_missing_and_nothing_says_why(lab: Lab) -> None:
    def change(events: list[Json]) -> None:
        events[2] |= {"body": None, "nonce": ""}

    wrong = forged(lab, rows("events.jsonl", change))
    assert wrong == "tombstones.jsonl is missing"

    def empty(members: Members) -> None:
        rows("events.jsonl", change)(members)
        members["tombstones.jsonl"] = b""

    assert forged(lab, empty) == "event 3: its body is missing, and nothing says that it was erased"


def test_a_log_that_says_something_else(lab: Lab) -> None:
    for change in (
        lambda log: log[-1].update(pos=log[-1]["pos"] - 1),
        lambda log: log[-1].update(pos=log[-1]["pos"] + 1),
        lambda log: log[-1].update(head="00" * 32),
        lambda log: log[0].update(from_seq=2),
        lambda log: log[0].update(pos=log[1]["pos"]),
        lambda log: log.append(dict(log[-1], seq=99)),
        lambda log: log.clear(),
    ):
        assert forged(lab, rows("log.jsonl", change))


def test_another_run_s_events_log_or_proof(lab: Lab) -> None:
    other = lab.members("failing")
    for names in (
        ["events.jsonl"],
        ["log.jsonl"],
        ["proof.tlog-proof"],
        ["events.jsonl", "log.jsonl"],
        ["log.jsonl", "proof.tlog-proof"],
        ["events.jsonl", "log.jsonl", "proof.tlog-proof"],
        ["events.jsonl", "log.jsonl", "proof.tlog-proof", "run.json", "tasks.json"],
    ):
        wrong = forged(
            lab, lambda members, names=names: members.update({name: other[name] for name in names})
        )
        assert wrong, names


def test_a_proof_of_another_entry_size_or_root(lab: Lab) -> None:
    text = lab.members()["proof.tlog-proof"].decode()
    head, index, *path = text.partition("\n\n")[0].split("\n")
    number = int(index.removeprefix("index "))
    for changed in (
        text.replace(index, f"index {number + 1}"),
        text.replace(index, f"index 0{number}"),
        text.replace(head, "c2sp.org/tlog-proof@v2"),
        text.replace(path[0] + "\n", "", 1),
        text.replace(path[0], f"{path[0]}\n{path[0]}", 1),
        text.replace(path[0], path[-1], 1) if path[0] != path[-1] else text.replace(path[0], "AAAA"),
    ):
        assert changed != text
        assert forged(
            lab, lambda members, changed=changed: members.update({"proof.tlog-proof": changed.encode()})
        )


def test_blobs_that_are_missing_more_or_others(lab: Lab) -> None:
    name = next(name for name in lab.members() if name.startswith("blobs/"))
    assert forged(lab, lambda members: members.pop(name)) in (
        f"{name} is missing, and the events name it",
        f"{name} is missing",
    )
    more = "blobs/sha256/2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae"
    wrong = forged(lab, lambda members: members.update({more: b"foo"}))
    assert wrong == f"{more} is there, and nothing in the events names it"
    wrong = forged(lab, lambda members: members.update({name: b"others"}))
    assert wrong == f"{name} holds other bytes than its name says"


def test_a_manifest_with_a_path_twice(lab: Lab) -> None:
    members = lab.holder.resigned(lab.members())
    text = members["MANIFEST"].decode().rpartition("\n\n")[0] + "\n"
    last = text.splitlines()[-1]
    members["MANIFEST"] = lab.holder.note(f"{text}{last}\n").encode()
    assert refused(zipped(members)) == "MANIFEST names verify.py twice"


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("runnotary.bundle1", "runnotary.bundle2"),
        lambda text: text.replace("\nrun ", "\nrun 00"),
        lambda text: text.replace("\nrun ", "\n"),
        lambda text: text + "one two three four\n",
        lambda text: text + "../x\n",
        lambda text: text + f"sha256:{'0' * 64} 1 ../../x\n",
        lambda text: "",
    ],
)
def test_a_manifest_of_another_form(lab: Lab, change: Callable[[str], str]) -> None:
    members = lab.members()
    text = members["MANIFEST"].decode().rpartition("\n\n")[0] + "\n"
    members["MANIFEST"] = lab.holder.note(change(text)).encode()
    assert refused(zipped(members), lab.holder.key)


def test_run_and_tasks_of_any_length_are_compared(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """They grow with the run, and nobody has to hold them as they lie."""
    monkeypatch.setattr(bundle_zip, "WHOLE_MAX", len(lab.members()["tasks.json"]) - 1)
    assert checked(lab.bundles["report"], lab.holder.key).ok


def test_a_body_that_a_later_python_reads_and_nobody_could_write(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From 3.12 on `json` reads more levels than it writes."""
    limit, loads = sys.getrecursionlimit(), json.loads

    def deeply(data: bytes) -> Json:
        sys.setrecursionlimit(20_000)
        try:
            return loads(data)
        finally:
            sys.setrecursionlimit(limit)

    def change(events: list[Json]) -> None:
        deep = "[" * 5_000 + "]" * 5_000
        body = events[-1]["body"][:-1] + f',"metrics":{deep}}}'
        digest = sha256(bytes.fromhex(events[-1]["nonce"]) + body.encode()).hexdigest()
        events[-1] |= {"body": body, "envelope": events[-1]["envelope"][:56] + digest}

    members = lab.members("silent")
    rows("events.jsonl", change)(members)
    monkeypatch.setattr(verifier._Check, "_checkpoint", lambda *_: (None, 0, b""))
    monkeypatch.setattr(bundle_zip.json, "loads", deeply)
    log = lines_of(members["log.jsonl"])
    events, stream = lines_of(members["events.jsonl"]), b"\1" + from_text(lab.runs["silent"])
    envelopes = [bytes.fromhex(one["envelope"]) for one in events]
    log[-1]["head"] = list(heads(stream, envelopes))[-1].hex()
    members["log.jsonl"] = lines(log)
    assert refused(lab.holder.bundle(members)) == "a member is nested too deeply"


@given(st.data())
def test_members_of_any_content_under_a_true_signature(lab: Lab, data: st.DataObject) -> None:
    """Nothing that a key holder writes does more than be refused."""
    members = lab.members("calculated")
    name = data.draw(
        st.sampled_from(sorted(members.keys() - {"MANIFEST", "README.txt", "verify.py", "report.html"}))
    )
    deep = b"[" * 100_000
    made = data.draw(
        st.one_of(
            st.binary(max_size=200),
            st.sampled_from(
                [
                    deep,
                    deep + b"\n",
                    b"null\n",
                    b"[]\n",
                    b"{}\n",
                    b"1e999\n",
                    b'"\xed\xa0\x80"\n',
                    b"9" * 5000 + b"\n",
                ]
            ),
            st.builds(
                lambda one: json.dumps(one).encode() + b"\n",
                st.recursive(st.none() | st.integers() | st.text(), st.lists),
            ),
        )
    )
    assert refused(lab.holder.bundle({**members, name: made}), lab.holder.key)
