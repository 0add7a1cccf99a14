"""Keys of a home: which may sign, who vouches for whom, what becomes of one that is lost or out of use."""

from __future__ import annotations

import asyncio
from base64 import b64encode
from pathlib import Path

import pytest

from runnotary.app.signing import HomeKey
from runnotary.core import notes
from runnotary.core.errors import Damaged
from runnotary.core.events import KeyChanged
from runnotary.core.notes import BadNote, PublicKey
from runnotary.store.key_ring import KeyRing
from runnotary.store.keys import KeyFile
from runnotary.store.log import SqliteStore
from runnotary.store.verify import verify
from runnotary.store.verify_log import Trust
from tests.store.history import BY, Seeded, Tale, Ticks, flow_of, open_store


def states(store: SqliteStore) -> list[str]:
    return [event.state for event in store.ledger("default").keys.values()]


@pytest.mark.parametrize("state", ["retired", "revoked"])
def test_a_key_that_is_out_of_use_signs_nothing_more(tmp_path: Path, state: str) -> None:
    """Its file is put back, from a backup of the disk perhaps."""

    async def use() -> None:
        store = open_store(tmp_path)
        await Tale(1, Ticks()).tell(store)
        await store.checkpoint()
        old = (tmp_path / "log.key").read_bytes()
        await store.change_key("", state, BY, "")  # type: ignore[arg-type]
        store.close()
        (tmp_path / "log.key").write_bytes(old)
        store = SqliteStore.open(tmp_path, clock=Ticks(), chance=Seeded(2), signer=HomeKey(tmp_path))
        await Tale(2, Ticks()).tell(store)
        with pytest.raises(Damaged, match=f"is {state}"):
            await store.checkpoint()
        assert states(store) == [state, "active"]
        store.close()

    asyncio.run(use())
    report = verify(tmp_path, flow_of=flow_of)
    assert report.ok, report.findings
    assert report.checkpoint is not None and report.checkpoint.uncovered > 0


def test_a_key_whose_file_is_gone_is_out_of_use(tmp_path: Path) -> None:
    async def use() -> None:
        store = open_store(tmp_path)
        await Tale(1, Ticks()).tell(store)
        store.close()
        (tmp_path / "log.key").unlink()
        store = SqliteStore.open(tmp_path, clock=Ticks(), chance=Seeded(2), signer=HomeKey(tmp_path))
        await Tale(2, Ticks()).tell(store)
        await store.checkpoint()
        assert states(store) == ["retired", "active"]
        store.close()

    asyncio.run(use())
    assert verify(tmp_path, flow_of=flow_of).ok


class Stuck(HomeKey):
    """A key whose successor cannot be put in its place."""

    def renew(self) -> None:
        raise OSError("the disk is full")


def test_a_change_that_stops_half_way_leaves_nothing_signed_by_the_old_key(tmp_path: Path) -> None:
    async def use() -> None:
        store = SqliteStore.open(tmp_path, clock=Ticks(), chance=Seeded(), signer=Stuck(tmp_path))
        await Tale(1, Ticks()).tell(store)
        with pytest.raises(OSError, match="full"):
            await store.change_key("next", "retired", BY, "")
        await Tale(2, Ticks()).tell(store)
        store.close()

    asyncio.run(use())
    assert verify(tmp_path, flow_of=flow_of).ok

    async def again() -> None:
        store = SqliteStore.open(tmp_path, clock=Ticks(), chance=Seeded(2), signer=HomeKey(tmp_path))
        assert "— next " in await store.checkpoint()
        store.close()

    asyncio.run(again())
    assert verify(tmp_path, flow_of=flow_of).ok


def test_a_revoked_key_between_two_others_breaks_the_line(tmp_path: Path) -> None:
    known: list[PublicKey] = []

    async def use() -> None:
        store = open_store(tmp_path)
        await Tale(1, Ticks()).tell(store)
        await store.checkpoint()
        known.append(KeyFile(tmp_path).public_key("", ()))
        known.append(await store.change_key("second", "retired", BY, ""))
        known.append(await store.change_key("third", "retired", BY, ""))
        assert verify(tmp_path, flow_of=flow_of, trust=Trust(key=known[0])).ok
        revoked = KeyChanged(known[1].text, "revoked", BY, "stolen")
        store._own_writer().do(lambda: store._own_writer()._note((revoked,)))
        await store.checkpoint()
        store.close()

    asyncio.run(use())
    assert [verify(tmp_path, flow_of=flow_of, trust=Trust(key=key)).ok for key in known] == [
        False,
        False,
        True,
    ]


class Pair:
    """A key of an attacker's own, under any name."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._file = KeyFile(folder)
        self._public = self._file.public_key("x", ()).public

    def named(self, name: str) -> PublicKey:
        return PublicKey(name, self._public)

    def signed(self, name: str, text: str) -> notes.Note:
        data = self._file.sign(text.encode())
        return notes.Note(text, (notes.Signature(name, self.named(name).id, data),))

    def endorses(self, key: PublicKey) -> str:
        return b64encode(self._file.sign(notes.endorsement(key.text))).decode()


def test_keys_that_vouch_for_each_other_in_a_circle_vouch_for_nobody_else(tmp_path: Path) -> None:
    one, two, ring = Pair(tmp_path / "one"), Pair(tmp_path / "two"), KeyRing()
    ring.learn(KeyChanged(one.named("a").text, "active", BY), 1)
    for pos, (before, after) in enumerate([(one, two.named("b")), (two, one.named("c"))], start=2):
        ring.learn(KeyChanged(after.text, "active", BY, "", before.endorses(after)), pos)
    assert ring.vouches(one.named("a"), two.named("b"))
    assert not ring.vouches(PublicKey("stranger", bytes(32)), one.named("c"))


def test_what_is_said_of_a_key_later_gives_it_no_more_time(tmp_path: Path) -> None:
    one, ring = Pair(tmp_path / "one"), KeyRing()
    for pos, state in ((2, "active"), (5, "retired"), (9, "revoked"), (12, "active")):
        ring.learn(KeyChanged(one.named("a").text, state, BY), pos)  # type: ignore[arg-type]
    note = one.signed("a", "text\n")
    assert [size for size in range(20) if ring.signer(note, size)] == [2, 3, 4]


def test_a_key_that_was_revoked_stays_so(tmp_path: Path) -> None:
    one, ring = Pair(tmp_path / "one").named("a"), KeyRing()
    for pos, state in enumerate(("active", "revoked", "retired"), start=1):
        ring.learn(KeyChanged(one.text, state, BY), pos)  # type: ignore[arg-type]
    assert not ring.vouches(one, one)


@pytest.mark.parametrize("name", ["a\x1b[31m", "a\x00", "a\x7f", "a\udcff", "a b", "a+b", "a\u00a0b", ""])
def test_a_name_that_no_note_can_hold_is_none(name: str) -> None:
    assert not notes.is_name(name)
    with pytest.raises(BadNote):
        notes.read_key(f"{name}+00000000+AAAA")


@pytest.mark.parametrize("name", ["a", "é", "runnotary/01ABC", "x" * 200])
def test_a_name_that_is_one_comes_back_in_a_note(name: str) -> None:
    assert notes.is_name(name)
    note = notes.Note("text\n", (notes.Signature(name, b"1234", b"5"),))
    assert notes.read_note(str(note)) == note
