"""Traces are derived from ids, and what others send is read as W3C Trace Context says."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runnotary.core import trace
from runnotary.core.ids import attempt_id, from_text, to_text, uuid7

RUN = bytes.fromhex("018bcfe5680070018203040506070809")


def test_a_run_is_a_trace_and_an_attempt_a_span_in_it() -> None:
    attempt = attempt_id(RUN, "clean", 1)
    assert trace.traceparent(to_text(RUN), attempt) == f"00-{RUN.hex()}-{from_text(attempt).hex()[16:]}-01"


def test_the_derivation_is_frozen() -> None:
    found = trace.traceparent(to_text(RUN), attempt_id(RUN, "clean", 1))
    assert found == "00-018bcfe5680070018203040506070809-11403632c26da065-01"


@given(st.integers(0, 2**48 - 1), st.binary(min_size=8, max_size=8), st.integers(1, 9))
def test_spans_of_one_run_differ_and_what_is_written_can_be_read(at: int, chance: bytes, number: int) -> None:
    run = uuid7(at * 1000, chance)
    attempts = [from_text(attempt_id(run, key, number)) for key in ("a", "b", "a[1]")]
    assert len({trace.span_id(one) for one in [run, *attempts]}) == 4
    text = trace.traceparent(to_text(run), to_text(attempts[0]))
    assert re.fullmatch(r"00-[0-9a-f]{32}-[0-9a-f]{16}-01", text)
    assert trace.read(text) == trace.Context(trace.trace_id(run), trace.span_id(attempts[0]))


@pytest.mark.parametrize(
    ("text", "sampled"),
    [
        (f"00-{'1' * 32}-{'2' * 16}-01", True),
        (f"00-{'1' * 32}-{'2' * 16}-00", False),
        (f"00-{'1' * 32}-{'2' * 16}-03", True),
        (f"  00-{'1' * 32}-{'2' * 16}-01 ", True),
        (f"cc-{'1' * 32}-{'2' * 16}-01-what-comes-later", True),
    ],
)
def test_what_others_send_is_read(text: str, sampled: bool) -> None:
    assert trace.read(text) == trace.Context("1" * 32, "2" * 16, sampled)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00",
        f"ff-{'1' * 32}-{'2' * 16}-01",
        f"00-{'0' * 32}-{'2' * 16}-01",
        f"00-{'1' * 32}-{'0' * 16}-01",
        f"00-{'1' * 32}-{'2' * 16}-01-more",
        f"00-{'1' * 31}-{'2' * 16}-01",
        f"00-{'A' * 32}-{'2' * 16}-01",
        f"00-{'1' * 32}-{'2' * 16}-0",
        f"00-{'1' * 32}-{'2' * 16}-01\nx: y",
        "00-" + "\uff11" * 32 + f"-{'2' * 16}-01",
    ],
)
def test_what_is_no_traceparent_was_not_sent(text: str) -> None:
    assert trace.read(text) is None
