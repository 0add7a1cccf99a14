"""Checkpoints, proofs, keys, verification and restore by commands, in a home and against a server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runnotary.core import chain, merkle, notes
from runnotary.core.ids import from_text
from runnotary.store.keys import public_key_of, verified
from tests.cli.served import Served
from tests.cli.terminal import Desk
from tests.database import all_of, copy_home, record_kept, remove_home, remove_record
from tests.store.forging import Change, cut, rehash, retell, told

FLOW = "flow: f\nsteps: {a: {run: 'echo said > out', files: [out]}, b: {run: 'true', needs: [a]}}\n"
OTHER = "flow: other\nsteps: {a: {run: 'true'}}\n"


@pytest.fixture(scope="module")
def whole(shared_desk: Desk) -> Iterator[Desk]:
    shared_desk.write("f.yaml", FLOW)
    shared_desk.write("other.yaml", OTHER)
    shared_desk.ok("start", "f.yaml")
    shared_desk.ok("start", "other.yaml")
    shared_desk.ok("key", "show")
    return shared_desk


@pytest.fixture
def copied(whole: Desk, desk: Desk) -> Desk:
    """A copy of the home, to be worked on or attacked."""
    copy_home(whole.home, desk.home)
    desk.write("f.yaml", FLOW)
    return desk


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("served") / "desk")
    served.path.mkdir(exist_ok=True)
    served.write("f.yaml", FLOW)
    served.ok("start", "f.yaml", "--wait")
    yield served
    served.close()


def check_proof(desk: Desk, text: str, key: str) -> notes.Checkpoint:
    """Check a proof of the newest run with the words of docs/format.md and a key, and nothing else."""
    run = desk.json("run", "show", "@latest:f")
    proof = notes.read_proof(text)
    made = notes.read_checkpoint(proof.note.text)
    (signature,) = proof.note.signatures
    assert verified(public_key_of(key, ""), signature, proof.note.text)
    head = bytes.fromhex(run["log"]["head"].removeprefix("sha256:"))
    leaf = chain.leaf_hash(chain.run_stream(from_text(run["id"])), run["log"]["events"], head)
    merkle.check_inclusion(leaf, proof.index, made.size, proof.path, made.root)
    return made


@pytest.mark.parametrize("place", ["whole", "served"])
def test_a_run_is_proven_by_what_a_stranger_can_check(place: str, request: pytest.FixtureRequest) -> None:
    desk: Desk = request.getfixturevalue(place)
    key = desk.ok("key", "show").out.strip()
    assert key == desk.ok("key", "show", "-o", "name").out.strip()
    text = desk.ok("log", "proof", "@latest:f").out
    made = check_proof(desk, text, key)
    document = desk.ok("log", "proof", "@latest:f", "--format", "json").json
    check_proof(desk, document["proof"], key)
    assert desk.ok("log", "proof", str(document["entry"])).out.startswith("c2sp.org/tlog-proof@v1\n")
    kept = notes.read_checkpoint(notes.read_note(desk.ok("log", "checkpoint").out).text)
    assert kept.size >= made.size
    path = desk.json("log", "consistency", "2", str(kept.size))["path"]
    assert len(path) >= 1
    assert desk.ok("log", "consistency", "1").out.startswith("log of 1 entries and that of ")
    for words in (("log", "proof", "@latest:f"), ("log", "proof", "1")):
        assert desk.ok(*words, "--key", key).out == desk.ok(*words).out
        refused = desk.run(*words, "--key", STRANGER)
        assert (refused.code, refused.out) == (10, "") and "has not signed" in refused.err


STRANGER = notes.PublicKey("stranger", bytes(32)).text


@pytest.mark.parametrize("place", ["whole", "served"])
def test_whoever_kept_a_checkpoint_is_shown_that_the_log_goes_on_from_it(
    place: str, request: pytest.FixtureRequest
) -> None:
    desk: Desk = request.getfixturevalue(place)
    key = desk.ok("key", "show").out.strip()
    kept, later = f"kept-{place}", f"later-{place}"
    desk.ok("log", "checkpoint", "-o", kept, "--force")
    desk.ok("start", "f.yaml", "--wait")
    desk.ok("log", "checkpoint", "--new", "-o", later, "--force")
    done = desk.ok("log", "consistency", kept, "--key", key)
    assert "is the beginning of that of" in done.out and "!" not in done.out
    assert "! its key" in desk.ok("log", "consistency", kept, later).out
    assert desk.json("log", "consistency", kept)["known"] is False
    for words, code, said in (
        ((later, kept), 10, "an older copy, or cut off"),
        ((kept, "--key", STRANGER), 10, "has not signed"),
        ((kept, "--key", ""), 2, "empty"),
        (("f.yaml",), 10, "no checkpoint"),
        ((kept, "nowhere"), 2, "nowhere"),
        ((other_root(desk, kept),), 10, "does not continue it"),
        ((kept, other_root(desk, later)), 10, "does not continue it"),
    ):
        refused = desk.run("log", "consistency", *words)
        assert (refused.code, refused.out) == (code, ""), (words, refused)
        assert said in refused.err


def other_root(desk: Desk, kept: str) -> str:
    """Write a checkpoint of another log of the same length."""
    note = notes.read_note((desk.path / kept).read_text())
    made = notes.read_checkpoint(note.text)
    forged = notes.Note(notes.Checkpoint(made.origin, made.size, bytes(32)).text, note.signatures)
    desk.write(f"forged-{kept}", str(forged))
    return f"forged-{kept}"


@pytest.mark.parametrize("place", ["whole", "served"])
def test_bad_words_are_named(place: str, request: pytest.FixtureRequest) -> None:
    desk: Desk = request.getfixturevalue(place)
    for words, code in (
        (("log", "proof", "ZZZZ"), 3),
        (("log", "proof", "999999"), 3),
        (("log", "consistency", "0"), 2),
        (("log", "consistency", "5", "2"), 2),
        (("log", "consistency", "1", "999999"), 2),
        (("log", "consistency", "one"), 2),
        (("log", "checkpoint", "--size", "1"), 3),
        (("log", "checkpoint", "--new", "--size", "1"), 2),
        (("key", "show", "nobody"), 3),
        (("key", "revoke", "nobody"), 3),
        (("key", "rotate", "--name", "two words"), 2),
        (("verify", "--task", "@latest"), 2),
        (("verify", "--task", "@latest/nothing"), 3),
        (("verify", "--flow", "nothing"), 3),
        (("verify", "@latest", "--flow", "f"), 2),
    ):
        done = desk.run(*words)
        assert (done.code, done.out) == (code, ""), (words, done)
        assert "Traceback" not in done.err


@pytest.mark.parametrize("place", ["whole", "served"])
def test_everything_a_flow_a_run_and_a_task_are_verified(place: str, request: pytest.FixtureRequest) -> None:
    desk: Desk = request.getfixturevalue(place)
    desk.ok("log", "checkpoint", "--new", "--format", "name")
    for words in ((), ("--deep",), ("@latest:f",), ("--flow", "f"), ("--task", "@latest:f/a")):
        done = desk.ok("verify", *words)
        assert done.out.endswith("verify: ok\n")
        assert "✓ checkpoint " in done.out and "! witness none" in done.out
    task = desk.json("verify", "--task", "@latest:f/b")["task"]
    assert task["keys"] == ["b"] and len(task["events"]) == 2


def test_the_newest_checkpoint_is_written_where_it_is_asked_for(copied: Desk) -> None:
    assert copied.ok("log", "checkpoint", "-o", "kept").out == "kept\n"
    assert (copied.path / "kept").read_text() == copied.ok("log", "checkpoint").out
    assert copied.run("log", "checkpoint", "-o", "kept").code == 5
    copied.ok("start", "f.yaml")
    assert copied.ok("verify", "--checkpoint", "kept").out.endswith("verify: ok\n")
    assert copied.ok("verify", "@latest", "--checkpoint", "kept").out.endswith("verify: ok\n")
    copied.ok("log", "proof", "@latest", "-o", "proof")
    notes.read_proof((copied.path / "proof").read_text())
    assert copied.run("verify", "--checkpoint", "nowhere").code == 3
    copied.write("rubbish", "rubbish")
    assert copied.run("verify", "--checkpoint", "rubbish").code == 10


def test_a_run_says_once_it_is_sealed(copied: Desk) -> None:
    run = copied.json("run", "show", "@latest")
    assert run["log"]["sealed"] == copied.ok("log", "checkpoint", "--format", "json").json["size"]


# --- keys ------------------------------------------------------------------------------------------


def test_whoever_knows_the_old_key_can_trust_the_new_one_until_it_is_revoked(copied: Desk) -> None:
    old = copied.ok("key", "show").out
    copied.write("old.pub", old)
    made = copied.json("key", "rotate", "--name", "lab-2027", "--reason", "a year is over")
    assert made["name"] == "lab-2027" and made["endorsed"]
    copied.ok("start", "f.yaml")
    done = copied.ok("verify", "--key", "old.pub")
    assert "key lab-2027, known to you" in done.out
    assert copied.ok("verify", "--key", made["key"]).out.endswith("verify: ok\n")
    listed = copied.json("key", "list")["keys"]
    assert [one["status"] for one in listed] == ["active", "retired"]
    assert listed[1]["reason"] == "a year is over"
    copied.ok("key", "revoke", "lab-2027", "--reason", "stolen")
    assert copied.run("key", "revoke", "lab-2027").code == 5
    refused = copied.run("verify", "--key", "old.pub")
    assert refused.code == 10
    assert "nor vouches for who did" in refused.out and "known to you" not in refused.out


def test_a_key_in_use_and_one_of_before_are_revoked_without_a_word_why(copied: Desk) -> None:
    first = copied.ok("key", "show").out.strip()
    copied.ok("key", "rotate")
    copied.ok("key", "revoke", first)
    copied.ok("key", "revoke", copied.ok("key", "show").out.strip())
    assert [one["status"] for one in copied.json("key", "list")["keys"]] == ["active", "revoked", "revoked"]
    copied.ok("start", "f.yaml")
    assert copied.ok("verify", "--deep").out.endswith("verify: ok\n")


def test_a_key_that_was_lost_is_revoked_and_not_the_one_in_its_place(copied: Desk) -> None:
    (lost,) = copied.json("key", "list")["keys"]
    (copied.home / "log.key").unlink()
    copied.ok("key", "revoke", lost["id"], "--reason", "the laptop is gone")
    new, old = copied.json("key", "list")["keys"]
    assert (new["status"], new["endorsed"], old["status"], old["id"]) == (
        "active",
        False,
        "revoked",
        lost["id"],
    )
    assert copied.ok("verify", "--key", new["key"]).out.endswith("verify: ok\n")
    assert copied.run("verify", "--key", lost["key"]).code == 10


def test_a_pinned_key_is_a_setting(copied: Desk) -> None:
    copied.write("pinned.pub", copied.ok("key", "show").out)
    env = {"RUNNOTARY_KEY": "pinned.pub"}
    assert "known to you" in copied.ok("verify", env=env).out
    stranger = notes.PublicKey("stranger", bytes(32)).text
    assert copied.run("verify", env={"RUNNOTARY_KEY": stranger}).code == 10
    wrong = copied.run("verify", "--key", "no-such-file")
    assert wrong.code == 2 and "no-such-file" in wrong.err


# --- attacks ---------------------------------------------------------------------------------------


def edit(connection: Any) -> None:
    runs = connection.execute("SELECT stream FROM log WHERE substr(stream,1,1) = x'01' ORDER BY stream")
    *_, (stream,) = runs.fetchall()
    seq, _, said = told(connection, stream, "run.finished")
    retell(connection, stream, seq, said | {"outputs": {"forged": True}})


def cut_some(connection: Any) -> None:
    cut(connection, 3)


@pytest.mark.parametrize(("change", "word"), [(edit, "checkpoint"), (cut_some, "an older copy, or cut off")])
@pytest.mark.parametrize("wiped", [False, True])
def test_a_history_made_anew_is_exit_10(copied: Desk, change: Change, word: str, *, wiped: bool) -> None:
    with all_of(copied.home) as connection:
        change(connection)
        if wiped:
            connection.execute("DELETE FROM checkpoints")
        rehash(connection)
    done = copied.run("verify")
    assert done.code == 10
    assert word in done.out
    assert done.out.endswith("verify: FAILED\n")


def rolled_back(desk: Desk) -> None:
    with record_kept(desk.home, desk.path / "yesterday"):
        desk.ok("start", "f.yaml")


def gone(desk: Desk) -> None:
    remove_record(desk.home)


def wiped(desk: Desk) -> None:
    gone(desk)
    (desk.home / "runnotary.db").touch()


@pytest.mark.parametrize(
    "attack",
    [rolled_back, gone, pytest.param(wiped, marks=pytest.mark.own_database("an empty database file"))],
    ids=lambda one: one.__name__,
)
def test_every_command_refuses_a_record_that_was_rolled_back(copied: Desk, attack: object) -> None:
    run = copied.json("run", "show", "@latest")["id"]
    assert callable(attack)
    attack(copied)
    before = (copied.home / "checkpoint").read_bytes()
    for words in (
        ("verify",),
        ("verify", run),
        ("verify", "@latest"),
        ("run", "list"),
        ("run", "show", "@latest"),
        ("start", "f.yaml"),
        ("log", "checkpoint"),
        ("key", "list"),
        ("key", "rotate"),
    ):
        done = copied.run(*words)
        assert done.code == 10, (words, done)
        said = done.out + done.err
        assert "admin restore" in said, (words, said)
        assert "Traceback" not in done.err
    assert (copied.home / "checkpoint").read_bytes() == before


def test_a_copy_of_the_checkpoint_elsewhere_tells_what_the_home_does_not(
    copied: Desk, tmp_path: Path
) -> None:
    """The whole home is replaced by an older one, its checkpoint included."""
    env = {"RUNNOTARY_CHECKPOINT_COPIES": str(tmp_path / "elsewhere")}
    copy_home(copied.home, tmp_path / "yesterday")
    copied.ok("start", "f.yaml", env=env)
    assert (tmp_path / "elsewhere").read_text() == (copied.home / "checkpoint").read_text()
    assert copied.ok("verify", env=env)
    remove_home(copied.home)
    copy_home(tmp_path / "yesterday", copied.home)
    assert copied.ok("verify"), "without the copy nothing can be seen"
    for words in (("verify",), ("run", "list"), ("start", "f.yaml")):
        done = copied.run(*words, env=env)
        assert done.code == 10 and "elsewhere" in done.out + done.err


def test_a_backup_that_is_named_is_an_older_copy_on_purpose(copied: Desk, tmp_path: Path) -> None:
    env = {"RUNNOTARY_CHECKPOINT_COPIES": str(tmp_path / "elsewhere")}
    copied.ok("admin", "backup", "--output", "copy", env=env)
    copied.ok("start", "f.yaml", env=env)
    assert copied.ok("verify", "--home", "copy", env=env).out.endswith("verify: ok\n")
    assert copied.run("verify", env=env | {"RUNNOTARY_HOME": "copy"}).code == 10


# --- restore ---------------------------------------------------------------------------------------


def test_backup_restore_more_runs_and_verify_names_the_restore(copied: Desk) -> None:
    copied.ok("admin", "backup", "--output", "copy")
    done = copied.ok("admin", "restore", "copy", "--home", "new", "--reason", "the disk died")
    assert "a new key signs from now on" in done.out
    copied.ok("start", "f.yaml", "--home", "new")
    report = copied.ok("verify", "--deep", "--home", "new").out
    assert "! restored from a backup of" in report and "the disk died" in report
    (told_,) = copied.json("verify", "--home", "new")["restores"]
    assert told_["lost"] == 0
    assert len(copied.json("key", "list", "--home", "new")["keys"]) == 2


def test_what_a_restore_would_lose_is_agreed_to(copied: Desk) -> None:
    copied.ok("admin", "backup", "--output", "copy")
    copied.ok("start", "f.yaml")
    assert copied.run("admin", "restore", "copy").code == 5, "there is a record"
    gone(copied)
    refused = copied.run("admin", "restore", "copy")
    assert refused.code == 10 and "--accept-loss" in refused.err
    assert copied.run("run", "list").code == 10
    done = copied.ok("admin", "restore", "copy", "--accept-loss")
    assert "that followed are lost" in done.out
    copied.ok("start", "f.yaml")
    assert "entries that followed are lost" in copied.ok("verify", "--deep").out
    assert copied.run("admin", "restore", "nowhere", "--home", "other").code == 3


def test_a_report_is_a_document(copied: Desk) -> None:
    report = json.loads(copied.ok("verify", "-o", "json").out)
    assert report["ok"] and report["findings"] == [] and report["checkpoint"]["uncovered"] == 0
    assert copied.ok("verify", "-o", "name").out == "True\n"
