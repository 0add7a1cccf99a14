"""A run whose words were erased still has a bundle: its envelopes, and the tombstone that says why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import runnotary
from runnotary.core.errors import RunErased, RunNotFound
from tests.cli.terminal import Desk
from tests.exports.bundles import Holder, Members, checked, exported, lines, lines_of, members_of, refused
from tests.exports.recorded import PATIENCE_S, SILENT

Json = Any


class Erased:
    """A home with two runs, one of them erased; and the bundles of both."""

    def __init__(self, place: Path) -> None:
        self.home = place / "home"
        (place / "silent.yaml").write_text(SILENT)
        with runnotary.Client(home=str(self.home), timeout=PATIENCE_S) as client:
            self.run, self.other = (
                client.run_flow(place / "silent.yaml", {}, wait=PATIENCE_S, label="Ada's").id
                for _ in range(2)
            )
            client.export_run(self.run, place / "before.zip")
            client.erase_run(self.run, reason="asked for by\x1b[31m Ada")
            client.export_run(self.run, place / "after.zip")
            with pytest.raises(RunErased):
                client.export_run(self.run, place / "page.html", format="html")
            client.purge_run(self.other, reason="no use")
            with pytest.raises(RunNotFound):
                client.export_run(self.other, place / "other.zip")
        self.before, self.after = (place / "before.zip").read_bytes(), (place / "after.zip").read_bytes()
        self.holder = Holder.of(self.home)


@pytest.fixture(scope="module")
def erased(tmp_path_factory: pytest.TempPathFactory) -> Erased:
    return Erased(tmp_path_factory.mktemp("erased"))


def test_what_is_left_verifies_and_says_who_erased_it_and_why(erased: Erased) -> None:
    report = checked(erased.after, erased.holder.key)
    assert report.ok, report
    assert report.run == erased.run
    (said,) = (one for one in report.not_proven if "erased" in one)
    assert said.startswith("what 4 events said: erased by user:")
    assert said.endswith(r"'asked for by\x1b[31m Ada'")
    assert report.checked["blobs"] == 0
    assert report.checked["events"] == 4


def test_nothing_of_what_was_said_is_in_it(erased: Erased) -> None:
    before, after = members_of(erased.before), members_of(erased.after)
    assert any(b"Ada's" in data for data in before.values())
    assert not any(b"Ada's" in data for data in after.values())
    assert not any(name.startswith("blobs/") for name in after)
    assert "report.html" not in after
    there = lines_of(after["events.jsonl"])
    assert all(one["body"] is None and one["nonce"] == "" for one in there)
    assert [one["envelope"] for one in there] == [one["envelope"] for one in lines_of(before["events.jsonl"])]
    document = json.loads(after["run.json"])
    assert (document["id"], document["status"], document["created_by"]) == (erased.run, None, None)


def test_a_bundle_made_before_still_verifies(erased: Erased) -> None:
    """What somebody else keeps is theirs; nothing here can take it back."""
    assert checked(erased.before, erased.holder.key).ok


def test_it_is_the_same_file_every_time(erased: Erased) -> None:
    first, again = exported(erased.home, erased.run, erased.run)
    assert first == again


def forged(erased: Erased, change: Any) -> str:
    members = members_of(erased.after)
    change(members)
    return refused(erased.holder.bundle(members), erased.holder.key)


def stone(change: Any) -> Any:
    def changed(members: Members) -> None:
        (one,) = lines_of(members["tombstones.jsonl"])
        change(one)
        members["tombstones.jsonl"] = lines([one])

    return changed


def test_bodies_that_are_missing_without_their_tombstone(erased: Erased) -> None:
    assert forged(erased, lambda members: members.pop("tombstones.jsonl")) == "tombstones.jsonl is missing"
    wrong = forged(erased, lambda members: members.update({"tombstones.jsonl": b""}))
    assert wrong == "event 1: its body is missing, and nothing says that it was erased"


def test_a_tombstone_that_is_not_that_of_the_log(erased: Erased) -> None:
    """By the key holder: whatever is changed in it, the log has another."""
    (true,) = lines_of(members_of(erased.after)["tombstones.jsonl"])
    body = json.loads(true["body"])
    for change in (
        {"body": json.dumps(body | {"by": {"principal": "user:eve"}})},
        {"body": json.dumps(body | {"reason": "another"})},
        {"body": json.dumps(body | {"stream": "run/" + "0" * 26})},
        {"nonce": "00" * 16},
        {"pos": true["pos"] - 1},
        {"pos": 1},
        {"seq": true["seq"] - 1},
        {"from_seq": true["from_seq"] - 1},
        {"prev": "00" * 32},
        {"path": []},
        {"envelopes": []},
        {"stream": "03" + b"other".hex()},
        {"stream": "01" + "00" * 16},
    ):
        assert forged(erased, stone(lambda one, change=change: one.update(change))), change


def test_a_tombstone_of_one_run_explains_no_other(erased: Erased, tmp_path: Path) -> None:
    (tmp_path / "silent.yaml").write_text(SILENT)
    with runnotary.Client(home=str(tmp_path / "home"), timeout=PATIENCE_S) as client:
        runs = [client.run_flow(tmp_path / "silent.yaml", {}, wait=PATIENCE_S).id for _ in range(2)]
        for run in runs:
            client.erase_run(run, reason="both")
    one, other = (members_of(data) for data in exported(tmp_path / "home", *runs))
    mixed = one | {"tombstones.jsonl": other["tombstones.jsonl"]}
    holder = Holder.of(tmp_path / "home")
    assert refused(holder.bundle(mixed), holder.key) == "a tombstone is of another run"
    both = one["tombstones.jsonl"] + other["tombstones.jsonl"]
    assert refused(holder.bundle(one | {"tombstones.jsonl": both})) == "a tombstone is of another run"


def test_bodies_put_back_are_those_of_the_envelopes(erased: Erased) -> None:
    """What others kept fits again; anything else does not."""
    whole = members_of(erased.before)
    kept = members_of(erased.after) | {
        name: data for name, data in whole.items() if name.startswith("blobs/") or name == "events.jsonl"
    }
    kept |= {"run.json": whole["run.json"], "tasks.json": whole["tasks.json"]}
    assert checked(erased.holder.bundle(kept), erased.holder.key).ok
    changed = kept["events.jsonl"].replace(b"Ada's", b"Eve's")
    assert "was changed" in refused(erased.holder.bundle(kept | {"events.jsonl": changed}))


def test_the_command(erased: Erased, tmp_path: Path) -> None:
    desk = Desk(tmp_path)
    desk.ok("run", "export", erased.run, "--home", str(erased.home), "--output", "left.zip")
    assert "! what 4 events said: erased by " in desk.ok("verify", "left.zip").out
    done = desk.run("run", "export", erased.run, "--home", str(erased.home), "--format", "html")
    assert (done.code, "was erased" in done.err) == (3, True)
