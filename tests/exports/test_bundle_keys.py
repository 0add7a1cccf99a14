"""Whose word a bundle is: keys that follow each other, that were revoked, and witnesses."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from pathlib import Path

import pytest

import runnotary
from runnotary.app.exporting import Exporting
from runnotary.app.home import Embedded
from runnotary.core import notes
from runnotary.core.chain import ENGINE_ACTOR, ledger_stream
from runnotary.core.errors import Changed
from runnotary.core.events import By, KeyChanged
from runnotary.exports.bundle import make
from runnotary.exports.bundle_keys import Key, NoKey, check_inclusion, key_of, note_of
from runnotary.exports.bundle_zip import Refused
from runnotary.ports import Append
from tests.exports.bundles import (
    Holder,
    Members,
    checked,
    exported,
    in_home,
    lines,
    lines_of,
    members_of,
    refused,
)
from tests.exports.recorded import PATIENCE_S, SILENT

BY = By("user:ada")
WHEN = 1_700_000_000


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home of its own, whose keys a test changes; with one run."""
    (tmp_path / "silent.yaml").write_text(SILENT)
    with runnotary.Client(home=str(tmp_path / "home"), timeout=PATIENCE_S) as client:
        client.run_flow(tmp_path / "silent.yaml", {}, wait=PATIENCE_S)
    return tmp_path / "home"


def rotate(home: Path, *, revoke: bool = False) -> Key:
    """Put another key in the place of the one in use; return the one that was."""
    old = Holder.of(home).key

    async def work(opened: Embedded) -> None:
        await opened.store.change_key("", "revoked" if revoke else "retired", BY, "a test")

    in_home(home, work)
    assert Holder.of(home).key != old
    return old


def test_who_knows_an_older_key_can_trust_a_newer_one(home: Path) -> None:
    (before,) = exported(home, "@latest")
    keys = [rotate(home) for _ in range(3)]
    (bundle,) = exported(home, "@latest")
    assert bundle != before
    for key in [*keys, Holder.of(home).key]:
        assert checked(bundle, key).ok, key
    assert len(lines_of(members_of(bundle)["keys.jsonl"])) == 4
    assert checked(before, keys[0]).ok
    assert "does not vouch for it" in refused(before, keys[1])
    assert "does not vouch for it" in refused(bundle, Holder.stranger(keys[0].name).key)


def test_a_key_that_changes_while_a_run_is_exported_makes_no_bundle_of_two(home: Path) -> None:
    """Between looking and signing large files are hashed; and between the checkpoint and looking."""

    async def work(opened: Embedded) -> bytes:
        exporting, run = Exporting(opened.store, opened.reader), opened.reader.resolve("@latest").id
        material = await exporting.gathered(run)
        await opened.store.change_key("", "retired", BY, "a test")
        with pytest.raises(Changed):
            await asyncio.to_thread(make, material)
        look, looks = exporting._checkpoint, []

        async def late(run: bytes) -> str:
            note = await look(run)
            looks.append(note)
            if len(looks) == 1:
                await opened.store.change_key("", "retired", BY, "a test")
            return note

        exporting._checkpoint = late  # type: ignore[method-assign]
        export = await exporting.export(run, "bundle")
        assert len(looks) == 2
        return b"".join(export.pieces)

    bundle = in_home(home, work)
    assert checked(bundle, Holder.of(home).key).ok


def test_a_key_that_was_revoked_vouches_for_nothing(home: Path) -> None:
    old = rotate(home, revoke=True)
    (bundle,) = exported(home, "@latest")
    assert "does not vouch for it" in refused(bundle, old)
    assert checked(bundle, Holder.of(home).key).ok


def test_a_key_that_was_retired_and_later_revoked_is_said_to_be(home: Path) -> None:
    old = rotate(home)

    async def work(opened: Embedded) -> None:
        stream = ledger_stream("default")
        fact = KeyChanged(old.text, "revoked", BY, "lost")
        await opened.store.append(
            [Append(stream, opened.store.head(stream)[0], (fact,), WHEN * 1_000_000 * 2, ENGINE_ACTOR)]
        )

    in_home(home, work)
    (bundle,) = exported(home, "@latest")
    assert "was revoked by its owner" in refused(bundle, old)
    assert checked(bundle, Holder.of(home).key).ok


def test_nobody_trusts_a_key_over_one_that_was_revoked(home: Path) -> None:
    first, second = rotate(home), rotate(home)

    async def work(opened: Embedded) -> None:
        stream = ledger_stream("default")
        fact = KeyChanged(second.text, "revoked", BY, "stolen")
        await opened.store.append(
            [Append(stream, opened.store.head(stream)[0], (fact,), WHEN * 1_000_000 * 2, ENGINE_ACTOR)]
        )

    in_home(home, work)
    (bundle,) = exported(home, "@latest")
    for known in (first, second):
        assert refused(bundle, known).startswith(f"{second.text} was revoked by its owner")
    assert checked(bundle, Holder.of(home).key).ok


def test_endorsements_that_are_none(home: Path) -> None:
    """By the key holder: each line of keys.jsonl changed, under a manifest that fits."""
    old = rotate(home)
    (bundle,) = exported(home, "@latest")
    holder, members = Holder.of(home), members_of(bundle)
    ring = lines_of(members["keys.jsonl"])
    stranger = Holder.stranger(old.name)

    def made(listed: list[dict[str, object]]) -> bytes:
        return holder.bundle({**members, "keys.jsonl": lines(listed)})

    assert checked(made(ring), old).ok
    for listed in (
        [ring[0], ring[1] | {"endorsed": ""}],
        [ring[0], ring[1] | {"endorsed": b64encode(bytes(64)).decode()}],
        [ring[0], ring[1] | {"endorsed": "?"}],
        [ring[1]],
        [ring[0] | {"key": stranger.key.text}, ring[1]],
    ):
        assert refused(made(listed), old), listed
    assert refused(made([ring[1], ring[0]]), old) == "keys.jsonl does not end with the key in key.vkey"
    assert refused(made([])) == "keys.jsonl does not end with the key in key.vkey"


def test_a_thief_of_no_key_cannot_put_his_own_after_it(home: Path) -> None:
    """A whole bundle by a stranger who claims that the home's key vouches for his."""
    (bundle,) = exported(home, "@latest")
    members, owner = members_of(bundle), Holder.of(home)
    thief = Holder.stranger("runnotary/thief")
    forged = thief.private.sign(notes.endorsement(thief.key.text))
    proof, _, note = members["proof.tlog-proof"].decode().partition("\n\n")
    text = note.rpartition("\n\n")[0] + "\n"
    ring = [
        {"key": owner.key.text, "endorsed": "", "revoked": False},
        {"key": thief.key.text, "endorsed": b64encode(forged).decode(), "revoked": False},
    ]
    members |= {
        "key.vkey": f"{thief.key.text}\n".encode(),
        "keys.jsonl": lines(ring),
        "proof.tlog-proof": f"{proof}\n\n{thief.note(text)}".encode(),
    }
    assert checked(thief.bundle(members)).ok
    assert "does not vouch for it" in refused(thief.bundle(members), owner.key)


# --- witnesses -------------------------------------------------------------------------------------


def cosigned(members: Members, witness: Holder, seconds: int = WHEN) -> Members:
    """Add the line of a witness under the checkpoint, as c2sp.org/tlog-cosignature says."""
    proof = members["proof.tlog-proof"].decode()
    text = proof.partition("\n\n")[2].rpartition("\n\n")[0] + "\n"
    key = Key(witness.name, 4, witness.key.public)
    data = key.id + seconds.to_bytes(8, "big") + witness.private.sign(notes.cosigned(seconds, text))
    line = f"— {witness.name} {b64encode(data).decode()}\n"
    return {**members, "proof.tlog-proof": (proof + line).encode()}


def test_a_witness_that_is_known_is_named_with_its_time(home: Path) -> None:
    (bundle,) = exported(home, "@latest")
    owner, witness, other = Holder.of(home), Holder.stranger("witness.example/w"), Holder.stranger("w2")
    bundle = owner.bundle(cosigned(members_of(bundle), witness))
    known = Key(witness.name, 4, witness.key.public)
    report = checked(bundle, owner.key, (known,))
    assert report.parts[-1] == "witness witness.example/w 2023-11-14T22:13:20.000000Z"
    assert not any("witness" in said for said in report.not_proven)
    for keys in ((), (Key(other.name, 4, other.key.public),), (witness.key,)):
        report = checked(bundle, owner.key, keys)
        assert report.ok
        assert "witness none: the key holder could have rewritten everything" in report.not_proven


def test_a_witness_whose_line_is_of_another_checkpoint_counts_for_nothing(home: Path) -> None:
    (bundle,) = exported(home, "@latest")
    owner, witness = Holder.of(home), Holder.stranger("witness.example/w")
    members = cosigned(members_of(bundle), witness)
    proof = members["proof.tlog-proof"].decode()
    data = b64encode(key_of(Key(witness.name, 4, witness.key.public).text).id + bytes(8 + 64)).decode()
    members["proof.tlog-proof"] = f"{proof.rpartition(' ')[0]} {data}\n".encode()
    report = checked(owner.bundle(members), owner.key, (Key(witness.name, 4, witness.key.public),))
    assert "witness none: the key holder could have rewritten everything" in report.not_proven


@pytest.mark.parametrize("name", ["", "a b", "\x1b[31mred", "\u202egnorw", "a\n", "x" * 201])
def test_a_key_whose_name_would_do_something_to_a_terminal(home: Path, name: str) -> None:
    (bundle,) = exported(home, "@latest")
    stranger = Holder.stranger(name)
    with pytest.raises(NoKey):
        key_of(stranger.key.text)
    members = members_of(bundle) | {"key.vkey": f"{stranger.key.text}\n".encode()}
    report = checked(stranger.bundle(members))
    assert not report.ok
    assert report.wrong.isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "", "a", "a+b+c", "a+00000000+AQ==", "a b+00000000+" + "A" * 44, "\0",
        Key("a", 1, bytes(31)).text, Key("a", 2, bytes(32)).text,
        Key("a", 1, bytes(32)).text.replace("a+", "b+", 1),
    ],
)  # fmt: skip
def test_what_is_no_key(text: str) -> None:
    with pytest.raises(NoKey):
        key_of(text)


def test_a_key_is_the_same_text_as_in_the_product(home: Path) -> None:
    key = Holder.of(home).key
    read = notes.read_key(key.text)
    assert (read.name, read.public, read.id, read.text) == (key.name, key.public, key.id, key.text)
    assert key_of(f"{key.text}\n") == key


@pytest.mark.parametrize(
    "note",
    [
        "text\n",
        "text\n\n",
        "text\n\n— a QUFBQUFB",
        "text\n\n- a QUFBQUFB\n",
        "text\n\n— a QUFBQUF=\n",
        "text\n— a QUE=\n",
    ],
)
def test_what_is_no_note(note: str) -> None:
    assert note_of("text\n\n— a QUFBQUFB\n", "it").signatures == [("a", b"AAAA", b"AA")]
    with pytest.raises(Refused, match="it is not a signed note"):
        note_of(note, "it")


def test_an_entry_is_not_the_root_of_more_than_itself_nor_behind_the_end() -> None:
    leaf = bytes(32)
    check_inclusion(leaf, 0, 1, [], leaf)
    for index, size in ((0, 2), (1, 2), (1, 1), (0, 0), (-1, 1)):
        with pytest.raises(Refused):
            check_inclusion(leaf, index, size, [], leaf)
