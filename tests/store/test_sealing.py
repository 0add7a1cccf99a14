"""Checkpoints of a home in use: when they are made, with which key, where they go, what stops them."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import stat
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from runnotary.app.signing import HomeKey
from runnotary.core import chain, merkle, notes
from runnotary.core import events as ev
from runnotary.core.errors import Conflict, Damaged, NotRecorded
from runnotary.core.notes import COSIGNER, PublicKey
from runnotary.store.keys import KeyFile, public_key_of, verified
from runnotary.store.log import SqliteStore
from runnotary.store.outside import fuller
from runnotary.store.sealing import KEPT_EVERY
from runnotary.store.verify import verify
from runnotary.store.verify_log import Trust
from tests.store.forging import cut, tampered
from tests.store.history import ACTOR, BY, Seeded, Tale, Ticks, assert_appended, flow_of, open_store

Work = Callable[[SqliteStore], Awaitable[Any]]


def used(home: Path, *work: Work, **settings: Any) -> None:
    """Open the home, do some work in it, close it."""

    async def use() -> None:
        store = open_store(home, **settings)
        try:
            for one in work:
                await one(store)
        finally:
            store.close()

    asyncio.run(use())


async def tell(store: SqliteStore, number: int = 1, until: int = 4) -> None:
    await Tale(number, Ticks()).tell(store, until=until)


async def remark(store: SqliteStore, count: int) -> None:
    """Append so many commits of one event to a stream of their own."""
    stream = chain.ledger_stream("remarks")
    seq, _ = store.head(stream)
    for number in range(count):
        event = ev.EngineNoted("remark", {"number": number})
        assert_appended(await store.append([chain_append(stream, seq + number, event)]))


def chain_append(stream: bytes, seq: int, event: ev.Event) -> Any:
    from runnotary.ports import Append

    return Append(stream, seq, (event,), 1_700_000_000_000_000 + seq, ACTOR)


def sizes(home: Path) -> list[int]:
    connection = sqlite3.connect(f"file:{home / 'runnotary.db'}?mode=ro", uri=True)
    try:
        return [row[0] for row in connection.execute("SELECT size FROM checkpoints ORDER BY size")]
    finally:
        connection.close()


def outside(home: Path) -> notes.Checkpoint:
    return notes.read_checkpoint(notes.read_note((home / "checkpoint").read_text()).text)


async def until(found: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not found():
            await asyncio.sleep(0.005)


def test_the_end_of_a_run_is_covered_while_the_home_is_open(tmp_path: Path) -> None:
    async def check(store: SqliteStore) -> None:
        await tell(store)
        last = store.position()
        await until(lambda: (tmp_path / "checkpoint").exists() and outside(tmp_path).size >= last)
        assert store.note() == (tmp_path / "checkpoint").read_text()

    used(tmp_path, check)
    report = verify(tmp_path, deep=True, flow_of=flow_of)
    assert report.ok and report.checkpoint is not None and report.checkpoint.uncovered == 0


def test_what_goes_on_is_covered_after_a_moment_of_rest(tmp_path: Path) -> None:
    async def check(store: SqliteStore) -> None:
        await tell(store, until=2)
        last = store.position()
        await until(lambda: (tmp_path / "checkpoint").exists() and outside(tmp_path).size >= last)

    used(tmp_path, check)


def test_closing_covers_everything(tmp_path: Path) -> None:
    used(tmp_path, lambda store: tell(store, until=3))
    report = verify(tmp_path, flow_of=flow_of)
    assert report.ok and report.checkpoint is not None and report.checkpoint.uncovered == 0


def test_a_checkpoint_that_is_asked_for_covers_all_that_was_acknowledged(tmp_path: Path) -> None:
    async def check(store: SqliteStore) -> None:
        await remark(store, 3)
        made = notes.read_checkpoint(notes.read_note(await store.checkpoint()).text)
        assert made.size == store.position()
        assert await store.checkpoint() == store.note(), "nothing happened since: the same one"

    used(tmp_path, check)


@pytest.mark.parametrize("durability", ["full", "normal"])
def test_a_checkpoint_is_a_row_before_it_goes_out(tmp_path: Path, durability: str) -> None:
    async def check(store: SqliteStore) -> None:
        for number in range(1, 6):
            await tell(store, number)
            if (tmp_path / "checkpoint").exists():
                assert outside(tmp_path).size in sizes(tmp_path) or len(sizes(tmp_path)) == 1

    used(tmp_path, check, durability=durability)
    assert sizes(tmp_path) == [outside(tmp_path).size]


def test_of_many_checkpoints_the_newest_of_each_block_stays_and_every_proof_holds(tmp_path: Path) -> None:
    count = KEPT_EVERY + 300
    kept: list[str] = []

    async def check(store: SqliteStore) -> None:
        for _ in range(5):
            await remark(store, count // 5)
            kept.append(await store.checkpoint())
        new = notes.read_checkpoint(notes.read_note(kept[-1]).text)
        for text in kept[:-1]:
            old = notes.read_checkpoint(notes.read_note(text).text)
            path = store.consistency(old.size, new.size)
            merkle.check_consistency(old.size, new.size, path, old.root, new.root)
        for pos in (1, 2, 255, 256, 257, 1024, new.size):
            (change,) = store.feed(pos - 1, 1)
            leaf = chain.leaf_hash(change.stream, change.seq, head_of(tmp_path, pos))
            merkle.check_inclusion(leaf, pos - 1, new.size, store.inclusion(pos, new.size), new.root)

    used(tmp_path, check)
    first, last = sizes(tmp_path)
    assert first <= KEPT_EVERY < last
    for text in kept:
        assert verify(tmp_path, trust=Trust(checkpoint=text)).ok


def head_of(home: Path, pos: int) -> bytes:
    connection = sqlite3.connect(f"file:{home / 'runnotary.db'}?mode=ro", uri=True)
    try:
        head: bytes = connection.execute("SELECT head FROM log WHERE pos = ?", (pos,)).fetchone()[0]
        return head
    finally:
        connection.close()


def test_tiles_that_were_never_made_are_made_at_the_next_opening(tmp_path: Path) -> None:
    used(tmp_path, lambda store: remark(store, 600))
    connection = sqlite3.connect(tmp_path / "runnotary.db")
    stored = connection.execute("SELECT * FROM tiles").fetchall()
    assert len(stored) == 2
    connection.execute("DELETE FROM tiles")
    connection.commit()
    assert not verify(tmp_path).ok
    used(tmp_path, lambda store: remark(store, 1))
    assert connection.execute("SELECT * FROM tiles").fetchall() == stored
    connection.close()
    assert verify(tmp_path).ok


# --- keys --------------------------------------------------------------------------------------------


def test_the_key_is_its_owners_and_the_ledger_knows_it(tmp_path: Path) -> None:
    used(tmp_path, tell)
    path = tmp_path / "log.key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    key = KeyFile(tmp_path).public_key("", ())
    store = SqliteStore.open_read_only(tmp_path)
    assert {text: event.state for text, event in store.ledger("default").keys.items()} == {key.text: "active"}
    note = notes.read_note(store.note())
    store.close()
    assert verified(key, note.signatures[0], note.text)
    assert public_key_of(key.text, "") == key


def test_a_new_key_is_vouched_for_by_the_old_one(tmp_path: Path) -> None:
    keys: list[PublicKey] = []

    async def change(store: SqliteStore) -> None:
        await tell(store)
        await store.checkpoint()
        keys.append(KeyFile(tmp_path).public_key("", ()))
        keys.append(await store.change_key("lab-2027", "retired", BY, "a year is over"))
        await tell(store, 2)

    used(tmp_path, change)
    old, new = keys
    assert new.name == "lab-2027"
    for known in (old, new, PublicKey("any", old.public)):
        report = verify(tmp_path, flow_of=flow_of, trust=Trust(key=known))
        assert report.ok, report.findings
        assert report.checkpoint is not None and report.checkpoint.key == "lab-2027"
    stranger = (
        KeyFile(tmp_path / "..").public_key("lab-2027", ()) if False else PublicKey("lab-2027", bytes(32))
    )
    assert not verify(tmp_path, flow_of=flow_of, trust=Trust(key=stranger)).ok


def test_whoever_trusts_a_revoked_key_is_told(tmp_path: Path) -> None:
    keys: list[PublicKey] = []

    async def change(store: SqliteStore) -> None:
        await tell(store)
        await store.checkpoint()
        keys.append(KeyFile(tmp_path).public_key("", ()))
        keys.append(await store.change_key("", "revoked", BY, "the laptop is gone"))

    used(tmp_path, change)
    old, new = keys
    store = SqliteStore.open_read_only(tmp_path)
    assert store.ledger("default").keys[new.text].endorsed == ""
    store.close()
    assert verify(tmp_path, flow_of=flow_of, trust=Trust(key=new)).ok
    assert not verify(tmp_path, flow_of=flow_of, trust=Trust(key=old)).ok


def test_a_retired_key_signs_nothing_more(tmp_path: Path) -> None:
    """Whoever kept the old key cannot sign what came after it."""
    stolen = tmp_path / "stolen"
    stolen.mkdir()
    home = tmp_path / "home"

    async def change(store: SqliteStore) -> None:
        await tell(store)
        await store.checkpoint()
        (stolen / "log.key").write_bytes((home / "log.key").read_bytes())
        await store.change_key("", "retired", BY, "")
        await tell(store, 2)

    used(home, change)
    thief = KeyFile(stolen)
    key = thief.public_key("", ())
    note = notes.read_note((home / "checkpoint").read_text())
    forged = notes.Note(note.text, (notes.Signature(key.name, key.id, thief.sign(note.text.encode())),))
    (home / "checkpoint").write_text(str(forged))
    assert {finding.code for finding in verify(home, flow_of=flow_of).findings} == {"checkpoint"}


@pytest.mark.parametrize("known", [True, False])
def test_a_change_of_keys_that_was_interrupted_is_ended_by_the_ledger(tmp_path: Path, known: bool) -> None:
    used(tmp_path, tell)
    file = KeyFile(tmp_path)
    old = file.public_key("", ())
    new = file.draw("next")
    if known:

        async def say(store: SqliteStore) -> None:
            stream = chain.ledger_stream("default")
            seq, _ = store.head(stream)
            facts = (ev.KeyChanged(old.text, "retired", BY), ev.KeyChanged(new.text, "active", BY))
            from runnotary.ports import Append

            assert_appended(await store.append([Append(stream, seq, facts, 1_800_000_000_000_000, ACTOR)]))

        used(tmp_path, say)
    else:
        used(tmp_path, lambda store: tell(store, 2))
    assert KeyFile(tmp_path).public_key("", ()) == (new if known else old)
    assert not (tmp_path / "log.key.next").exists()
    assert verify(tmp_path, flow_of=flow_of).ok


# --- what stops the signer, and nothing else ---------------------------------------------------------


@pytest.mark.parametrize(
    "content", ["", "# public key: nonsense\n", "rubbish\n-----BEGIN PRIVATE KEY-----\n"]
)
def test_an_unusable_key_stops_checkpoints_and_no_run(tmp_path: Path, content: str) -> None:
    used(tmp_path, tell)
    (tmp_path / "log.key").write_text(content)

    async def go_on(store: SqliteStore) -> None:
        await tell(store, 2)
        with pytest.raises(Damaged, match="no checkpoint is signed any more"):
            await store.checkpoint()
        await tell(store, 3)

    used(tmp_path, go_on)
    report = verify(tmp_path, flow_of=flow_of)
    assert report.ok and report.checkpoint is not None and report.checkpoint.uncovered == 8
    assert any("could be cut off unseen, or be forged" in said for said in report.not_proven)


def test_two_roots_of_one_size_are_never_signed(tmp_path: Path) -> None:
    used(tmp_path, tell)
    connection = sqlite3.connect(tmp_path / "runnotary.db")
    connection.execute("UPDATE log SET head = zeroblob(32) WHERE pos = 2")
    connection.commit()
    connection.close()
    (tmp_path / "checkpoint").unlink()

    async def go_on(store: SqliteStore) -> None:
        await tell(store, 2)
        with pytest.raises(Damaged, match="the log has another root at that size"):
            await store.checkpoint()

    used(tmp_path, go_on)
    assert not (tmp_path / "checkpoint").exists()


def test_a_log_that_is_shorter_than_its_checkpoint_is_not_signed(tmp_path: Path) -> None:
    used(tmp_path, tell)
    tampered(tmp_path, lambda one: cut(one, 2), again=True)
    (tmp_path / "checkpoint").unlink()

    async def go_on(store: SqliteStore) -> None:
        with pytest.raises(Damaged, match="the log has 4 entries, and a checkpoint of 6 was signed"):
            await store.checkpoint()

    used(tmp_path, go_on)
    assert not (tmp_path / "checkpoint").exists()


def test_a_note_whose_row_could_not_be_written_goes_nowhere_and_stops_no_run(tmp_path: Path) -> None:
    refuse = "CREATE TEMP TRIGGER {0} BEFORE {1} ON checkpoints BEGIN SELECT RAISE(FAIL, 'page 7'); END"

    async def check(store: SqliteStore) -> None:
        await remark(store, 1)
        kept = await store.checkpoint()
        writer = store._own_writer()
        for trigger in (refuse.format("puts", "INSERT"), refuse.format("thins", "DELETE")):
            await writer.do(lambda said=trigger: writer._connection.execute(said) and None)
        for number in range(1, 4):
            await tell(store, number)
            await remark(store, 1)
        with pytest.raises(Conflict, match="just now"):
            await store.checkpoint()
        assert store.note() == kept
        for name in ("puts", "thins"):
            await writer.do(lambda said=name: writer._connection.execute(f"DROP TRIGGER {said}") and None)
        assert await store.checkpoint() == store.note() != kept

    used(tmp_path, check)
    assert verify(tmp_path, flow_of=flow_of).ok


def test_a_checkpoint_file_that_is_rubbish_is_said_to_be(tmp_path: Path) -> None:
    used(tmp_path, tell)
    (tmp_path / "checkpoint").write_text("rubbish\n")
    with pytest.raises(Damaged, match="put back a copy of it"):
        SqliteStore.open_read_only(tmp_path)
    assert {finding.code for finding in verify(tmp_path, flow_of=flow_of).findings} == {"checkpoint"}


# --- outside -----------------------------------------------------------------------------------------


def test_copies_go_where_they_are_asked_for_and_a_lost_disk_stops_nothing(tmp_path: Path) -> None:
    home, copy, lost = tmp_path / "home", tmp_path / "copy", tmp_path / "not" / "there"
    used(home, tell, copies=(copy, lost))
    assert copy.read_text() == (home / "checkpoint").read_text()
    assert verify(home, flow_of=flow_of).ok


WITNESS = """
import sys, time
sys.path[:0] = {path!r}
from pathlib import Path
from runnotary.core import notes
from runnotary.store.keys import KeyFile
note = notes.read_note(sys.stdin.read())
file = KeyFile(Path({folder!r}))
key = file.public_key("witness.example/w1", ())
cosigner = notes.PublicKey(key.name, key.public, notes.COSIGNER)
now = int(time.time())
data = now.to_bytes(8, "big") + file.sign(notes.cosigned(now, note.text))
print(notes.Signature(cosigner.name, cosigner.id, data).line, end="")
"""


def test_a_witness_signs_beside_the_home_and_counts_for_those_who_know_it(tmp_path: Path) -> None:
    home, witness = tmp_path / "home", tmp_path / "witness"
    witness.mkdir()
    script = tmp_path / "witness.py"
    script.write_text(WITNESS.format(path=sys.path, folder=str(witness)))

    async def check(store: SqliteStore) -> None:
        await tell(store)
        await until(lambda: len(notes.read_note(store.note() or str(EMPTY)).signatures) == 2)

    used(home, check, witness=(sys.executable, str(script)))
    key = KeyFile(witness).public_key("", ())
    known = PublicKey(key.name, key.public, COSIGNER)
    report = verify(home, flow_of=flow_of, trust=Trust(witnesses=(known,)))
    assert report.ok and report.checkpoint is not None
    assert report.checkpoint.witnesses == ("witness.example/w1",)
    stranger = PublicKey(key.name, bytes(32), COSIGNER)
    report = verify(home, flow_of=flow_of, trust=Trust(witnesses=(stranger,)))
    assert report.checkpoint is not None and report.checkpoint.witnesses == ()


EMPTY = notes.Note("x\n", (notes.Signature("x", b"0000", b"0"),))


def test_a_witness_signs_the_last_checkpoint_of_a_home_that_closes(tmp_path: Path) -> None:
    home, witness, script = tmp_path / "home", tmp_path / "witness", tmp_path / "witness.py"
    witness.mkdir()
    script.write_text(WITNESS.format(path=sys.path, folder=str(witness)))
    used(home, tell, witness=(sys.executable, str(script)), copies=(tmp_path / "copy",))
    key = KeyFile(witness).public_key("", ())
    known = PublicKey(key.name, key.public, COSIGNER)
    report = verify(home, flow_of=flow_of, trust=Trust(witnesses=(known,)), copies=[tmp_path / "copy"])
    assert report.ok and report.checkpoint is not None
    assert report.checkpoint.witnesses == ("witness.example/w1",)
    assert (tmp_path / "copy").read_text() == (home / "checkpoint").read_text()

    async def later(store: SqliteStore) -> None:
        assert store.note() == await store.checkpoint() == (home / "checkpoint").read_text()

    used(home, later)


def test_a_file_outside_adds_the_lines_of_witnesses_to_a_note_and_nothing_else(tmp_path: Path) -> None:
    home = tmp_path / "home"
    used(home, tell)
    file, stranger = home / "checkpoint", notes.Signature("w", b"0000", bytes(72)).line
    real, another = file.read_text(), "another" + file.read_text()
    for other in (
        real.replace("\n\n", f"\n\n{stranger}", 1),  # before the home's own
        f"{real.partition(chr(10) * 2)[0]}\n\n{stranger}",  # instead of it
        another + stranger,
        "",
        "rubbish",
    ):
        file.write_text(other)
        assert fuller(home, real) == real
    file.write_text(real + stranger)
    assert fuller(home, real) == real + stranger
    file.unlink()
    assert fuller(home, real) == real


@pytest.mark.parametrize("answer", ["exit 3", "echo rubbish", "true"])
def test_a_witness_that_does_not_sign_stops_nothing(tmp_path: Path, answer: str) -> None:
    used(tmp_path, tell, witness=("sh", "-c", answer))
    assert verify(tmp_path, flow_of=flow_of).ok


@pytest.mark.parametrize(
    "answer", ["cat", "printf '\\n'; tail -n 1", "cat; echo", "printf '\\377'", "printf 'x\\n\\n'; tail -n 1"]
)
def test_whatever_a_witness_answers_the_checkpoint_outside_stays_one(tmp_path: Path, answer: str) -> None:
    used(tmp_path, tell, witness=("sh", "-c", answer))
    assert (tmp_path / "checkpoint").read_text().count("\n\n") == 1
    used(tmp_path, lambda store: remark(store, 1), witness=("sh", "-c", answer))
    assert verify(tmp_path, flow_of=flow_of).ok


@pytest.mark.parametrize("answer", ["sleep 60", "sleep 60 & sleep 60"])
def test_a_home_that_closes_does_not_wait_for_a_witness_that_hangs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: str
) -> None:
    monkeypatch.setattr("runnotary.store.outside.CLOSING_SECONDS", 0.2)
    monkeypatch.setattr("runnotary.store.outside.WITNESS_SECONDS", 600)

    async def work(store: SqliteStore) -> None:
        await tell(store)
        await store.checkpoint()
        await tell(store, 2)

    began = monotonic()
    used(tmp_path, work, witness=("sh", "-c", answer))
    assert monotonic() - began < 30
    assert outside(tmp_path).size == sizes(tmp_path)[-1] == 10, "the last one went out all the same"


def test_after_a_kill_the_home_opens_and_nothing_looks_rolled_back(tmp_path: Path) -> None:
    for seed in range(4):
        child = os.fork()
        if child == 0:
            asyncio.run(killed(tmp_path, seed))
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -9
        store = SqliteStore.open_read_only(tmp_path)
        store.close()
    used(tmp_path, lambda store: remark(store, 1))
    assert verify(tmp_path, flow_of=flow_of).ok


async def killed(home: Path, seed: int) -> None:
    store = SqliteStore.open(home, clock=Ticks(), chance=Seeded(seed), signer=HomeKey(home))
    for number in range(20):
        await tell(store, 100 * seed + number)
    os.kill(os.getpid(), 9)


class Failing(HomeKey):
    """A key that cannot be used for a while."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self.fails = True

    def sign(self, data: bytes) -> bytes:
        if self.fails:
            raise OSError("the disk is full")
        return super().sign(data)


def test_what_fails_for_a_while_is_tried_again(tmp_path: Path) -> None:
    key = Failing(tmp_path)

    async def use() -> None:
        store = SqliteStore.open(tmp_path, clock=Ticks(), chance=Seeded(), signer=key)
        try:
            await tell(store)
            await remark(store, 3)
            with pytest.raises(Conflict, match="just now"):
                await store.checkpoint()
            assert store.note() == ""
            key.fails = False
            assert notes.read_checkpoint(notes.read_note(await store.checkpoint()).text).size >= 8
        finally:
            store.close()

    asyncio.run(use())
    assert verify(tmp_path, flow_of=flow_of).ok


def test_a_ledger_that_takes_no_key_for_a_while_halts_nobody(tmp_path: Path) -> None:
    """The disk is full when the first key is due."""

    async def use(store: SqliteStore) -> None:
        sealing = store._own_writer().sealing
        append = sealing._append

        def refused(facts: tuple[ev.Event, ...]) -> None:
            raise NotRecorded("the ledger of the home refuses a fact: database or disk is full")

        sealing._append = refused  # type: ignore[misc]
        await tell(store)
        with pytest.raises(Conflict, match="just now"):
            await store.checkpoint()
        sealing._append = append  # type: ignore[misc]
        assert notes.read_checkpoint(notes.read_note(await store.checkpoint()).text).size == store.position()

    used(tmp_path, use)
    assert verify(tmp_path, flow_of=flow_of).ok
