"""Envelopes and the chain: every bit counts, and what was sealed opens again."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runnotary.core import chain
from runnotary.core.events import By, EngineNoted, KeyChanged, TaskStopping, UnknownEvent

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
actors = st.binary(min_size=16, max_size=16)
hashes = st.binary(min_size=32, max_size=32)
streams = st.binary(min_size=2, max_size=65)
seqs = st.integers(1, 2**63 - 1)
times = st.integers(0, 2**63 - 1)
events = st.builds(EngineNoted, text, st.dictionaries(text, st.integers(0, 9) | text)) | st.builds(
    TaskStopping, text, st.integers(1, 99), st.sampled_from(["cancelled", "timeout", "stopped"])
)


@given(streams, seqs, hashes, times, actors, events, actors)
def test_what_was_sealed_opens_again(
    stream: bytes, seq: int, prev: bytes, at: int, actor: bytes, event: Any, nonce: bytes
) -> None:
    sealed = chain.seal(stream, seq, prev, at, actor, event, nonce)
    assert len(sealed.envelope) == chain.ENVELOPE_SIZE == 60
    assert sealed.body.startswith(nonce)
    assert chain.unpack(sealed.envelope).body_digest == chain.body_digest(sealed.body)
    assert chain.event_hash(stream, seq, prev, sealed.envelope) == sealed.hash
    assert chain.opened(seq, sealed.envelope, sealed.body) == chain.Recorded(seq, at, actor, event)


@given(streams, st.integers(1, 2**62), hashes, st.binary(min_size=60, max_size=60), st.data())
def test_every_bit_of_what_is_hashed_counts(
    stream: bytes, seq: int, prev: bytes, envelope: bytes, data: st.DataObject
) -> None:
    right = chain.event_hash(stream, seq, prev, envelope)
    which = data.draw(st.sampled_from(["stream", "seq", "prev", "envelope"]))
    given_: dict[str, Any] = {"stream": stream, "seq": seq, "prev": prev, "envelope": envelope}
    if which == "seq":
        given_["seq"] ^= 1 << data.draw(st.integers(0, 62))
    else:
        bits = bytearray(given_[which])
        bits[data.draw(st.integers(0, len(bits) - 1))] ^= 1 << data.draw(st.integers(0, 7))
        given_[which] = bytes(bits)
    assert chain.event_hash(**given_) != right


def test_a_stream_cannot_pass_for_another_by_its_length() -> None:
    """The stream is length-prefixed: moving a byte between it and the seq gives another hash."""
    seq = 0x61
    longer = chain.event_hash(b"\x03a" + bytes(7), seq << 56 >> 56, chain.GENESIS, bytes(60))
    shorter = chain.event_hash(b"\x03a", seq, chain.GENESIS, bytes(60))
    assert longer != shorter


@given(st.lists(st.binary(min_size=60, max_size=60), max_size=20), streams)
def test_heads_are_the_hashes_one_after_the_other(envelopes: list[bytes], stream: bytes) -> None:
    prev = bytes(32)
    for seq, (envelope, head) in enumerate(
        zip(envelopes, chain.heads(stream, envelopes), strict=True), start=1
    ):
        length = bytes([len(stream)])
        framed = b"runnotary.event1" + length + stream + seq.to_bytes(8, "big") + prev + envelope
        assert head == hashlib.sha256(framed).digest()
        prev = head


@given(streams, seqs, hashes)
def test_a_leaf_is_framed_apart_from_events_and_nodes(stream: bytes, seq: int, head: bytes) -> None:
    framed = b"\x00runnotary.leaf.1" + bytes([len(stream)]) + stream + seq.to_bytes(8, "big") + head
    assert chain.leaf_hash(stream, seq, head) == hashlib.sha256(framed).digest()


@pytest.mark.parametrize("size", [0, 59, 61])
def test_an_envelope_has_sixty_bytes(size: int) -> None:
    with pytest.raises(ValueError, match="60 bytes"):
        chain.unpack(bytes(size))


def test_an_unknown_type_is_said_so() -> None:
    sealed = chain.seal(b"\x03x", 1, chain.GENESIS, 0, bytes(16), EngineNoted("x"), bytes(16))
    future = sealed.envelope[:24] + (999).to_bytes(2, "big") + sealed.envelope[26:]
    with pytest.raises(UnknownEvent, match="999"):
        chain.opened(1, future, sealed.body)


def test_actor_ids_cannot_be_linked_between_homes() -> None:
    one, other = chain.actor_id(b"a" * 32, "user:x"), chain.actor_id(b"b" * 32, "user:x")
    assert len(one) == 16 and one != other
    assert one == hashlib.sha256(b"runnotary.actor1" + b"a" * 32 + b"user:x").digest()[:16]


def test_a_ledger_takes_no_fact_that_could_not_be_read_back() -> None:
    """A type checker would have found it; what comes by a socket passes none."""
    by: Any = By("user:ada")
    for fact in (KeyChanged("key", "revoked", by, None), EngineNoted(None), KeyChanged("key", "lost", by)):  # type: ignore[arg-type]
        with pytest.raises(UnknownEvent):
            chain.seal(chain.ledger_stream("lab"), 1, bytes(32), 1, bytes(16), fact, bytes(16))


def test_streams_have_names() -> None:
    assert chain.stream_name(chain.ledger_stream("default")) == "ledger/default"
    assert chain.stream_name(chain.run_stream(bytes(16))).startswith("run/")
