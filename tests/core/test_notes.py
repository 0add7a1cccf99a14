"""Notes, keys, checkpoints and proofs as text: one text for each, and nothing else is read."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runnotary.core import notes
from runnotary.core.notes import BadNote, Checkpoint, Note, Proof, PublicKey, Signature

NAME = st.from_regex(r"[a-z0-9./-]{1,20}", fullmatch=True)
SIGNATURES = st.builds(Signature, NAME, st.binary(min_size=4, max_size=4), st.binary(min_size=1, max_size=80))
CHECKPOINTS = st.builds(Checkpoint, NAME, st.integers(0, notes.SIZE_MAX), st.binary(min_size=32, max_size=32))
NOTES = st.builds(
    lambda made, signatures: Note(made.text, tuple(signatures)),
    CHECKPOINTS,
    st.lists(SIGNATURES, min_size=1, max_size=4),
)

SPECIFIED = (
    "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n\n"
    "— quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99i"
    "hAQwaqP3ZekRwNtIc=\n"
)


def test_the_example_of_the_specification_is_read() -> None:
    note = notes.read_note(SPECIFIED)
    assert note.text.endswith("ed è subito sera.\n")
    assert [(one.name, one.key_id.hex(), len(one.data)) for one in note.signatures] == [
        ("quasimodo.example/salvatore", "367ba04b", 64)
    ]
    assert str(note) == SPECIFIED


def test_the_key_of_a_public_log_has_the_id_that_it_is_known_by() -> None:
    text = "sum.golang.org+033de0ae+Ac4zctda0e5eza+HJyk9SxEdh+s3Ux18htTTAD8OuAn8"
    key = notes.read_key(text)
    assert (key.name, key.id.hex(), key.text) == ("sum.golang.org", "033de0ae", text)


@given(NAME, st.binary(min_size=32, max_size=32), st.sampled_from([notes.ED25519, notes.COSIGNER]))
def test_a_key_comes_back(name: str, public: bytes, kind: int) -> None:
    key = PublicKey(name, public, kind)
    assert notes.read_key(key.text) == key
    assert notes.read_key(f"{key.text}\n") == key


@given(NOTES)
def test_a_note_and_its_checkpoint_come_back(note: Note) -> None:
    assert notes.read_note(str(note)) == note
    assert notes.read_checkpoint(note.text).text == note.text


@given(NOTES, st.integers(0, notes.SIZE_MAX), st.lists(st.binary(min_size=32, max_size=32), max_size=64))
def test_a_proof_comes_back(note: Note, index: int, path: list[bytes]) -> None:
    proof = Proof(index, tuple(path), note)
    assert notes.read_proof(str(proof)) == proof


@given(NOTES, st.data())
def test_what_is_read_is_written_the_same_or_refused(note: Note, data: st.DataObject) -> None:
    text = str(note)
    at = data.draw(st.integers(0, len(text) - 1))
    letter = data.draw(st.sampled_from("A0+/= \n—\t\x00é"))
    changed = text[:at] + letter + text[at + 1 :]
    try:
        assert str(notes.read_note(changed)) == changed
    except BadNote:
        return


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "origin\n1\n",
        "origin\n01\n" + b64encode(bytes(32)).decode() + "\n",
        "origin\n-1\n" + b64encode(bytes(32)).decode() + "\n",
        "origin\n1\n" + b64encode(bytes(31)).decode() + "\n",
        "origin\n1\n" + b64encode(bytes(32)).decode() + "\nmore\n",
        "orig in\n1\n" + b64encode(bytes(32)).decode() + "\n",
        "origin\n9999999999999999999\n" + b64encode(bytes(32)).decode() + "\n",
    ],
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(BadNote):
        notes.read_checkpoint(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "text\n",
        "text\n\n",
        "text\n\n- name AAAAAAA=\n",
        "text\n\n— name\n",
        "text\n\n— name AAAA\n",
        "text\n\n— name AAAAAAA=",
        "text\n\n— name AAAAAAA=\n\n",
        "te\txt\n\n— name AAAAAAA=\n",
        "text\n\n— na+me AAAAAAA=\n",
        "x" * notes.NOTE_MAX + "\n\n— name AAAAAAA=\n",
    ],
)
def test_what_is_no_note_is_refused(text: str) -> None:
    with pytest.raises(BadNote):
        notes.read_note(text)


@pytest.mark.parametrize(
    "text", ["", "a+b", "a+00000000+AAAA", "a+00000000+" + b64encode(b"\x01" + bytes(32)).decode()]
)
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(BadNote):
        notes.read_key(text)


def test_what_a_witness_signs_holds_the_time() -> None:
    assert notes.cosigned(1679315147, "log\n1\nx\n") == b"cosignature/v1\ntime 1679315147\nlog\n1\nx\n"
